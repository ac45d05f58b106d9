//! The `tojson` filter as transformers overrides it: Python's `json.dumps` with `ensure_ascii=False`.

use std::fmt::Write;

use minijinja::{
    Error, ErrorKind, State,
    value::{Kwargs, Value, ValueKind},
};

use super::python::float;

/// How to write it.
struct Style {
    ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sort: bool,
}

/// `json.dumps(value, ensure_ascii, indent, separators, sort_keys)`.
pub(super) fn tojson(
    state: &State,
    value: &Value,
    positional: Option<bool>,
    args: &Kwargs,
) -> Result<String, Error> {
    let indent = match args.get::<Option<Value>>("indent")? {
        None => None,
        Some(value) if value.is_none() => None,
        Some(value) => Some(match value.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(usize::try_from(value)?.min(64)),
        }),
    };
    let separators = args.get::<Option<Vec<String>>>("separators")?;
    let (item, key) = match separators.as_deref() {
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(invalid("tojson: separators must be a pair of strings")),
    };
    let style = Style {
        ascii: positional.or(args.get::<Option<bool>>("ensure_ascii")?).unwrap_or(false),
        indent,
        item,
        key,
        sort: args.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    args.assert_all_used()?;
    let mut out = String::new();
    style.write(&mut out, value, 0)?;
    state.consume_fuel(out.len() as u64 / 4)?;
    Ok(out)
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}

impl Style {
    fn write(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > 200 {
            return Err(invalid("tojson: the value is nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::String => self.string(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq => {
                let items = value.try_iter()?.collect::<Vec<_>>();
                self.container(out, ['[', ']'], items.len(), depth, |out, at| {
                    self.write(out, &items[at], depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut pairs = Vec::new();
                for key in value.try_iter()? {
                    let item = value.get_item(&key)?;
                    pairs.push((json_key(&key)?, item));
                }
                if self.sort {
                    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
                }
                self.container(out, ['{', '}'], pairs.len(), depth, |out, at| {
                    self.string(out, &pairs[at].0);
                    out.push_str(&self.key);
                    self.write(out, &pairs[at].1, depth + 1)
                })?;
            }
            kind => return Err(invalid(format!("tojson: a value of type {kind} is not JSON"))),
        }
        Ok(())
    }

    fn container(
        &self,
        out: &mut String,
        [open, close]: [char; 2],
        items: usize,
        depth: usize,
        mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        for at in 0..items {
            if at > 0 {
                out.push_str(&self.item);
            }
            self.line(out, depth + 1);
            item(out, at)?;
        }
        if items > 0 {
            self.line(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn line(&self, out: &mut String, depth: usize) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                character if (character as u32) < 0x20 => escape(out, character as u16),
                character if self.ascii && (character as u32) >= 0x7f => {
                    // Python leaves DEL as it is.
                    if character == '\u{7f}' {
                        out.push(character);
                    } else {
                        character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escape(out, *unit));
                    }
                }
                character => out.push(character),
            }
        }
        out.push('"');
    }
}

fn escape(out: &mut String, unit: u16) {
    // Writing into a string cannot fail.
    let _ = write!(out, "\\u{unit:04x}");
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        Ok(number) => float(number),
        Err(_) => value.to_string(),
    }
}

fn json_key(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Number => number(key),
        kind => return Err(invalid(format!("tojson: a key of type {kind} is not JSON"))),
    })
}
