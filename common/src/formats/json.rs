//! Small accessors over `serde_json` values, which readers take apart by moving.

use serde_json::{Map, Value};

pub(super) type Object = Map<String, Value>;

/// Why a record cannot be read as its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reject {
    /// A field that the format always has is absent.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field holds another type than the format says.
    #[error("field `{field}` should be {expected}")]
    Type { field: &'static str, expected: &'static str },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// The field as text, when it is a non-empty string.
pub(super) fn str_of<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The field as an id: text, or a whole number as text.
pub(super) fn id_of(object: &Object, key: &str) -> Option<String> {
    match object.get(key)? {
        Value::String(text) => non_empty(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// Removes the field, which holds a patch when it holds anything.
pub(super) fn take_patch(object: &mut Object, field: &'static str) -> Result<Option<String>, Reject> {
    take(object, field).map_or(Ok(None), |value| patch_in(value, field))
}

/// The value of this field as a patch; null is none.
pub(super) fn patch_in(value: Value, field: &'static str) -> Result<Option<String>, Reject> {
    match value {
        Value::Null => Ok(None),
        Value::String(patch) => Ok(Some(patch)),
        _ => Err(Reject::Type { field, expected: "a patch as text" }),
    }
}

/// Removes the field, which holds a list, or JSON text of one; null is the empty one.
pub(super) fn take_items(object: &mut Object, field: &'static str) -> Result<Vec<Value>, Reject> {
    match object.get(field) {
        None => Err(Reject::Missing(field)),
        Some(Value::Null) => Ok(Vec::new()),
        Some(_) => take_list(object, field).ok_or(Reject::Type { field, expected: "a list" }),
    }
}

/// Removes the field.
pub(super) fn take(object: &mut Object, key: &str) -> Option<Value> {
    object.get_mut(key).map(Value::take)
}

/// Removes the field when it is a string, the empty one included.
pub(super) fn take_str(object: &mut Object, key: &str) -> Option<String> {
    match object.get_mut(key) {
        Some(Value::String(text)) => Some(std::mem::take(text)),
        _ => None,
    }
}

/// Removes the field when it is a list; a string that holds a JSON list counts too.
pub(super) fn take_list(object: &mut Object, key: &str) -> Option<Vec<Value>> {
    match take(object, key) {
        Some(Value::Array(items)) => Some(items),
        Some(Value::String(text)) => match super::parse_json(text.as_bytes()) {
            Ok(Value::Array(items)) => Some(items),
            _ => None,
        },
        _ => None,
    }
}

/// Removes the field when it is an object.
pub(super) fn take_object(object: &mut Object, key: &str) -> Option<Object> {
    match take(object, key) {
        Some(Value::Object(inner)) => Some(inner),
        _ => None,
    }
}

/// A finite number, or text that is one.
pub(super) fn number(value: Option<&Value>) -> Option<f64> {
    let number = match value? {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    };
    number.filter(|number| number.is_finite())
}

/// A count, or text that is one.
pub(super) fn count(value: Option<&Value>) -> Option<u32> {
    number(value).filter(|n| (0.0..=f64::from(u32::MAX)).contains(n) && n.fract() == 0.0).map(|n| n as u32)
}

/// True, false, 0 and 1, or text that is one of them.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The text of a message's content: a string, or a list of strings and `{type, text}` parts, joined by line ends.
/// Parts without text (images) are passed over; null is empty; anything else is its JSON.
pub(super) fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Array(parts) => {
            let texts: Vec<String> = parts.into_iter().filter_map(part_text).collect();
            texts.join("\n")
        }
        Value::Object(mut part) => match take(&mut part, "text") {
            Some(inner) => text(inner),
            None => Value::Object(part).to_string(),
        },
        other => other.to_string(),
    }
}

fn part_text(part: Value) -> Option<String> {
    match part {
        Value::String(text) => Some(text),
        Value::Object(mut part) => take(&mut part, "text").or_else(|| take(&mut part, "content")).map(text),
        _ => None,
    }
}

/// Removes the field and renders it as text; empty when it is absent.
pub(super) fn take_text(object: &mut Object, key: &str) -> String {
    take(object, key).map(text).unwrap_or_default()
}

/// Some(text) unless it is empty.
pub(super) fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn content_is_text_however_it_is_written() {
        assert_eq!(text(json!("a")), "a");
        assert_eq!(text(json!(null)), "");
        assert_eq!(text(json!([{"type": "text", "text": "a"}, {"type": "image_url"}, "b"])), "a\nb");
        assert_eq!(text(json!({"type": "text", "text": "a"})), "a");
        assert_eq!(text(json!({"k": 1})), r#"{"k":1}"#);
    }

    #[test]
    fn counts_and_truths_are_checked() {
        assert_eq!(count(Some(&json!(3))), Some(3));
        assert_eq!(count(Some(&json!(3.0))), Some(3));
        assert_eq!(count(Some(&json!(3.5))), None);
        assert_eq!(count(Some(&json!(-1))), None);
        assert_eq!([json!("12"), json!("x"), json!("1.5")].map(|v| count(Some(&v))), [Some(12), None, None]);
        assert_eq!(
            [json!("0.25"), json!("inf"), json!("")].map(|v| number(Some(&v))),
            [Some(0.25), None, None]
        );
        assert_eq!([json!("True"), json!("0")].map(|v| truth(&v)), [Some(true), Some(false)]);
        assert_eq!(
            [json!(1), json!(0.0), json!(true), json!("yes")].map(|v| truth(&v)),
            [Some(true), Some(false), Some(true), None]
        );
    }
}
