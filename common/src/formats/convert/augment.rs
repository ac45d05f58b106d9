//! Augment candidate pools: one row an issue, with parallel lists of diffs and labels.

use serde_json::Value;

use super::super::json::{Reject, non_empty, str_of, take_list, take_str};
use super::super::labels::Stripped;
use super::{CandidateDraft, Draft, Row};
use crate::{SourceFormat, Trajectory};

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let instance_id = str_of(&row.object, "id").map_or_else(|| row.instance_id(), str::to_owned);
    if instance_id.is_empty() {
        return Err(Reject::Missing("id"));
    }
    let diffs = take_list(&mut row.object, "diffs").ok_or(Reject::Missing("diffs"))?;
    let issue = take_str(&mut row.object, "instruction").and_then(non_empty);
    let labels = match row.stripped.remove("eval_outcomes") {
        Some(Value::Array(labels)) if labels.len() == diffs.len() => labels,
        _ => Vec::new(),
    };
    for (index, diff) in diffs.into_iter().enumerate() {
        let mut stripped = Stripped::new();
        if let Some(label) = labels.get(index) {
            let verdict = label.get("is_success").unwrap_or(label);
            stripped.insert("resolved".to_owned(), verdict.clone());
        }
        row.out.push(Draft::Candidate(Box::new(CandidateDraft {
            part: Some(index.to_string()),
            trajectory: Trajectory {
                instance_id: instance_id.clone(),
                issue: issue.clone(),
                patch: diff.as_str().map(str::to_owned),
                source: SourceFormat::Augment,
                ..Trajectory::default()
            },
            stripped,
            ..CandidateDraft::default()
        })));
    }
    Ok(())
}
