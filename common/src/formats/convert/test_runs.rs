//! Rows of test evidence: `{instance_id, candidate_id, kind, suite, passed, failed, missing}` or `results` by test;
//! and Agentless' list of the tests that pass on the unpatched code.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::json::{Reject, id_of, take, take_list, take_str};
use super::{Draft, Row};
use crate::{TestKind, TestRun, TestStatus};

const LISTS: &[(&str, TestStatus)] = &[
    // In this order, so that a test in two lists gets the worse status.
    ("missing", TestStatus::Missing),
    ("skipped", TestStatus::Skipped),
    ("passed", TestStatus::Passed),
    ("error", TestStatus::Error),
    ("failed", TestStatus::Failed),
];

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let instance_id = row.instance_id();
    if instance_id.is_empty() {
        return Err(Reject::Missing("instance_id"));
    }
    if let Some(names) = take_list(&mut row.object, "tests_passing_in_original_repo") {
        let names = names.into_iter().filter_map(|name| name.as_str().map(str::to_owned));
        let results = names.map(|name| (name, TestStatus::Passed)).collect();
        let run = TestRun {
            candidate_id: None,
            kind: TestKind::Regression,
            suite: "agentless".to_owned(),
            results,
        };
        row.out.push(Draft::TestRun { instance_id, run });
        return Ok(());
    }
    let kind = take(&mut row.object, "kind").ok_or(Reject::Missing("kind"))?;
    let kind: TestKind = serde_json::from_value(lower(kind))
        .map_err(|_| Reject::Type { field: "kind", expected: "regression, reproduction or generated" })?;
    let mut results = BTreeMap::new();
    for &(list, status) in LISTS {
        match take(&mut row.object, list) {
            Some(Value::Array(names)) => {
                for name in names {
                    let Value::String(name) = name else {
                        return Err(Reject::Type { field: list, expected: "a list of test names" });
                    };
                    results.insert(name, status);
                }
            }
            None | Some(Value::Null) => {}
            Some(_) => return Err(Reject::Type { field: list, expected: "a list of test names" }),
        }
    }
    if let Some(given) = take(&mut row.object, "results").filter(|given| !given.is_null()) {
        let given = match given {
            Value::Object(given) => given.into_iter().map(|(name, status)| (name, lower(status))).collect(),
            other => other,
        };
        let given: BTreeMap<String, TestStatus> =
            serde_json::from_value(given).map_err(|_| Reject::Type {
                field: "results",
                expected: "test names with passed, failed, error, skipped or missing",
            })?;
        results.extend(given);
    }
    // An id that cannot be read must not turn the run into one of the unpatched code.
    let candidate_id = match row.object.get("candidate_id") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) if id.is_empty() => None,
        Some(_) => Some(
            id_of(&row.object, "candidate_id")
                .ok_or(Reject::Type { field: "candidate_id", expected: "text or a whole number" })?,
        ),
    };
    let run = TestRun {
        candidate_id,
        kind,
        suite: take_str(&mut row.object, "suite").unwrap_or_default(),
        results,
    };
    row.out.push(Draft::TestRun { instance_id, run });
    Ok(())
}

/// Runners write `PASSED` as well as `passed`.
fn lower(value: Value) -> Value {
    match value {
        Value::String(word) => Value::String(word.to_ascii_lowercase()),
        other => other,
    }
}
