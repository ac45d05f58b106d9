//! Where minijinja and Python's Jinja differ in what a template can see: methods and white space of strings, floats.

use minijinja::{
    Error, ErrorKind, State,
    value::{Kwargs, Value, ValueKind, from_args},
};

/// `repr` of a float: the shortest digits that round-trip, with an exponent outside of 1e-4 … 1e16.
pub(super) fn float(number: f64) -> String {
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => match exponent.parse::<i32>() {
            Ok(exponent) => format!("{digits}e{exponent:+03}"),
            Err(_) => text,
        },
        None => text,
    }
}

/// A JSON value as a template sees it.
pub(super) fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(value) => Value::from(*value),
        serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(value), ..) => Value::from(value),
            (_, Some(value), _) => Value::from(value),
            (.., Some(value)) => Value::from(value),
            _ => Value::from(number.to_string()),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => items.iter().map(from_json).collect(),
        serde_json::Value::Object(object) => from_object(object),
    }
}

/// A JSON object as a template sees it, its keys in order.
pub(super) fn from_object(object: &serde_json::Map<String, serde_json::Value>) -> Value {
    Value::from_pairs(object.iter().map(|(key, value)| (key.as_str(), from_json(value))))
}

/// What `str.strip` takes for white space.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// The `trim` filter.
pub(super) fn trim(text: &str, chars: Option<&str>) -> String {
    strip(text, chars, true, true).to_owned()
}

fn strip<'t>(mut text: &'t str, chars: Option<&str>, left: bool, right: bool) -> &'t str {
    let unwanted =
        |character: char| chars.map_or_else(|| is_space(character), |chars| chars.contains(character));
    if left {
        text = text.trim_start_matches(unwanted);
    }
    if right {
        text = text.trim_end_matches(unwanted);
    }
    text
}

/// Methods of Python's values: those that minijinja-contrib lacks or does differently, then its own.
pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if value.kind() == ValueKind::String
        && let Some(text) = value.as_str()
        && let Some(result) = string_method(text, name, args)?
    {
        return Ok(result);
    }
    if value.kind() == ValueKind::Map && name == "copy" {
        let () = from_args(args)?;
        return Ok(value.clone());
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

fn string_method(text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let stripped = |left, right| -> Result<Value, Error> {
        let (chars,): (Option<&str>,) = from_args(args)?;
        Ok(Value::from(strip(text, chars, left, right)))
    };
    Ok(Some(match name {
        "strip" => stripped(true, true)?,
        "lstrip" => stripped(true, false)?,
        "rstrip" => stripped(false, true)?,
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "split" | "rsplit" => split(text, name == "rsplit", args)?,
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            let last = name == "rpartition";
            let found = if last { text.rsplit_once(separator) } else { text.split_once(separator) };
            let parts = match found {
                Some((before, after)) => [before, separator, after],
                None if last => ["", "", text],
                None => [text, "", ""],
            };
            parts.into_iter().map(Value::from).collect()
        }
        "splitlines" => {
            let (keep,): (Option<bool>,) = from_args(args)?;
            lines(text, keep.unwrap_or(false)).into_iter().map(Value::from).collect()
        }
        "index" | "rindex" => {
            let (part,): (&str,) = from_args(args)?;
            let found = if name == "index" { text.find(part) } else { text.rfind(part) };
            let at = found.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "substring not found"))?;
            Value::from(text[..at].chars().count())
        }
        "casefold" => Value::from(text.to_lowercase()),
        _ => return Ok(None),
    }))
}

fn split(text: &str, from_right: bool, args: &[Value]) -> Result<Value, Error> {
    let (separator, most, named): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = separator.or(named.get("sep")?);
    let most = most.or(named.get("maxsplit")?).unwrap_or(-1);
    named.assert_all_used()?;
    let most = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1);
    let parts: Vec<&str> = match separator {
        Some("") => return Err(Error::new(ErrorKind::InvalidOperation, "empty separator")),
        Some(separator) if from_right => {
            let mut parts: Vec<&str> = text.rsplitn(most, separator).collect();
            parts.reverse();
            parts
        }
        Some(separator) => text.splitn(most, separator).collect(),
        None => words(text, most, from_right),
    };
    Ok(parts.into_iter().map(Value::from).collect())
}

/// At most `most` words; the last (or, from the right, the first) holds what is left.
fn words(text: &str, most: usize, from_right: bool) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), strip(text, None, !from_right, from_right));
    while !rest.is_empty() {
        if words.len() + 1 == most {
            words.push(rest);
            break;
        }
        let (word, left) = if from_right {
            let at = rest.char_indices().rfind(|(_, c)| is_space(*c)).map_or(0, |(at, c)| at + c.len_utf8());
            (&rest[at..], &rest[..at])
        } else {
            rest.split_at(rest.find(is_space).unwrap_or(rest.len()))
        };
        words.push(word);
        rest = strip(left, None, !from_right, from_right);
    }
    if from_right {
        words.reverse();
    }
    words
}

/// `str.splitlines`.
fn lines(text: &str, keep: bool) -> Vec<&str> {
    let breaks =
        ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];
    let (mut lines, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(breaks) {
        let length = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        lines.push(&rest[..at + if keep { length } else { 0 }]);
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_writes_them() {
        for (number, text) in
            [(1.0, "1.0"), (0.1, "0.1"), (1e16, "1e+16"), (1e-5, "1e-05"), (-2.5e300, "-2.5e+300")]
        {
            assert_eq!(float(number), text);
        }
    }

    #[test]
    fn words_from_both_ends() {
        assert_eq!(words("  a b\tc ", usize::MAX, false), ["a", "b", "c"]);
        assert_eq!(words("  a b  c ", 2, false), ["a", "b  c "]);
        assert_eq!(words(" a b  c ", 2, true), [" a b", "c"]);
        assert!(words(" \n", usize::MAX, false).is_empty());
    }

    #[test]
    fn lines_end_as_in_python() {
        assert_eq!(lines("a\r\nb\u{2028}c\n\nd", false), ["a", "b", "c", "", "d"]);
        assert_eq!(lines("a\r\nb\n", true), ["a\r\n", "b\n"]);
    }
}
