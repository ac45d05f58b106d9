//! Rows of issues: benchmark data sets, or just `instance_id` and `problem_statement`.

use serde_json::Value;

use super::super::json::{Reject, non_empty, take_list, take_str};
use super::super::labels::move_fields;
use super::{Draft, Row};

/// The reference patch of a benchmark's row is stripped like any label.
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let instance_id = row.instance_id();
    if instance_id.is_empty() {
        return Err(Reject::Missing("instance_id"));
    }
    let text = ["problem_statement", "issue"]
        .into_iter()
        .find_map(|field| take_str(&mut row.object, field).and_then(non_empty))
        .or_else(|| resolved_issues(row))
        .ok_or(Reject::Missing("problem_statement"))?;
    move_fields(&mut row.object, &["patch", "fix_patch", "hints_text"], "", &mut row.stripped);
    row.out.push(Draft::Issue { instance_id, text });
    Ok(())
}

/// Multi-SWE-bench lists the issues that the reference resolves, each with title and body.
fn resolved_issues(row: &mut Row<'_>) -> Option<String> {
    let issues = take_list(&mut row.object, "resolved_issues")?;
    let text = |issue: Value| {
        let part = |key| issue.get(key).and_then(Value::as_str).unwrap_or_default();
        format!("{}\n{}", part("title"), part("body")).trim().to_owned()
    };
    let texts: Vec<String> = issues.into_iter().map(text).filter(|text| !text.is_empty()).collect();
    non_empty(texts.join("\n\n"))
}
