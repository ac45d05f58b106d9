//! EntroPO's own JSON: a candidate, or a trajectory without an id.

use serde_json::Value;

use super::super::json::{Object, Reject, non_empty, take_str};
use super::{CandidateDraft, Row};
use crate::Trajectory;

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let mut object: Object = std::mem::take(&mut row.object);
    let id = take_str(&mut object, "candidate_id").and_then(non_empty);
    object.shift_remove("candidate_id");
    let mut trajectory: Trajectory = serde_json::from_value(Value::Object(object))
        .map_err(|error| Reject::Other(format!("not a trajectory: {error}")))?;
    if trajectory.instance_id.is_empty() {
        trajectory.instance_id.clone_from(&row.hint.name.instance);
    }
    trajectory.cost = trajectory.cost.filter(|cost| cost.is_finite());
    row.candidate(CandidateDraft { id, trajectory, ..CandidateDraft::default() });
    Ok(())
}
