//! The answer: which candidate, how sure, and why.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The result of selecting among the candidates of one issue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Selection {
    /// The issue.
    pub instance_id: String,
    /// The policy that decided, such as `hybrid`.
    pub policy: String,
    /// Version of the policy's learned parameters, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The chosen candidate's id; null when the policy abstained or there was no candidate.
    pub chosen: Option<String>,
    /// Calibrated probability that the pick resolves the issue; null where the policy gives none.
    pub confidence: Option<f64>,
    /// True when no candidate was good enough for the requested minimum confidence.
    pub abstained: bool,
    /// Revisions of the verifier models whose scores counted, such as `linear@4f0c…`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verifiers: Vec<String>,
    /// Evidence that the policy wanted and did not get.
    pub degraded: Vec<Degraded>,
    /// Every candidate, best first.
    pub candidates: Vec<Ranked>,
}

/// One candidate's place in the ranking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ranked {
    /// The candidate.
    pub candidate_id: String,
    /// 1 is best.
    pub rank: u32,
    /// The policy's own score, higher is better; finite.
    pub score: f64,
    /// Calibrated probability that this candidate resolves the issue; null where the policy gives none.
    pub probability: Option<f64>,
    /// Cluster of near-duplicate patches, numbered from 0 by size, then first member.
    pub cluster: u32,
    /// How many candidates of the pool agree, at each level; includes the candidate itself.
    pub votes: Votes,
    /// What the tests said; null when there was no test evidence for it.
    pub tests: Option<TestSummary>,
    /// The verifier's probability, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier: Option<f64>,
    /// Standard error of its log-odds, where the verifier gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier_spread: Option<f64>,
    /// The stage that dropped it; null for candidates that reached the last stage.
    pub dropped: Option<DropStage>,
    /// Why it stands where it stands, in words, most important first.
    pub reasons: Vec<String>,
}

/// Agreement within the pool.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Votes {
    /// Candidates with the same normalised source change.
    pub exact: u32,
    /// Candidates in the same near-duplicate cluster.
    pub cluster: u32,
    /// Candidates that change the same set of source files.
    pub files: u32,
    /// Mean similarity to the other candidates, in [0, 1].
    pub similarity: f64,
}

/// Test evidence of one candidate, after the rules (base comparison, reruns, edited tests) were applied.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct TestSummary {
    /// Regression tests that pass on the base and still pass.
    pub regression_passed: u32,
    /// Regression tests that pass on the base and no longer do.
    pub regression_broken: u32,
    /// Reproduction or generated tests that fail on the base and now pass.
    pub reproduction_passed: u32,
    /// Reproduction or generated tests that fail on the base and still do.
    pub reproduction_failed: u32,
    /// Tests of which nothing is known for this candidate.
    pub unknown: u32,
    /// Tests that do not count because the patch edits or deletes them.
    pub tampered: u32,
}

/// Where a candidate left the race.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DropStage {
    /// Its patch is empty and another's is not.
    EmptyPatch,
    /// It did not finish and another did.
    Unfinished,
    /// It breaks more regression tests than the best.
    Regression,
    /// It passes fewer reproduction tests than the best.
    Reproduction,
    /// The verifier finds it too unlikely.
    Verifier,
    /// Fewer candidates agree with it.
    Votes,
    /// The number of steps decided.
    Steps,
}

/// Evidence that a policy wanted and did not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Degraded {
    /// What is missing: `verifier`, `regression`, `reproduction`, `trajectory`, ….
    pub evidence: String,
    /// Why, and what was done instead.
    pub detail: String,
}
