//! Rows of `messages` and `instance_id`: SWE-smith in both forms, EntroPO's processed R2E rows and verifier rows.

use super::super::ids::instance_of_image;
use super::super::json::{Reject, id_of, non_empty, str_of, take_items, take_patch, take_str};
use super::{CandidateDraft, Row, chat, swe_agent};
use crate::{SourceFormat, Trajectory};

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let messages = take_items(&mut row.object, "messages")?;
    let turns = chat::turns(messages)?;
    let instance_id = id_of(&row.object, "instance_id")
        .or_else(|| str_of(&row.object, "docker_image").map(|image| instance_of_image(image).to_owned()))
        .unwrap_or_else(|| row.hint.name.instance.clone());
    let patch = take_patch(&mut row.object, "patch")?.or(take_patch(&mut row.object, "model_patch")?);
    let exit_raw = ["exit_reasons", "exit_reason", "exit_status"]
        .into_iter()
        .find_map(|key| take_str(&mut row.object, key))
        .and_then(non_empty);
    let draft = CandidateDraft {
        id: ["candidate_id", "traj_id", "trajectory_id"].into_iter().find_map(|key| id_of(&row.object, key)),
        trajectory: Trajectory {
            instance_id,
            issue: chat::issue_in(&turns),
            exit: swe_agent::exit_of(exit_raw.as_deref(), patch.as_deref()),
            steps: Some(chat::acting(&turns)),
            turns,
            patch,
            exit_raw,
            source: SourceFormat::SweSmith,
            ..Trajectory::default()
        },
        ..CandidateDraft::default()
    };
    row.candidate(draft);
    Ok(())
}
