//! R2E-Gym trajectory rows, and bare lists of their steps.

use serde_json::Value;

use super::super::ids::instance_of_image;
use super::super::json::{
    Object, Reject, non_empty, str_of, take_items, take_list, take_patch, take_str, take_text,
};
use super::super::labels;
use super::{CandidateDraft, Row, chat, swe_agent};
use crate::{Role, SourceFormat, Trajectory, Turn};

/// Opinions of R2E-Gym's own rerankers, which are no evidence for ours.
const OPINIONS: &[&str] = &["verifier_prob", "reproduction_test_scores", "finished_score"];

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    labels::move_fields(&mut row.object, OPINIONS, "", &mut row.stripped);
    let steps = take_items(&mut row.object, "trajectory_steps")?;
    let taken = steps.len() as u32;
    let turns = match take_list(&mut row.object, "history") {
        Some(history) if !history.is_empty() => chat::turns(history)?,
        _ => from_steps(steps),
    };
    let ds = row.object.get("ds").and_then(Value::as_object);
    let instance_id = str_of(&row.object, "instance_id")
        .or_else(|| ds.and_then(|ds| str_of(ds, "instance_id")))
        .or_else(|| str_of(&row.object, "docker_image").map(instance_of_image))
        .map_or_else(|| row.hint.name.instance.clone(), str::to_owned);
    let exit_raw = take_str(&mut row.object, "exit_reason").and_then(non_empty);
    let patch = take_patch(&mut row.object, "output_patch")?;
    let draft = CandidateDraft {
        trajectory: Trajectory {
            instance_id,
            issue: take_str(&mut row.object, "problem_statement").and_then(non_empty),
            exit: swe_agent::exit_of(exit_raw.as_deref(), patch.as_deref()),
            steps: Some(taken),
            turns,
            patch,
            exit_raw,
            source: SourceFormat::R2eGym,
            ..Trajectory::default()
        },
        ..CandidateDraft::default()
    };
    row.candidate(draft);
    Ok(())
}

/// What the agent did stays in the text, as R2E-Gym's prompts have it.
fn from_steps(steps: Vec<Value>) -> Vec<Turn> {
    let mut turns = Vec::with_capacity(2 * steps.len());
    for step in steps {
        let Value::Object(mut step) = step else { continue };
        turns.push(Turn { role: Role::Assistant, content: said(&mut step), ..Turn::default() });
        turns.push(Turn {
            role: Role::User,
            content: take_text(&mut step, "observation"),
            ..Turn::default()
        });
    }
    turns
}

fn said(step: &mut Object) -> String {
    let parts = [take_text(step, "thought"), take_text(step, "action")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}
