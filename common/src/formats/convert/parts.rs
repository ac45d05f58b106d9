//! Messages whose content is a list of typed parts: Anthropic's content blocks and OpenAI's response items.

use serde_json::Value;

use super::super::json::{Object, take, take_list, take_str, take_text};
use crate::{Role, ToolCall, Turn};

/// What typed parts hold besides text.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) calls: Vec<ToolCall>,
    pub(super) thinking: Vec<String>,
    /// The call that the message answers.
    pub(super) answers: Option<String>,
}

/// Takes calls, thoughts and answered calls out of a list of parts; text stays in place.
pub(super) fn take_parts(content: &mut Value) -> Parts {
    let mut found = Parts::default();
    let Value::Array(parts) = content else { return found };
    parts.retain_mut(|part| {
        let Value::Object(part) = part else { return true };
        match part.get("type").and_then(Value::as_str) {
            Some("tool_use" | "function_call") => {
                found.calls.push(call(part));
                false
            }
            Some("thinking") => {
                found.thinking.extend(take_str(part, "thinking"));
                false
            }
            Some("reasoning") => {
                found.thinking.push(take_text(part, "summary"));
                false
            }
            Some("tool_result") => {
                found.answers = take_str(part, "tool_use_id").or(found.answers.take());
                true
            }
            _ => true,
        }
    });
    found.thinking.retain(|thought| !thought.is_empty());
    found
}

fn call(part: &mut Object) -> ToolCall {
    let arguments = match take(part, "input").or_else(|| take(part, "arguments")) {
        Some(Value::String(text)) => text,
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let id = take_str(part, "call_id").or_else(|| take_str(part, "id"));
    ToolCall { id, name: take_str(part, "name").unwrap_or_default(), arguments }
}

/// Reads a message without a role as an item of OpenAI's Responses API: a whole response, or a function's output.
pub(super) fn response_item(message: &mut Object) -> Option<Turn> {
    if message.contains_key("role") || message.contains_key("from") {
        return None;
    }
    if message.get("type").and_then(Value::as_str) == Some("function_call_output") {
        let content = take_text(message, "output");
        return Some(Turn {
            role: Role::Tool,
            content,
            tool_call_id: take_str(message, "call_id"),
            ..Turn::default()
        });
    }
    let mut output = Value::Array(take_list(message, "output")?);
    let parts = take_parts(&mut output);
    Some(Turn {
        role: Role::Assistant,
        content: super::super::json::text(output),
        reasoning: Some(parts.thinking.join("\n")).filter(|thinking| !thinking.is_empty()),
        tool_calls: parts.calls,
        tool_call_id: None,
    })
}
