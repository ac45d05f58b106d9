//! SWE-bench predictions: one row of `.jsonl`, list, dict or `.pred`; Multi-SWE-bench's rows, with `fix_patch`.

use super::super::detect::BENCHMARK;
use super::super::json::{Reject, take_patch};
use super::{CandidateDraft, Row};
use crate::{SourceFormat, Trajectory};

/// `model_name_or_path` names the agent and is left behind.
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let instance_id = row.instance_id();
    if instance_id.is_empty() {
        return Err(Reject::Missing("instance_id"));
    }
    let field = ["model_patch", "fix_patch"].into_iter().find(|field| row.object.contains_key(*field));
    let field = field.ok_or(Reject::Missing("model_patch"))?;
    let has = |field: &&str| row.object.contains_key(*field) || row.stripped.contains_key(*field);
    if field == "fix_patch" && BENCHMARK.iter().any(has) {
        let reason = "it is a row of the benchmark, whose patch is the reference; read it as issues";
        return Err(Reject::Other(reason.to_owned()));
    }
    let trajectory = Trajectory {
        instance_id,
        patch: take_patch(&mut row.object, field)?,
        source: SourceFormat::Predictions,
        ..Trajectory::default()
    };
    row.candidate(CandidateDraft { trajectory, ..CandidateDraft::default() });
    Ok(())
}
