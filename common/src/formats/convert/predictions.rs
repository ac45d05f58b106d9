//! SWE-bench predictions: one row of `.jsonl`, list, dict or `.pred`.

use super::super::json::{Reject, take_str};
use super::{CandidateDraft, Row};
use crate::{SourceFormat, Trajectory};

/// `model_name_or_path` names the agent and is left behind.
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let instance_id = row.instance_id();
    if instance_id.is_empty() {
        return Err(Reject::Missing("instance_id"));
    }
    if !row.object.contains_key("model_patch") {
        return Err(Reject::Missing("model_patch"));
    }
    let trajectory = Trajectory {
        instance_id,
        patch: take_str(&mut row.object, "model_patch"),
        source: SourceFormat::Predictions,
        ..Trajectory::default()
    };
    row.candidate(CandidateDraft { trajectory, ..CandidateDraft::default() });
    Ok(())
}
