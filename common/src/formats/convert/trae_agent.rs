//! Trajectories of the Trae agent.

use serde_json::Value;

use super::super::json::{Object, Reject, non_empty, take, take_list, take_object, take_str, take_text};
use super::{CandidateDraft, Row, chat};
use crate::{ExitStatus, Role, SourceFormat, Trajectory, Turn};

/// `success` is the agent's own word that it is done, no label.
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let steps = take_list(&mut row.object, "agent_steps").ok_or(Reject::Missing("agent_steps"))?;
    let task = take_str(&mut row.object, "task").and_then(non_empty);
    let mut turns = Vec::with_capacity(2 * steps.len() + 2);
    let mut taken = 0;
    for (index, step) in steps.into_iter().enumerate() {
        let Value::Object(mut step) = step else { continue };
        if index == 0 {
            let prompt = take_list(&mut step, "llm_messages").unwrap_or_default();
            turns.extend(chat::turns(prompt)?.into_iter().filter(|turn| !turn.content.is_empty()));
        }
        taken += 1;
        add_step(step, &mut turns);
    }
    let done = row.object.get("success").and_then(Value::as_bool);
    let patch =
        ["model_patch", "patch", "final_patch"].into_iter().find_map(|key| take_str(&mut row.object, key));
    let max = row.object.get("max_steps").and_then(Value::as_u64);
    let at_limit = max.is_some_and(|max| u64::from(taken) >= max);
    let exit = match done {
        Some(true) => ExitStatus::Submitted,
        Some(false) if at_limit && patch.is_some() => ExitStatus::SubmittedAtLimit,
        Some(false) if at_limit => ExitStatus::Limit,
        Some(false) => ExitStatus::Error,
        None => ExitStatus::Unknown,
    };
    let draft = CandidateDraft {
        trajectory: Trajectory {
            instance_id: row.instance_id(),
            issue: chat::issue_in(&turns).or(task),
            exit,
            exit_raw: done.map(|done| format!("success: {done}")),
            steps: Some(taken),
            turns,
            patch,
            source: SourceFormat::TraeAgent,
            ..Trajectory::default()
        },
        ..CandidateDraft::default()
    };
    row.candidate(draft);
    Ok(())
}

fn add_step(mut step: Object, turns: &mut Vec<Turn>) {
    let mut response = take_object(&mut step, "llm_response").unwrap_or_default();
    let calls = match chat::calls(take(&mut step, "tool_calls")) {
        calls if calls.is_empty() => chat::calls(take(&mut response, "tool_calls")),
        calls => calls,
    };
    turns.push(Turn {
        role: Role::Assistant,
        content: take_text(&mut response, "content"),
        reasoning: take_str(&mut step, "reflection").and_then(non_empty),
        tool_calls: calls,
        tool_call_id: None,
    });
    for result in take_list(&mut step, "tool_results").unwrap_or_default() {
        let Value::Object(mut result) = result else { continue };
        let parts = [take_text(&mut result, "result"), take_text(&mut result, "error")];
        let content = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
        turns.push(Turn {
            role: Role::Tool,
            content,
            tool_call_id: take_str(&mut result, "call_id"),
            ..Turn::default()
        });
    }
    if let Some(error) = take_str(&mut step, "error").and_then(non_empty) {
        turns.push(Turn { role: Role::Tool, content: error, ..Turn::default() });
    }
}
