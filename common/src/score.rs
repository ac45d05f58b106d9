//! A learned verifier's opinion of one candidate.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The score of one candidate, joined by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifierScore {
    /// The candidate.
    pub candidate_id: String,
    /// Probability in [0, 1] that it resolves the issue; null when the verifier could not say.
    pub probability: Option<f64>,
    /// The raw logit, where the verifier gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit: Option<f64>,
    /// The model revision that made the score.
    #[serde(default)]
    pub revision: String,
}
