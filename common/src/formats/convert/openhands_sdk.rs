//! Events of OpenHands' SDK (V1), told by their `kind`.

use serde_json::Value;

use super::super::json::{Object, non_empty, take, take_object, take_str, take_text};
use super::chat;
use crate::{Role, ToolCall, Turn};

/// Appends what the event adds to the conversation; true when the agent finished with it.
pub(super) fn event(kind: &str, mut event: Object, turns: &mut Vec<Turn>) -> bool {
    let mut finished = false;
    let turn = match kind {
        "SystemPromptEvent" => Some(Turn {
            role: Role::System,
            content: take_text(&mut event, "system_prompt"),
            ..Turn::default()
        }),
        "MessageEvent" => take_object(&mut event, "llm_message").map(chat::turn),
        "ActionEvent" => {
            finished = str_tool(&event) == Some("finish");
            Some(action(event))
        }
        "ObservationEvent" => {
            let observation = take_object(&mut event, "observation").unwrap_or_default();
            Some(answer(event, observed(observation)))
        }
        "AgentErrorEvent" => {
            let error = take_text(&mut event, "error");
            Some(answer(event, error))
        }
        "UserRejectObservation" => {
            let reason = take_text(&mut event, "rejection_reason");
            Some(answer(event, reason))
        }
        // State updates, condensations, pauses: bookkeeping.
        _ => None,
    };
    turns.extend(turn);
    finished
}

fn str_tool(event: &Object) -> Option<&str> {
    event.get("tool_name").and_then(Value::as_str)
}

fn action(mut event: Object) -> Turn {
    let mut call = take_object(&mut event, "tool_call").unwrap_or_default();
    // The call is OpenAI's shape in older SDKs, flat in newer ones.
    let nested = take_object(&mut call, "function");
    let mut function = nested.unwrap_or_else(|| call.clone());
    let arguments = match take(&mut function, "arguments") {
        Some(Value::String(arguments)) => arguments,
        Some(Value::Null) | None => {
            take(&mut event, "action").map(|action| action.to_string()).unwrap_or_default()
        }
        Some(other) => other.to_string(),
    };
    let id = take_str(&mut event, "tool_call_id").or_else(|| take_str(&mut call, "id"));
    let name =
        take_str(&mut event, "tool_name").or_else(|| take_str(&mut function, "name")).unwrap_or_default();
    Turn {
        role: Role::Assistant,
        content: take_text(&mut event, "thought"),
        reasoning: take_str(&mut event, "reasoning_content").and_then(non_empty),
        tool_calls: vec![ToolCall { id, name, arguments }],
        tool_call_id: None,
    }
}

/// The text of an observation: its content, output or error, whichever there are.
fn observed(mut observation: Object) -> String {
    let mut texts: Vec<String> = Vec::new();
    for key in ["content", "output", "error", "message"] {
        let part = match observation.get(key) {
            // Flags such as `error: false` say nothing to the model.
            Some(Value::Bool(_) | Value::Number(_)) | None => continue,
            Some(_) => take_text(&mut observation, key),
        };
        if !part.is_empty() && !texts.contains(&part) {
            texts.push(part);
        }
    }
    texts.join("\n")
}

fn answer(mut event: Object, content: String) -> Turn {
    Turn { role: Role::Tool, content, tool_call_id: take_str(&mut event, "tool_call_id"), ..Turn::default() }
}
