//! Requests and responses.

use std::collections::BTreeMap;

use common::{Selection, VerifierScore};
use serde::{Deserialize, Serialize};
use server::intake::{CandidateIn, FileIn, FileReport, TestIn};
use store::{SelectionRecord, SelectionSummary};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::outcomes::OutcomeView;
use crate::Policy;

/// The candidates of one issue and what is known of them.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({
    "instance_id": "acme__tool-7",
    "issue": "`tool --count 0` prints nothing",
    "candidates": [
        {
            "candidate_id": "run-1",
            "patch": "diff --git a/tool.py b/tool.py\n--- a/tool.py\n+++ b/tool.py\n@@ -1 +1 @@\n-if count:\n+if count is not None:\n",
            "exit": "submitted",
            "steps": 21
        },
        {"candidate_id": "run-2", "patch": "", "exit": "limit", "steps": 100}
    ],
    "tests": [
        {"kind": "reproduction", "suite": "repro", "failed": ["test_zero"]},
        {"candidate_id": "run-1", "kind": "reproduction", "suite": "repro", "passed": ["test_zero"]}
    ],
    "policy": "hybrid"
}))]
pub(super) struct CreateSelection {
    /// The issue, such as `django__django-11099`; that of the candidates when it is left out.
    #[schema(min_length = 1, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f]+$")]
    pub(super) instance_id: Option<String>,
    /// The text of the issue.
    pub(super) issue: Option<String>,
    /// Candidates in EntroPO's own form.
    pub(super) candidates: Vec<CandidateIn>,
    /// Content ids of candidates that were stored before.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    pub(super) stored: Vec<String>,
    /// Files of any format that agents and harnesses write, with candidates, tests or the issue's text.
    pub(super) files: Vec<FileIn>,
    /// What tests said of candidates and of the unpatched code.
    pub(super) tests: Vec<TestIn>,
    /// Scores of a learned verifier.
    pub(super) scores: Vec<VerifierScore>,
    /// How to choose; `/v1/policies` lists the ways.
    pub(super) policy: Policy,
    /// Further wishes.
    pub(super) options: Options,
}

/// Wishes about a selection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    /// Choose none when the probability that the best one resolves the issue is lower than this.
    #[schema(minimum = 0.0, maximum = 1.0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_confidence: Option<f64>,
}

/// What is stored of a request beside its candidates and tests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StoredRequest {
    pub(super) options: Options,
    pub(super) files: Vec<FileReport>,
}

/// A selection.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SelectionView {
    /// Its id.
    pub(super) id: Uuid,
    /// When it was made: RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pub(super) created_at: String,
    /// The result.
    #[serde(flatten)]
    pub(super) selection: Selection,
    /// The content address of each candidate, by its id: what `/v1/candidates/{content_id}` takes.
    pub(super) contents: BTreeMap<String, String>,
    /// The options it was made with.
    pub(super) options: Options,
    /// What the files of the request held.
    pub(super) files: Vec<FileReport>,
    /// The latest outcome of each candidate that has one.
    pub(super) outcomes: Vec<OutcomeView>,
}

impl SelectionView {
    pub(super) fn new(record: SelectionRecord, outcomes: Vec<OutcomeView>) -> Self {
        // What an earlier version wrote still reads: every field has a default.
        let request: StoredRequest = serde_json::from_value(record.request).unwrap_or_default();
        Self {
            id: record.id,
            created_at: record.created_at.to_string(),
            selection: record.result,
            contents: record.members.into_iter().map(|(id, content)| (id, content.to_string())).collect(),
            options: request.options,
            files: request.files,
            outcomes,
        }
    }
}

/// What to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Where to read on: `next_cursor` of the page before.
    #[param(pattern = "^[0-9a-f]{48}$", required = false, nullable = false)]
    pub(super) cursor: Option<String>,
    /// Lines on a page; 50 when it is left out.
    #[param(minimum = 1, maximum = 1000, required = false, nullable = false)]
    pub(super) limit: Option<u32>,
    /// Selections for this issue only.
    #[param(required = false, nullable = false)]
    pub(super) instance_id: Option<String>,
    /// Selections by this policy only.
    #[param(required = false, nullable = false)]
    pub(super) policy: Option<Policy>,
    /// Selections whose choice is known to have resolved the issue, or known not to have.
    #[param(required = false, nullable = false)]
    pub(super) resolved: Option<bool>,
    /// Selections with an outcome for some candidate, or with none.
    #[param(required = false, nullable = false)]
    pub(super) has_outcome: Option<bool>,
}

/// A page of the list of selections.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SelectionPage {
    /// Newest first.
    pub(super) selections: Vec<SelectionLine>,
    /// Where to read on; null at the end.
    pub(super) next_cursor: Option<String>,
}

/// A line of the list of selections.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SelectionLine {
    /// The selection.
    id: Uuid,
    /// When it was made: RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created_at: String,
    /// The issue.
    instance_id: String,
    /// The policy that decided.
    policy: String,
    /// The chosen candidate; null when none was.
    chosen: Option<String>,
    /// Probability that the choice resolves the issue; null where the policy gives none.
    confidence: Option<f64>,
    /// Whether no candidate was good enough.
    abstained: bool,
    /// Number of candidates.
    candidates: u32,
    /// Whether the choice resolved the issue; null while nobody has said.
    resolved: Option<bool>,
}

impl From<SelectionSummary> for SelectionLine {
    fn from(summary: SelectionSummary) -> Self {
        Self {
            id: summary.id,
            created_at: summary.created_at.to_string(),
            instance_id: summary.instance_id,
            policy: summary.policy,
            chosen: summary.chosen,
            confidence: summary.confidence,
            abstained: summary.abstained,
            candidates: summary.candidate_count,
            resolved: summary.resolved,
        }
    }
}
