//! Labelled candidate pools. `run` and `model` name the agent and are left behind.

use super::super::json::{Reject, count, id_of, non_empty, take_patch, take_str};
use super::{CandidateDraft, Row, swe_agent};
use crate::{SourceFormat, Trajectory};

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    if id_of(&row.object, "instance_id").is_none() {
        return Err(Reject::Missing("instance_id"));
    }
    let instance_id = row.instance_id();
    let id = id_of(&row.object, "candidate_id").ok_or(Reject::Missing("candidate_id"))?;
    // Pools write null for "this scaffold leaves no word", and the patch as the agent left it.
    let patch = take_patch(&mut row.object, "patch")?;
    let exit_raw = take_str(&mut row.object, "exit_status").and_then(non_empty);
    let steps = count(row.object.get("n_steps"));
    let trajectory_path = take_str(&mut row.object, "trajectory").and_then(non_empty);
    let draft = CandidateDraft {
        id: Some(id),
        trajectory_path,
        trajectory: Trajectory {
            instance_id,
            issue: take_str(&mut row.object, "problem_statement").and_then(non_empty),
            exit: swe_agent::exit_of(exit_raw.as_deref(), patch.as_deref()),
            patch,
            exit_raw,
            steps,
            source: SourceFormat::Pool,
            ..Trajectory::default()
        },
        ..CandidateDraft::default()
    };
    row.candidate(draft);
    Ok(())
}
