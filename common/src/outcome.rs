//! What a file said about success. Kept apart from candidates; selection never sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Labels and reference material of one candidate, stripped from it when its file was read, or reported later.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outcome {
    /// The issue.
    pub instance_id: String,
    /// The candidate; null when the label is of a whole run report that does not name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_id: Option<String>,
    /// Whether the official evaluation counts the issue as resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<bool>,
    /// Reward as the file gives it, where it is not just `resolved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
    /// Where the label comes from: the field's path, such as `test_result.report.resolved`, or `user`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label_source: String,
    /// Everything else that was stripped, by the path of its field (`ds.patch`, `FAIL_TO_PASS`, …).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub stripped: BTreeMap<String, serde_json::Value>,
}
