//! Trae candidate pools: one row an issue, with parallel lists of patches, labels and failed regression tests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::json::{Reject, patch_in, take_items, take_list, take_str};
use super::super::labels::Stripped;
use super::{CandidateDraft, Draft, Row};
use crate::{SourceFormat, TestKind, TestRun, TestStatus, Trajectory};

/// `regressions[i]` lists the regression tests that candidate i fails; all of them pass on the unpatched code, and a
/// candidate passes those that only others fail.
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let instance_id = row.instance_id();
    if instance_id.is_empty() {
        return Err(Reject::Missing("instance_id"));
    }
    let patches = take_items(&mut row.object, "patches")?;
    let issue = take_str(&mut row.object, "issue");
    let broken = broken(take_list(&mut row.object, "regressions"), patches.len())?;
    let fits = |labels: &Value| labels.as_array().is_some_and(|labels| labels.len() == patches.len());
    let labels = if row.stripped.get("success_id").is_some_and(fits) {
        row.stripped.remove("success_id")
    } else {
        None
    };
    let labels = labels.unwrap_or_default();
    let suite: BTreeSet<&String> = broken.iter().flatten().collect();
    let run = |results| TestRun {
        candidate_id: None,
        kind: TestKind::Regression,
        suite: "trae".to_owned(),
        results,
    };
    if !suite.is_empty() {
        let results = suite.iter().map(|&name| (name.clone(), TestStatus::Passed)).collect();
        row.out.push(Draft::TestRun { instance_id: instance_id.clone(), run: run(results) });
    }
    for (index, patch) in patches.into_iter().enumerate() {
        let mut tests = Vec::new();
        if !suite.is_empty() {
            let fails = &broken[index];
            let status = |name| if fails.contains(name) { TestStatus::Failed } else { TestStatus::Passed };
            let results: BTreeMap<String, TestStatus> =
                suite.iter().map(|&name| (name.clone(), status(name))).collect();
            tests.push(run(results));
        }
        let mut stripped = Stripped::new();
        if let Some(label) = labels.get(index) {
            stripped.insert("resolved".to_owned(), label.clone());
        }
        row.out.push(Draft::Candidate(Box::new(CandidateDraft {
            part: Some(index.to_string()),
            trajectory: Trajectory {
                instance_id: instance_id.clone(),
                issue: issue.clone(),
                patch: patch_in(patch, "patches")?,
                source: SourceFormat::Trae,
                ..Trajectory::default()
            },
            stripped,
            tests,
            ..CandidateDraft::default()
        })));
    }
    Ok(())
}

fn broken(lists: Option<Vec<Value>>, count: usize) -> Result<Vec<BTreeSet<String>>, Reject> {
    let Some(lists) = lists.filter(|lists| !lists.is_empty()) else { return Ok(Vec::new()) };
    if lists.len() != count {
        let found = lists.len();
        return Err(Reject::Other(format!("field `regressions` has {found} lists for {count} patches")));
    }
    let names = |list: Value| match list {
        Value::Array(names) => {
            names.into_iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
        }
        _ => BTreeSet::new(),
    };
    Ok(lists.into_iter().map(names).collect())
}
