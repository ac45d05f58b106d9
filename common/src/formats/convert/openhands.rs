//! OpenHands `output.jsonl`: a list of events, of pairs of them, or of SDK events (V1), before or after evaluation;
//! and the resolver's output.

use serde_json::Value;

use super::super::json::{
    Object, Reject, id_of, non_empty, number, str_of, take, take_list, take_object, take_patch, take_str,
    take_text,
};
use super::super::{exit_status, labels};
use super::{CandidateDraft, Row, chat, openhands_sdk};
use crate::{ExitStatus, Role, SourceFormat, ToolCall, Trajectory, Turn};

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    // The resolver's own opinion of its success is no label, but all but one; it does not reach selection either.
    labels::move_fields(
        &mut row.object,
        &["success", "comment_success", "result_explanation"],
        "",
        &mut row.stripped,
    );
    let mut result = take_object(&mut row.object, "test_result").unwrap_or_default();
    let patch = take_patch(&mut result, "git_patch")?.or(take_patch(&mut row.object, "git_patch")?);
    let history = take_list(&mut row.object, "history");
    // A run that broke down leaves them empty.
    if !["test_result", "git_patch", "history"].iter().any(|field| row.object.contains_key(*field)) {
        return Err(Reject::Missing("history"));
    }
    let (turns, finished) = turns(history.unwrap_or_default());
    let patch = patch.map(|patch| clean_patch(&patch));
    let error = take(&mut row.object, "error").map(super::super::json::text).and_then(non_empty);
    let has_patch = patch.as_deref().is_some_and(|patch| !patch.is_empty());
    let exit = match &error {
        Some(error) => exit_status(error, has_patch),
        None if finished => ExitStatus::Submitted,
        None => ExitStatus::Unknown,
    };
    let metrics = row.object.get("metrics");
    let instance = row.object.get("instance").and_then(Value::as_object);
    let issue = row.object.get("issue").and_then(Value::as_object);
    let text =
        |object: Option<&Object>, key| object.and_then(|object| str_of(object, key)).map(str::to_owned);
    let number_of_issue = issue.and_then(|issue| issue.get("number")).and_then(Value::as_u64);
    let trajectory = Trajectory {
        instance_id: id_of(&row.object, "instance_id")
            .or_else(|| text(instance, "instance_id"))
            .or_else(|| {
                Some(format!("{}__{}-{}", text(issue, "owner")?, text(issue, "repo")?, number_of_issue?))
            })
            .unwrap_or_else(|| row.instance_id()),
        issue: text(instance, "problem_statement")
            .or_else(|| titled(issue?))
            .or_else(|| chat::issue_in(&turns)),
        steps: Some(
            turns.iter().filter(|turn| turn.role == Role::Assistant && !turn.tool_calls.is_empty()).count()
                as u32,
        ),
        cost: number(metrics.and_then(|metrics| metrics.get("accumulated_cost"))),
        turns,
        patch,
        exit,
        exit_raw: error.or_else(|| finished.then(|| "finish".to_owned())),
        source: SourceFormat::OpenHands,
    };
    let part = row.object.get("attempt").and_then(Value::as_u64).map(|attempt| format!("attempt-{attempt}"));
    row.candidate(CandidateDraft { part, trajectory, ..CandidateDraft::default() });
    Ok(())
}

/// The issue as benchmarks give it: its title, then its body.
fn titled(issue: &Object) -> Option<String> {
    let part = |key| str_of(issue, key).unwrap_or_default();
    non_empty(format!("{}\n{}", part("title"), part("body")).trim().to_owned())
}

/// What OpenHands' own evaluation does to a patch before it is applied: prose before the first `diff --git` goes, line
/// ends become LF, and the last line is ended.
fn clean_patch(patch: &str) -> String {
    let patch = patch.replace("\r\n", "\n");
    let start =
        if patch.starts_with("diff --git") { Some(0) } else { patch.find("\ndiff --git").map(|at| at + 1) };
    let mut patch = start.map_or(patch.as_str(), |start| &patch[start..]).to_owned();
    if patch.trim().is_empty() {
        patch.clear();
    } else if !patch.ends_with('\n') {
        patch.push('\n');
    }
    patch
}

/// Turns of a history, and whether the agent finished it.
fn turns(history: Vec<Value>) -> (Vec<Turn>, bool) {
    let mut turns = Vec::with_capacity(history.len());
    let mut finished = false;
    // Older files pair each action with its observation.
    let events = history.into_iter().flat_map(|item| match item {
        Value::Array(pair) => pair,
        event => vec![event],
    });
    for event in events {
        let Value::Object(mut event) = event else { continue };
        if let Some(kind) = take_str(&mut event, "kind") {
            finished |= openhands_sdk::event(&kind, event, &mut turns);
        } else if event.contains_key("role") && !event.contains_key("action") {
            turns.push(chat::turn(event));
        } else if let Some(action) = take_str(&mut event, "action") {
            finished |= action == "finish";
            turns.extend(act(&action, event));
        } else if let Some(observation) = take_str(&mut event, "observation") {
            turns.extend(observe(&observation, event));
        }
    }
    (turns, finished)
}

/// Actions that are bookkeeping of the scaffold.
const SILENT: &[&str] = &[
    "null",
    "change_agent_state",
    "recall",
    "condensation",
    "condensation_request",
    "pause",
    "resume",
    "stop",
];

fn act(action: &str, mut event: Object) -> Option<Turn> {
    if SILENT.contains(&action) {
        return None;
    }
    let mut args = take_object(&mut event, "args").unwrap_or_default();
    let mut metadata = take_object(&mut event, "tool_call_metadata").unwrap_or_default();
    let message = take_text(&mut event, "message");
    if action == "system" {
        return Some(Turn {
            role: Role::System,
            content: take_text(&mut args, "content"),
            ..Turn::default()
        });
    }
    let agent = str_of(&event, "source") != Some("user");
    if action == "message" {
        let content = non_empty(take_text(&mut args, "content")).unwrap_or(message);
        let role = if agent { Role::Assistant } else { Role::User };
        return Some(Turn { role, content, reasoning: reasoning(&mut metadata), ..Turn::default() });
    }
    let thought = take_text(&mut args, "thought");
    let content = if action == "finish" {
        non_empty(thought).unwrap_or_else(|| take_text(&mut args, "final_thought"))
    } else {
        thought
    };
    // What follows is the runtime's, not the agent's.
    for field in
        ["hidden", "blocking", "confirmation_state", "security_risk", "is_static", "kernel_init_code"]
    {
        args.shift_remove(field);
    }
    args.retain(|_, value| !value.is_null());
    let call = ToolCall {
        id: take_str(&mut metadata, "tool_call_id"),
        name: take_str(&mut metadata, "function_name").unwrap_or_else(|| action.to_owned()),
        arguments: Value::Object(args).to_string(),
    };
    Some(Turn {
        role: if agent { Role::Assistant } else { Role::User },
        content,
        reasoning: reasoning(&mut metadata),
        tool_calls: vec![call],
        tool_call_id: None,
    })
}

/// Reasoning in the model's response that OpenHands keeps with the call.
fn reasoning(metadata: &mut Object) -> Option<String> {
    let message = metadata.get_mut("model_response")?.get_mut("choices")?.get_mut(0)?.get_mut("message")?;
    take_str(message.as_object_mut()?, "reasoning_content").and_then(non_empty)
}

fn observe(observation: &str, mut event: Object) -> Option<Turn> {
    if matches!(observation, "null" | "agent_state_changed" | "condense") {
        return None;
    }
    let content = take_text(&mut event, "content");
    let mut metadata = take_object(&mut event, "tool_call_metadata").unwrap_or_default();
    if observation == "recall" && content.trim().is_empty() {
        return None;
    }
    let role = if observation == "recall" { Role::User } else { Role::Tool };
    Some(Turn { role, content, tool_call_id: take_str(&mut metadata, "tool_call_id"), ..Turn::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_cleaned_as_the_harness_does() {
        assert_eq!(clean_patch("noise\r\ndiff --git a/x b/x\r\n+a"), "diff --git a/x b/x\n+a\n");
        assert_eq!(clean_patch("--- a/x\n+++ b/x\n"), "--- a/x\n+++ b/x\n");
        assert_eq!(clean_patch(" \n"), "");
        // Only at the start of a line does it begin a diff.
        assert_eq!(clean_patch("diff --git a/x b/x\n+ diff --git\n"), "diff --git a/x b/x\n+ diff --git\n");
    }
}
