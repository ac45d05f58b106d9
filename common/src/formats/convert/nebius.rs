//! nebius' and nvidia's rows: a conversation under `trajectory` and a patch beside it.

use super::super::json::{Reject, id_of, non_empty, take_items, take_patch, take_str};
use super::{CandidateDraft, Row, chat, swe_agent};
use crate::{SourceFormat, Trajectory};

/// The patch is `model_patch` (OpenHands runs) or `generated_patch` (SWE-agent runs).
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let messages = take_items(&mut row.object, "trajectory")?;
    let turns = chat::turns(messages)?;
    let patch =
        take_patch(&mut row.object, "model_patch")?.or(take_patch(&mut row.object, "generated_patch")?);
    let exit_raw = take_str(&mut row.object, "exit_status").and_then(non_empty);
    let id = ["candidate_id", "trajectory_id"].into_iter().find_map(|key| id_of(&row.object, key));
    let draft = CandidateDraft {
        id,
        trajectory: Trajectory {
            instance_id: row.instance_id(),
            issue: chat::issue_in(&turns),
            exit: swe_agent::exit_of(exit_raw.as_deref(), patch.as_deref()),
            steps: Some(chat::acting(&turns)),
            turns,
            patch,
            exit_raw,
            source: SourceFormat::Nebius,
            ..Trajectory::default()
        },
        ..CandidateDraft::default()
    };
    row.candidate(draft);
    Ok(())
}
