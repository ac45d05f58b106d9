//! SWE-agent `.traj`, versions 0.x and 1.x, with the attempts of its retry agent.

use serde_json::Value;

use super::super::exit_status;
use super::super::ids::instance_in_name;
use super::super::json::{
    Object, Reject, count, non_empty, number, str_of, take_list, take_object, take_patch, take_str, take_text,
};
use super::super::labels;
use super::{CandidateDraft, Draft, Row, chat};
use crate::{Role, SourceFormat, ToolCall, Trajectory, Turn};

/// One candidate, or one for each attempt: the top level of a retry file only repeats the attempt that SWE-agent
/// chose, which is marked as its choice.
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let mut instance = row.instance_id();
    // A name in SWE-bench style is the benchmark's own; else the configuration knows better than the file name.
    if instance_in_name(&instance).is_none() {
        instance = problem_id(row.object.get("replay_config")).unwrap_or(instance);
    }
    let attempts = take_list(&mut row.object, "attempts").unwrap_or_default();
    if attempts.is_empty() {
        let trajectory = attempt(&mut row.object, instance)?;
        row.candidate(CandidateDraft { trajectory, ..CandidateDraft::default() });
        return Ok(());
    }
    let best = row.object.get("info").map(|info| count(info.get("best_attempt_idx")));
    let best = best.flatten().map(|best| best as usize);
    // A label at the top is of the attempt that was handed in.
    for (index, value) in attempts.into_iter().enumerate() {
        let mut object = match value {
            Value::Object(object) => object,
            Value::Null => continue,
            _ => return Err(Reject::Other(format!("attempt {index} is not an object"))),
        };
        let mut stripped = labels::strip(&mut object);
        let chosen = best.map(|best| best == index);
        if chosen == Some(true) {
            stripped.append(&mut row.stripped);
        }
        row.out.push(Draft::Candidate(Box::new(CandidateDraft {
            part: Some(format!("attempt-{index}")),
            trajectory: attempt(&mut object, instance.clone())?,
            stripped,
            scaffold_choice: chosen,
            ..CandidateDraft::default()
        })));
    }
    Ok(())
}

fn attempt(object: &mut Object, instance_id: String) -> Result<Trajectory, Reject> {
    let steps = take_list(object, "trajectory");
    let history = take_list(object, "history");
    if steps.is_none() && history.is_none() {
        return Err(Reject::Missing("trajectory"));
    }
    let taken = steps.as_ref().map(|steps| steps.len() as u32);
    let shown = steps.as_deref().and_then(shown);
    let turns = match history {
        Some(history) if !history.is_empty() => {
            let mut turns = Vec::with_capacity(history.len());
            for (index, item) in history.into_iter().enumerate() {
                match item {
                    Value::Object(item) => turns.push(turn(item)),
                    Value::Null => {}
                    _ => return Err(Reject::Other(format!("message {} is not an object", index + 1))),
                }
            }
            turns
        }
        _ => from_steps(steps.unwrap_or_default()),
    };
    let mut info = take_object(object, "info").unwrap_or_default();
    let patch = take_patch(&mut info, "submission")?.or(shown);
    let exit_raw = take_str(&mut info, "exit_status").and_then(non_empty);
    let stats = info.get("model_stats");
    Ok(Trajectory {
        instance_id,
        issue: chat::issue_in(&turns),
        exit: exit_of(exit_raw.as_deref(), patch.as_deref()),
        steps: taken.or_else(|| Some(chat::acting(&turns))),
        cost: number(stats.and_then(|stats| stats.get("instance_cost"))),
        turns,
        patch,
        exit_raw,
        source: SourceFormat::SweAgent,
    })
}

/// The patch that the last step shows when it hands one in: all there is when a run ends before its summary is written.
fn shown(steps: &[Value]) -> Option<String> {
    let last = steps.last()?;
    let text = |key| last.get(key).and_then(Value::as_str).unwrap_or_default();
    if !text("action").trim_start().starts_with("submit") {
        return None;
    }
    let seen = text("observation");
    let start = if seen.starts_with("diff --git ") { 0 } else { seen.find("\ndiff --git ")? + 1 };
    let patch = seen[start..].split("\n<<SWE_AGENT_SUBMISSION>>").next()?.trim_end_matches('\n');
    Some(format!("{patch}\n"))
}

pub(super) fn exit_of(raw: Option<&str>, patch: Option<&str>) -> crate::ExitStatus {
    let has_patch = patch.is_some_and(|patch| !patch.trim().is_empty());
    exit_status(raw.unwrap_or_default(), has_patch)
}

/// A message of `history`. Its thought and action are kept apart only where the content does not hold them already.
fn turn(mut item: Object) -> Turn {
    let thought = take_str(&mut item, "thought");
    let action = take_str(&mut item, "action");
    let mut turn = chat::turn(item);
    if turn.role != Role::Assistant {
        return turn;
    }
    let apart = |text: &String| !text.trim().is_empty() && !turn.content.contains(text.trim());
    let thought = thought.filter(apart);
    let action = action.filter(apart);
    turn.reasoning = turn.reasoning.or(thought);
    if let Some(action) = action
        && turn.tool_calls.is_empty()
    {
        turn.tool_calls.push(command(action));
    }
    turn
}

fn command(action: String) -> ToolCall {
    let name = action.split_whitespace().next().unwrap_or_default().to_owned();
    ToolCall { id: None, name, arguments: action }
}

/// Turns of a file without history: the prompt of the first step, then what the agent said and saw.
fn from_steps(steps: Vec<Value>) -> Vec<Turn> {
    let mut turns = Vec::with_capacity(2 * steps.len());
    for (index, step) in steps.into_iter().enumerate() {
        let Value::Object(mut step) = step else { continue };
        if index == 0 {
            let prompt = take_list(&mut step, "query")
                .or_else(|| take_list(&mut step, "messages"))
                .unwrap_or_default();
            turns.extend(prompt.into_iter().filter_map(|item| match item {
                Value::Object(item) => Some(turn(item)),
                _ => None,
            }));
        }
        let response = take_text(&mut step, "response");
        let thought = take_str(&mut step, "thought").unwrap_or_default();
        let action = take_str(&mut step, "action").unwrap_or_default();
        let content = non_empty(response).unwrap_or(thought);
        let apart = !action.trim().is_empty() && !content.contains(action.trim());
        turns.push(Turn {
            role: Role::Assistant,
            content,
            tool_calls: if apart { vec![command(action)] } else { Vec::new() },
            ..Turn::default()
        });
        turns.push(Turn {
            role: Role::Tool,
            content: take_text(&mut step, "observation"),
            ..Turn::default()
        });
    }
    turns
}

/// The issue's id in `replay_config`, which newer versions write as JSON text.
fn problem_id(config: Option<&Value>) -> Option<String> {
    let parsed;
    let config = match config? {
        Value::String(text) => {
            parsed = super::super::parse_json(text.as_bytes()).ok()?;
            &parsed
        }
        other => other,
    };
    let id = str_of(config.get("problem_statement")?.as_object()?, "id")?.to_owned();
    // Ids that SWE-agent makes up from the text are hashes and say nothing.
    let made_up = id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (!made_up).then_some(id)
}
