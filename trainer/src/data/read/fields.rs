//! Fields of a row.

use serde_json::{Map, Value, json};

use super::RowErrorKind;
use crate::data::Text;

pub(super) type Fields = Map<String, Value>;

pub(super) fn wrong(field: &str, problem: impl Into<String>) -> RowErrorKind {
    RowErrorKind::Field { field: field.to_owned(), problem: problem.into() }
}

/// The type of a value in JSON's words.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The value of a field; null counts as absent, as columns of tables are null where a row has no value.
pub(super) fn present<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

pub(super) fn string<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a str>, RowErrorKind> {
    match present(fields, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(name, format!("expected a string, found {}", type_of(other)))),
    }
}

pub(super) fn boolean(fields: &Fields, name: &str) -> Result<Option<bool>, RowErrorKind> {
    match present(fields, name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(Value::Number(number)) if number.as_i64() == Some(0) => Ok(Some(false)),
        Some(Value::Number(number)) if number.as_i64() == Some(1) => Ok(Some(true)),
        Some(other) => Err(wrong(name, format!("expected true or false, found {other}"))),
    }
}

/// Text, or a list of messages each with a role.
pub(super) fn text(fields: &Fields, name: &str) -> Result<Option<Text>, RowErrorKind> {
    match present(fields, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(Text::Plain(text.clone()))),
        Some(Value::Array(items)) => messages(items, name).map(|messages| Some(Text::Messages(messages))),
        // A single message without the list around it.
        Some(message @ Value::Object(_)) => {
            messages(std::slice::from_ref(message), name).map(|messages| Some(Text::Messages(messages)))
        }
        Some(other) => {
            Err(wrong(name, format!("expected a string or a list of messages, found {}", type_of(other))))
        }
    }
}

/// Checks chat messages. Their keys that are null are dropped: tables add them to every message that lacks them, and
/// templates take their presence for a value. What tables do to tool calls is undone later, by [`clean`].
///
/// [`clean`]: crate::data::clean
pub(super) fn messages(items: &[Value], name: &str) -> Result<Vec<Value>, RowErrorKind> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let path = format!("{name}[{index}]");
            let Value::Object(item) = item else {
                return Err(wrong(&path, format!("expected a message, found {}", type_of(item))));
            };
            let mut message: Fields = item
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            if !message.contains_key("role")
                && let Some(from) = message.remove("from")
            {
                message.insert("role".to_owned(), sharegpt_role(&from, &path)?);
                let value = message.remove("value").unwrap_or_else(|| json!(""));
                message.insert("content".to_owned(), value);
            }
            match message.get("role") {
                Some(Value::String(role)) if !role.is_empty() => {}
                _ => return Err(wrong(&format!("{path}.role"), "expected the name of a role")),
            }
            match message.get("content") {
                None | Some(Value::String(_) | Value::Array(_)) => {}
                Some(other) => {
                    return Err(wrong(
                        &format!("{path}.content"),
                        format!("expected a string or a list of parts, found {}", type_of(other)),
                    ));
                }
            }
            if let Some(calls) = message.get("tool_calls") {
                tool_calls(calls, &format!("{path}.tool_calls"))?;
            }
            if message.get("tool_calls").and_then(Value::as_array).is_some_and(Vec::is_empty) {
                message.remove("tool_calls");
            }
            if !message.contains_key("content") && !message.contains_key("tool_calls") {
                return Err(wrong(&path, "the message has neither `content` nor `tool_calls`"));
            }
            Ok(Value::Object(message))
        })
        .collect()
}

/// Checks tool calls and leaves them as they are.
fn tool_calls(calls: &Value, path: &str) -> Result<(), RowErrorKind> {
    let Value::Array(calls) = calls else {
        return Err(wrong(path, format!("expected a list, found {}", type_of(calls))));
    };
    for (index, call) in calls.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Value::Object(call) = call else {
            return Err(wrong(&path, format!("expected an object, found {}", type_of(call))));
        };
        let function = match present(call, "function") {
            Some(Value::Object(function)) => function,
            Some(other) => {
                let problem = format!("expected an object, found {}", type_of(other));
                return Err(wrong(&format!("{path}.function"), problem));
            }
            // The function itself, without the wrapping.
            None => call,
        };
        if !function.get("name").is_some_and(Value::is_string) {
            return Err(wrong(&format!("{path}.function.name"), "expected the name of a function"));
        }
        match present(function, "arguments") {
            Some(Value::Object(_) | Value::String(_)) | None => {}
            Some(other) => {
                let problem = format!("expected an object or JSON text, found {}", type_of(other));
                return Err(wrong(&format!("{path}.function.arguments"), problem));
            }
        }
    }
    Ok(())
}

fn sharegpt_role(from: &Value, path: &str) -> Result<Value, RowErrorKind> {
    let role = match from.as_str() {
        Some("human" | "user") => "user",
        Some("gpt" | "assistant" | "chatgpt" | "bot" | "function_call") => "assistant",
        Some("observation" | "tool" | "function_response") => "tool",
        Some("system") => "system",
        _ => {
            return Err(wrong(
                &format!("{path}.from"),
                format!("expected human, gpt, function_call, observation or system, found {from}"),
            ));
        }
    };
    Ok(json!(role))
}

/// Tool schemas: a list, or JSON text of one.
pub(super) fn tools(fields: &Fields) -> Result<Option<Vec<Value>>, RowErrorKind> {
    let parsed;
    let value = match present(fields, "tools") {
        None => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => {
            parsed =
                serde_json::from_str::<Value>(text).map_err(|error| wrong("tools", error.to_string()))?;
            &parsed
        }
        Some(value) => value,
    };
    match value {
        Value::Array(tools) if tools.is_empty() => Ok(None),
        Value::Array(tools) => Ok(Some(tools.clone())),
        other => {
            Err(wrong("tools", format!("expected a list or JSON text of one, found {}", type_of(other))))
        }
    }
}
