//! JSON as Python writes it.
//!
//! `json.dumps` emits `NaN`, `Infinity` and lone surrogates, and tool output brings invalid UTF-8. A strict parse
//! comes first, so that good input costs nothing; only input that it refuses is cleaned and parsed again.

use serde_json::Value;

/// Parses one JSON document, leniently.
///
/// A UTF-8 BOM is passed over; `NaN`, `Infinity`, `-Infinity` and numbers beyond the range of a double become
/// null; a comma before a closing bracket is passed over; lone surrogates and invalid UTF-8 become U+FFFD; raw control characters in strings are kept. Of
/// duplicate keys the last counts. NUL and ANSI escapes stay as they are.
///
/// # Errors
///
/// What the parser says of the cleaned input; nesting deeper than 128 is an error.
pub fn parse_json(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).or_else(|error| match clean(bytes) {
        Some(cleaned) => serde_json::from_slice(&cleaned),
        None => Err(error),
    })
}

/// Parses documents that follow each other with nothing or white space in between, or one with a comma after it, as a
/// row cut out of a list has.
///
/// # Errors
///
/// As [`parse_json`] of the whole.
pub(super) fn parse_documents(bytes: &[u8]) -> Result<Vec<Value>, serde_json::Error> {
    let error = match parse_json(bytes) {
        Ok(value) => return Ok(vec![value]),
        Err(error) => error,
    };
    let trimmed = bytes.trim_ascii_end();
    if let Some(row) = trimmed.strip_suffix(b",") {
        return parse_json(row).map(|value| vec![value]).map_err(|_| error);
    }
    if error.is_eof() {
        return Err(error);
    }
    let cleaned = clean(bytes);
    let bytes = cleaned.as_deref().unwrap_or(bytes);
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let documents = serde_json::Deserializer::from_slice(bytes).into_iter();
    documents.collect::<Result<Vec<Value>, _>>().map_err(|_| error)
}

/// The input with Python's liberties taken out; `None` when there are none.
fn clean(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let mut cleaner = Cleaner { input: text.as_bytes(), at: 0, out: Vec::with_capacity(text.len()) };
    let mut changed = matches!(text, std::borrow::Cow::Owned(_));
    while let Some(&byte) = cleaner.input.get(cleaner.at) {
        changed |= match byte {
            b'"' => cleaner.string(),
            b',' => cleaner.comma(),
            b'N' | b'I' | b'-' | b'0'..=b'9' => cleaner.number(),
            _ => cleaner.copy(1),
        };
    }
    changed.then_some(cleaner.out)
}

struct Cleaner<'a> {
    input: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl Cleaner<'_> {
    /// Copies bytes unchanged; returns false, for "not changed".
    fn copy(&mut self, count: usize) -> bool {
        let end = (self.at + count).min(self.input.len());
        self.out.extend_from_slice(&self.input[self.at..end]);
        self.at = end;
        false
    }

    fn replace(&mut self, count: usize, by: &[u8]) -> bool {
        self.out.extend_from_slice(by);
        self.at += count;
        true
    }

    /// A comma before a closing bracket goes.
    fn comma(&mut self) -> bool {
        let next = self.input[self.at + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
        if matches!(next, Some(b']' | b'}')) { self.replace(1, b"") } else { self.copy(1) }
    }

    fn number(&mut self) -> bool {
        let rest = &self.input[self.at..];
        for literal in [&b"NaN"[..], b"-NaN", b"Infinity", b"-Infinity"] {
            if rest.starts_with(literal) {
                return self.replace(literal.len(), b"null");
            }
        }
        let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(|byte| is_part(byte)).count().max(1);
        let token = &rest[..length];
        // Only a long number or one with an exponent can leave the range of a double.
        let suspicious = length > 300 || token.iter().any(|byte| matches!(byte, b'e' | b'E'));
        let infinite = suspicious
            && std::str::from_utf8(token)
                .ok()
                .and_then(|text| text.parse::<f64>().ok())
                .is_some_and(f64::is_infinite);
        if infinite { self.replace(length, b"null") } else { self.copy(length) }
    }

    fn string(&mut self) -> bool {
        let mut changed = self.copy(1);
        while let Some(&byte) = self.input.get(self.at) {
            match byte {
                b'"' => {
                    self.copy(1);
                    return changed;
                }
                b'\\' => changed |= self.escape(),
                0..0x20 => changed |= self.replace(1, format!("\\u{byte:04x}").as_bytes()),
                _ => changed |= self.copy(1),
            }
        }
        changed
    }

    fn escape(&mut self) -> bool {
        match self.unit(self.at) {
            Some(0xd800..=0xdbff) if matches!(self.unit(self.at + 6), Some(0xdc00..=0xdfff)) => self.copy(12),
            Some(0xd800..=0xdfff) => self.replace(6, b"\\ufffd"),
            Some(_) => self.copy(6),
            None => self.copy(2),
        }
    }

    /// The UTF-16 unit of a `\uXXXX` escape at this place.
    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.input.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn python_liberties_are_accepted() {
        let cases = [
            (&br#"{"a":NaN,"b":[Infinity,-Infinity]}"#[..], json!({"a": null, "b": [null, null]})),
            (br#"{"a":1e999,"b":-1.5e3}"#, json!({"a": null, "b": -1500.0})),
            (br#""x \udc80 y""#, json!("x \u{fffd} y")),
            (br#""\ud83d \ude00""#, json!("\u{fffd} \u{fffd}")),
            (br#""\ud83d\ude00 \ud83d""#, json!("\u{1f600} \u{fffd}")),
            (br#""\\udc80 NaN -Infinity""#, json!("\\udc80 NaN -Infinity")),
            (br#"["\\", NaN]"#, json!(["\\", null])),
            (br#""a\u0000b\u001b[31m""#, json!("a\u{0}b\u{1b}[31m")),
            (b"[1, {\"a\": 2,}, \n]", json!([1, {"a": 2}])),
            (b"\"tab\tand \xff\"", json!("tab\tand \u{fffd}")),
            (b"\xef\xbb\xbf {\"a\": 1, \"a\": 2}\r", json!({"a": 2})),
        ];
        for (input, expected) in cases {
            assert_eq!(parse_json(input).unwrap(), expected, "{}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn nonsense_and_deep_nesting_are_errors() {
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        for input in [&b"{"[..], b"", b"nan", b"{\"a\" 1}", b"\"\\ud8", b"\"\\", &deep] {
            assert!(parse_json(input).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_json(&bytes);
        }

        #[test]
        fn no_json_like_input_panics(text in r#"[\[\]{}":,\\udc80NaIfity\-+.eE \n\t]{0,60}"#) {
            let _ = parse_json(text.as_bytes());
        }

        /// Cleaning never changes what a strict parser accepts.
        #[test]
        fn cleaning_keeps_good_json(text in any::<String>(), number in any::<i64>()) {
            let value = json!({"text": text, "number": number});
            let bytes = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(clean(&bytes), None);
            prop_assert_eq!(parse_json(&bytes).unwrap(), value);
        }
    }
}
