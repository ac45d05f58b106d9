//! Augment candidate pools: one row an issue, with parallel lists of diffs and labels.

use serde_json::Value;

use super::super::json::{Reject, id_of, non_empty, patch_in, take_items, take_str};
use super::super::labels::Stripped;
use super::{CandidateDraft, Draft, Row};
use crate::{SourceFormat, Trajectory};

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let instance_id = id_of(&row.object, "id").unwrap_or_else(|| row.instance_id());
    if instance_id.is_empty() {
        return Err(Reject::Missing("id"));
    }
    let diffs = take_items(&mut row.object, "diffs")?;
    let issue = take_str(&mut row.object, "instruction").and_then(non_empty);
    let fits = |labels: &Value| labels.as_array().is_some_and(|labels| labels.len() == diffs.len());
    let labels = if row.stripped.get("eval_outcomes").is_some_and(fits) {
        row.stripped.remove("eval_outcomes")
    } else {
        None
    };
    let labels = labels.unwrap_or_default();
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
                patch: patch_in(diff, "diffs")?,
                source: SourceFormat::Augment,
                ..Trajectory::default()
            },
            stripped,
            ..CandidateDraft::default()
        })));
    }
    Ok(())
}
