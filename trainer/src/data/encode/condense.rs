//! Replacing observations.

use serde_json::Value;

/// What stands in the place of an observation.
pub(super) const MARKER: &str = "<Execution result condensed for saving context>";

/// Observations shorter than this many bytes are left alone: replacing them saves next to nothing.
const LONG: usize = 400;

/// Turns at the end that stay whole, whatever they are.
const LAST: usize = 4;

/// Bytes that are taken for a token when savings are estimated; few, so that rather one too few is replaced at a time.
const BYTES_PER_TOKEN: usize = 6;

/// Leading messages that are never condensed: the prompt, and all up to the first message of the user, which is the
/// issue where a row has no prompt of its own.
pub(super) fn kept(messages: &[Value], prompt_turns: usize) -> usize {
    let issue = messages.iter().position(|message| message["role"] == "user").map_or(0, |at| at + 1);
    prompt_turns.max(issue)
}

/// Replaces the oldest long observations (user and tool turns after the first `kept`, none of the last four turns) until about
/// `tokens` tokens are saved. The number of those replaced; 0 when there are none left.
pub(super) fn oldest(messages: &mut [Value], kept: usize, tokens: usize) -> usize {
    let end = messages.len().saturating_sub(LAST);
    let mut saved = 0;
    let mut replaced = 0;
    for message in messages.iter_mut().take(end).skip(kept) {
        if saved >= tokens {
            break;
        }
        let observation = matches!(message["role"].as_str(), Some("user" | "tool"));
        let bytes = length(&message["content"]);
        if observation && bytes >= LONG {
            message["content"] = Value::from(MARKER);
            saved += (bytes - MARKER.len()) / BYTES_PER_TOKEN + 1;
            replaced += 1;
        }
    }
    replaced
}

/// Bytes of text in a content: a string, or parts.
fn length(content: &Value) -> usize {
    match content {
        Value::String(text) => text.len(),
        Value::Array(parts) => parts.iter().map(|part| part["text"].as_str().map_or(0, str::len)).sum(),
        _ => 0,
    }
}
