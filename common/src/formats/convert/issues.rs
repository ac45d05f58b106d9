//! Rows of issues: benchmark data sets, or just `instance_id` and `problem_statement`.

use super::super::json::{Reject, take_str};
use super::super::labels::move_fields;
use super::{Draft, Row};

/// The reference patch of a benchmark's row is stripped like any label.
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let instance_id = row.instance_id();
    if instance_id.is_empty() {
        return Err(Reject::Missing("instance_id"));
    }
    let text = take_str(&mut row.object, "problem_statement")
        .or_else(|| take_str(&mut row.object, "issue"))
        .ok_or(Reject::Missing("problem_statement"))?;
    move_fields(&mut row.object, &["patch", "hints_text"], "", &mut row.stripped);
    row.out.push(Draft::Issue { instance_id, text });
    Ok(())
}
