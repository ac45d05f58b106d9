//! LLaMA-Factory's conversations: supervised rows, DPO rows (two ways to go on) and KTO rows (a tag).

use serde_json::Value;

use super::super::json::{Object, Reject, non_empty, take, take_items, take_str};
use super::super::labels::Stripped;
use super::{CandidateDraft, Draft, Row, chat};
use crate::{Role, SourceFormat, Trajectory, Turn};

/// Digits of a content address in an id.
const ADDRESS: usize = 12;

/// A row is a candidate; one of `chosen` and `rejected` is two, of which the chosen one counts as resolved, as where
/// EntroPO writes such rows. Rows of one prompt are of one issue, for they name none.
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let messages = take_items(&mut row.object, "conversations")?;
    let mut turns = turns(messages)?;
    if let Some(system) = take_str(&mut row.object, "system").and_then(non_empty)
        && turns.first().is_none_or(|turn| turn.role != Role::System)
    {
        turns.insert(0, Turn { role: Role::System, content: system, ..Turn::default() });
    }
    let named = super::json::id_of(&row.object, "instance_id");
    let instance_id = named.unwrap_or_else(|| address(&turns));
    row.object.insert("instance_id".to_owned(), Value::from(instance_id.clone()));
    let trajectory = |turns: Vec<Turn>| Trajectory {
        instance_id: instance_id.clone(),
        issue: chat::issue_in(&turns),
        steps: Some(chat::acting(&turns)),
        turns,
        source: SourceFormat::LlamaFactory,
        ..Trajectory::default()
    };
    let ways = [("chosen", true), ("rejected", false)]
        .map(|(field, verdict)| (field, verdict, take(&mut row.object, field)));
    if ways.iter().all(|(.., way)| way.as_ref().is_none_or(Value::is_null)) {
        row.candidate(CandidateDraft { trajectory: trajectory(turns), ..CandidateDraft::default() });
        return Ok(());
    }
    let mut drafts = Vec::with_capacity(2);
    for (field, verdict, way) in ways {
        let rest = match way {
            Some(Value::Array(messages)) => self::turns(messages)?,
            Some(Value::Object(message)) => vec![turn(message)],
            Some(Value::String(text)) => {
                vec![Turn { role: Role::Assistant, content: text, ..Turn::default() }]
            }
            None | Some(Value::Null) => continue,
            Some(_) => return Err(Reject::Type { field, expected: "a list of messages" }),
        };
        let trajectory = trajectory([turns.clone(), rest].concat());
        drafts.push(CandidateDraft {
            part: Some(trajectory.content_id()[..ADDRESS].to_owned()),
            trajectory,
            stripped: Stripped::from([("chosen".to_owned(), Value::Bool(verdict))]),
            ..CandidateDraft::default()
        });
    }
    // Neither the ids nor the order may tell which one was chosen.
    drafts.sort_by(|a, b| a.part.cmp(&b.part));
    row.out.extend(drafts.into_iter().map(|draft| Draft::Candidate(Box::new(draft))));
    Ok(())
}

fn turns(messages: Vec<Value>) -> Result<Vec<Turn>, Reject> {
    let mut turns = chat::turns(messages)?;
    turns.iter_mut().for_each(structured);
    Ok(turns)
}

fn turn(message: Object) -> Turn {
    let mut turn = chat::turn(message);
    structured(&mut turn);
    turn
}

/// A `function_call` message holds one call, or a list of them, as JSON text.
fn structured(turn: &mut Turn) {
    if turn.role != Role::Assistant || !turn.content.trim_start().starts_with(['{', '[']) {
        return;
    }
    let calls = match super::super::parse_json(turn.content.as_bytes()) {
        Ok(Value::Array(calls)) => calls,
        Ok(call @ Value::Object(_)) => vec![call],
        _ => return,
    };
    let is_call =
        |call: &Value| call.get("name").is_some_and(Value::is_string) && call.get("arguments").is_some();
    if !calls.is_empty() && calls.iter().all(is_call) {
        turn.tool_calls = chat::calls(Some(Value::Array(calls)));
        turn.content.clear();
    }
}

/// The start of the prompt's content address: what comes before the agent's first word.
fn address(turns: &[Turn]) -> String {
    let mut hasher = blake3::Hasher::new();
    for turn in turns.iter().take_while(|turn| turn.role != Role::Assistant) {
        hasher.update(turn.content.as_bytes());
        hasher.update(&[0]);
    }
    format!("prompt-{}", &hasher.finalize().to_hex()[..ADDRESS])
}
