//! Where verifier scores come from when a request brings none.

use std::{fmt, sync::Arc, time::Instant};

use async_trait::async_trait;
use common::{Candidate, VerifierScore};
use store::Tenant;

/// Candidates to be scored. Nothing is copied: trajectories are megabytes.
#[derive(Debug, Clone)]
pub struct ScoreRequest {
    /// Whose they are.
    pub tenant: Tenant,
    /// The issue.
    pub instance_id: Arc<str>,
    /// Its text, where it is at hand.
    pub issue: Option<Arc<str>>,
    /// Whom to score; their ids are unique.
    pub candidates: Vec<Arc<Candidate>>,
    /// After this nobody waits for the answer any more.
    pub deadline: Instant,
    /// The id of the request that this is for, so that both services log the same.
    pub request_id: Option<Arc<str>>,
}

/// What the verifier said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores {
    /// Scores, joined by id; candidates may be missing, and probabilities may be null.
    pub scores: Vec<VerifierScore>,
    /// In words: which candidates have no score and why.
    pub notes: Vec<String>,
}

/// Why there are no scores.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScorerError {
    /// The verifier does not answer or is busy.
    #[error("the verifier does not answer: {0}")]
    Unavailable(String),
    /// The verifier refuses the request.
    #[error("the verifier refused: {0}")]
    Refused(String),
    /// The model has learned nothing yet.
    #[error("the verifier's model {0} is untrained; its scores mean nothing")]
    Untrained(String),
}

/// A learned verifier, in this process or elsewhere.
///
/// A selection never fails because of it: an error or a late answer becomes an entry in the result's `degraded`.
#[async_trait]
pub trait Scorer: Send + Sync + fmt::Debug {
    /// Scores candidates. The answer is joined by id; candidates may be missing from it.
    async fn score(&self, request: ScoreRequest) -> Result<Scores, ScorerError>;
}
