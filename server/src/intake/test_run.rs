//! Test evidence as a request gives it: a map of results, or lists by status, or both.

use std::collections::BTreeMap;

use crate::Problem;
use common::{TestKind, TestRun, TestStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One run of one suite on a candidate or on the unpatched code. A test may be named once only.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestIn {
    /// The issue; that of the request when it is left out.
    #[serde(default)]
    instance_id: Option<String>,
    /// The candidate; null or left out for the unpatched code.
    #[serde(default)]
    candidate_id: Option<String>,
    /// What the tests are for.
    kind: TestKind,
    /// The suite's name; tests are compared within a suite only.
    #[serde(default)]
    suite: String,
    /// Status by test name.
    #[serde(default)]
    results: BTreeMap<String, TestStatus>,
    /// Names of tests that passed.
    #[serde(default)]
    passed: Vec<String>,
    /// Names of tests that failed.
    #[serde(default)]
    failed: Vec<String>,
    /// Names of tests that could not run to their end.
    #[serde(default)]
    error: Vec<String>,
    /// Names of tests that were not run by choice.
    #[serde(default)]
    skipped: Vec<String>,
    /// Names of tests that the suite did not report.
    #[serde(default)]
    missing: Vec<String>,
}

impl TestIn {
    /// The issue (empty when not said) and the run.
    pub fn into_run(self, field: &str) -> Result<(String, TestRun), Problem> {
        let mut results = self.results;
        let lists = [
            (self.passed, TestStatus::Passed),
            (self.failed, TestStatus::Failed),
            (self.error, TestStatus::Error),
            (self.skipped, TestStatus::Skipped),
            (self.missing, TestStatus::Missing),
        ];
        for (names, status) in lists {
            for name in names {
                if let Some(other) = results.insert(name.clone(), status)
                    && other != status
                {
                    return Err(Problem::field(field, format!("test `{name}` has two statuses in one run")));
                }
            }
        }
        let run = TestRun { candidate_id: self.candidate_id, kind: self.kind, suite: self.suite, results };
        Ok((self.instance_id.unwrap_or_default(), run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, TestRun), Problem> {
        serde_json::from_str::<TestIn>(text).unwrap().into_run("tests[0]")
    }

    #[test]
    fn maps_and_lists_say_the_same() {
        let map = read(r#"{"kind": "regression", "results": {"a": "passed", "b": "missing"}}"#).unwrap();
        let lists = read(r#"{"kind": "regression", "passed": ["a", "a"], "missing": ["b"]}"#).unwrap();
        assert_eq!(map, lists);
    }

    #[test]
    fn a_test_cannot_both_pass_and_fail() {
        let problem = read(r#"{"kind": "regression", "passed": ["a"], "failed": ["a"]}"#).unwrap_err();
        assert!(problem.detail().contains("tests[0]: test `a`"), "{}", problem.detail());
    }
}
