//! Agentless `output_{i}_processed.jsonl` and the rows that its test runs make of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::json::{Reject, take, take_patch};
use super::{CandidateDraft, Draft, Row};
use crate::{SourceFormat, TestKind, TestRun, TestStatus, Trajectory};

const SUITE: &str = "agentless";

/// `regression` lists the tests that pass on the unpatched code and fail with the patch; an empty list may also mean
/// that nothing ran, so it says nothing. `reproduction` tells whether the reproduction test shows the issue as gone.
pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let instance_id = row.instance_id();
    if instance_id.is_empty() {
        return Err(Reject::Missing("instance_id"));
    }
    let mut tests = Vec::new();
    if let Some(Value::Array(failed)) = take(&mut row.object, "regression") {
        let names: Vec<String> =
            failed.into_iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        if !names.is_empty() {
            let all = |status| names.iter().map(|name| (name.clone(), status)).collect();
            let base = run(TestKind::Regression, all(TestStatus::Passed));
            row.out.push(Draft::TestRun { instance_id: instance_id.clone(), run: base });
            tests.push(run(TestKind::Regression, all(TestStatus::Failed)));
        }
    }
    if let Some(Value::Bool(gone)) = take(&mut row.object, "reproduction") {
        let status = if gone { TestStatus::Passed } else { TestStatus::Failed };
        let one = |status| BTreeMap::from([("reproduction".to_owned(), status)]);
        let base = run(TestKind::Reproduction, one(TestStatus::Failed));
        row.out.push(Draft::TestRun { instance_id: instance_id.clone(), run: base });
        tests.push(run(TestKind::Reproduction, one(status)));
    }
    let draft = CandidateDraft {
        tests,
        trajectory: Trajectory {
            instance_id,
            patch: take_patch(&mut row.object, "model_patch")?,
            source: SourceFormat::Agentless,
            ..Trajectory::default()
        },
        ..CandidateDraft::default()
    };
    row.candidate(draft);
    Ok(())
}

fn run(kind: TestKind, results: BTreeMap<String, TestStatus>) -> TestRun {
    TestRun { candidate_id: None, kind, suite: SUITE.to_owned(), results }
}
