//! EntroPO's own JSON: a candidate, or a trajectory without an id.

use serde_json::Value;

use super::super::json::{Object, Reject, id_of};
use super::{CandidateDraft, Row};
use crate::Trajectory;

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let mut object: Object = std::mem::take(&mut row.object);
    let id = id_of(&object, "candidate_id");
    object.shift_remove("candidate_id");
    let mut object = Value::Object(object);
    drop_nulls(&mut object);
    let mut trajectory: Trajectory = serde_json::from_value(object)
        .map_err(|error| Reject::Other(format!("not a trajectory: {error}")))?;
    if trajectory.instance_id.is_empty() {
        trajectory.instance_id.clone_from(&row.hint.name.instance);
    }
    trajectory.cost = trajectory.cost.filter(|cost| cost.is_finite());
    row.candidate(CandidateDraft { id, trajectory, ..CandidateDraft::default() });
    Ok(())
}

/// Null says the same as an absent field, in every place.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
