//! Test evidence: what a suite said of one candidate, or of the unpatched code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One run of one suite on one candidate, or on the unpatched code (the base).
///
/// Several runs of the same suite on the same candidate are reruns: a test's status is then decided by vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestRun {
    /// The candidate; null or absent for the unpatched code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_id: Option<String>,
    /// What the tests are for.
    pub kind: TestKind,
    /// The suite's name; tests are compared within a suite only.
    #[serde(default)]
    pub suite: String,
    /// Status by test name.
    pub results: BTreeMap<String, TestStatus>,
}

/// What a test is meant to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestKind {
    /// Existing tests of the repository: what worked must go on working.
    Regression,
    /// Tests written to show the issue: they fail on the unpatched code.
    Reproduction,
    /// Tests that a model wrote from the issue, of unknown quality.
    Generated,
}

/// What happened to one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestStatus {
    /// It ran and passed (an expected failure counts as passed).
    Passed,
    /// It ran and an assertion failed.
    Failed,
    /// It could not run to its end.
    Error,
    /// The suite chose not to run it.
    Skipped,
    /// The suite did not report it. Unknown, never a pass.
    Missing,
}
