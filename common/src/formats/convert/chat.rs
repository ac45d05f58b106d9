//! Chat messages, which most formats hold in some spelling, and the bare list of them.

use serde_json::Value;

use super::super::json::{self, Object, Reject, non_empty, take, take_list, take_str, take_text};
use super::{CandidateDraft, Row, parts};
use crate::{Role, SourceFormat, ToolCall, Trajectory, Turn};

/// A bare list of messages, or an object with nothing but `messages`.
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let messages = json::take_items(&mut row.object, "messages")?;
    let turns = turns(messages)?;
    let draft = CandidateDraft {
        trajectory: Trajectory {
            instance_id: row.instance_id(),
            issue: issue_in(&turns),
            steps: Some(acting(&turns)),
            turns,
            source: SourceFormat::Chat,
            ..Trajectory::default()
        },
        ..CandidateDraft::default()
    };
    row.candidate(draft);
    Ok(())
}

/// Reads a list of messages; one turn each, so that counts agree with the file.
pub(super) fn turns(messages: Vec<Value>) -> Result<Vec<Turn>, Reject> {
    let mut turns: Vec<Turn> = Vec::with_capacity(messages.len());
    for (index, message) in messages.into_iter().enumerate() {
        let message = match message {
            Value::Object(message) => message,
            Value::Null => continue,
            _ => return Err(Reject::Other(format!("message {} is not an object", index + 1))),
        };
        let mut turn = turn(message);
        // Later "system" messages are observations of scaffolds without a tool role.
        if turn.role == Role::System && turns.iter().any(|earlier| earlier.role == Role::Assistant) {
            turn.role = Role::User;
        }
        turns.push(turn);
    }
    Ok(turns)
}

/// Reads one message: `content`, `value` or `text`; structured calls; reasoning kept apart.
pub(super) fn turn(mut message: Object) -> Turn {
    if let Some(turn) = parts::response_item(&mut message) {
        return turn;
    }
    let role =
        json::str_of(&message, "role").or_else(|| json::str_of(&message, "from")).map_or(Role::User, role);
    let typed = message.get_mut("content").map(parts::take_parts).unwrap_or_default();
    let content = ["content", "value", "text", "system_prompt"]
        .into_iter()
        .map(|key| take_text(&mut message, key))
        .find(|text| !text.is_empty())
        .unwrap_or_default();
    let reasoning =
        ["reasoning_content", "reasoning"].into_iter().find_map(|key| take_str(&mut message, key));
    let reasoning = reasoning.and_then(non_empty).or_else(|| thinking(&mut message));
    let mut tool_calls = calls(take(&mut message, "tool_calls"));
    if tool_calls.is_empty() {
        tool_calls = typed.calls;
    }
    if tool_calls.is_empty()
        && let Some(Value::Object(call)) = take(&mut message, "function_call")
    {
        tool_calls.push(function(call, None));
    }
    Turn {
        // A user message that answers a call is the environment's.
        role: if typed.answers.is_some() && role == Role::User { Role::Tool } else { role },
        content,
        reasoning: reasoning.or_else(|| non_empty(typed.thinking.join("\n"))),
        tool_calls,
        tool_call_id: call_id(&mut message).or(typed.answers),
    }
}

/// `tool_call_id`, or the first of SWE-agent's `tool_call_ids`.
fn call_id(message: &mut Object) -> Option<String> {
    take_str(message, "tool_call_id").or_else(|| {
        let ids = take_list(message, "tool_call_ids")?;
        ids.into_iter().find_map(|id| id.as_str().map(str::to_owned))
    })
}

/// Anthropic's thinking blocks.
fn thinking(message: &mut Object) -> Option<String> {
    let blocks = take_list(message, "thinking_blocks")?;
    let texts: Vec<String> = blocks
        .into_iter()
        .filter_map(|block| block.get("thinking").and_then(Value::as_str).map(str::to_owned))
        .collect();
    non_empty(texts.join("\n"))
}

/// Structured calls in OpenAI's shape, arguments as JSON text.
pub(super) fn calls(value: Option<Value>) -> Vec<ToolCall> {
    let items = match value {
        Some(Value::Array(items)) => items,
        Some(Value::String(text)) => match super::super::parse_json(text.as_bytes()) {
            Ok(Value::Array(items)) => items,
            _ => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    let call = |item| {
        let Value::Object(mut item) = item else { return None };
        let id = take_str(&mut item, "id").or_else(|| take_str(&mut item, "call_id"));
        Some(match take(&mut item, "function") {
            Some(Value::Object(inner)) => function(inner, id),
            _ => function(item, id),
        })
    };
    items.into_iter().filter_map(call).collect()
}

fn function(mut function: Object, id: Option<String>) -> ToolCall {
    let arguments = match take(&mut function, "arguments") {
        Some(Value::String(text)) => text,
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    ToolCall { id, name: take_str(&mut function, "name").unwrap_or_default(), arguments }
}

/// Every scaffold's name for who wrote a message; unknown names are the user's, who is whatever is not the policy.
pub(super) fn role(name: &str) -> Role {
    match name {
        "system" | "developer" => Role::System,
        "assistant" | "ai" | "gpt" | "model" | "agent" | "function_call" => Role::Assistant,
        "tool" | "function" | "observation" | "environment" | "ipython" => Role::Tool,
        _ => Role::User,
    }
}

/// Assistant turns, all of which act in text scaffolds.
pub(super) fn acting(turns: &[Turn]) -> u32 {
    turns.iter().filter(|turn| turn.role == Role::Assistant).count() as u32
}

/// Between which marks prompts of known scaffolds hold the text of the issue.
const ISSUE_MARKS: &[(&str, &str)] = &[
    ("<pr_description>", "</pr_description>"),
    ("<issue_description>", "</issue_description>"),
    ("<github_issue>", "</github_issue>"),
    ("ISSUE:\n", "\nINSTRUCTIONS:"),
];

/// The text of the issue in the prompt before the first assistant turn, where a known scaffold marks it.
pub(super) fn issue_in(turns: &[Turn]) -> Option<String> {
    let prompts: Vec<&Turn> = turns.iter().take_while(|turn| turn.role != Role::Assistant).collect();
    // The last prompt comes first: earlier ones may be demonstrations on another issue.
    prompts.iter().rev().filter(|turn| turn.role == Role::User).find_map(|turn| {
        ISSUE_MARKS.iter().find_map(|(open, close)| {
            let inner = turn.content.split_once(open)?.1.split_once(close)?.0;
            let inner = inner.trim();
            let inner = inner.strip_prefix("Consider the following PR description:").unwrap_or(inner).trim();
            non_empty(inner.to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(message: Value) -> Turn {
        match message {
            Value::Object(message) => turn(message),
            _ => Turn::default(),
        }
    }

    #[test]
    fn content_blocks_are_taken_apart() {
        let said = read(json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "c1", "name": "bash", "input": {"command": "ls"}}]}));
        assert_eq!((said.content.as_str(), said.reasoning.as_deref()), ("I look.", Some("hm")));
        assert_eq!(said.tool_calls[0].arguments, r#"{"command":"ls"}"#);
        let seen = read(
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "a.py"}]}),
        );
        assert_eq!(
            (seen.role, seen.content.as_str(), seen.tool_call_id.as_deref()),
            (Role::Tool, "a.py", Some("c1"))
        );
    }

    #[test]
    fn response_items_are_messages() {
        let said = read(json!({"object": "response", "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "call_id": "c1", "name": "bash", "arguments": "{}"}]}));
        assert_eq!(
            (said.role, said.content.as_str(), said.reasoning.as_deref()),
            (Role::Assistant, "I look.", Some("hm"))
        );
        assert_eq!(said.tool_calls[0].id.as_deref(), Some("c1"));
        let seen = read(json!({"type": "function_call_output", "call_id": "c1", "output": "a.py"}));
        assert_eq!((seen.role, seen.content.as_str()), (Role::Tool, "a.py"));
    }

    #[test]
    fn the_issue_is_found_between_marks_and_not_in_demonstrations() {
        let user = |content: &str| Turn { content: content.to_owned(), ..Turn::default() };
        let demo = user("ISSUE:\nold\n\nINSTRUCTIONS:");
        let prompt = user("<pr_description>\nConsider the following PR description:\nnew\n</pr_description>");
        assert_eq!(issue_in(&[demo.clone(), prompt]).as_deref(), Some("new"));
        assert_eq!(issue_in(&[demo]).as_deref(), Some("old"));
        assert_eq!(issue_in(&[user("nothing")]), None);
    }
}
