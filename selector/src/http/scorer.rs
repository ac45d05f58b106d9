//! Where verifier scores come from when a request brings none.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use common::VerifierScore;

use crate::Pool;

/// Candidates to be scored.
#[derive(Debug, Clone)]
pub struct ScoreRequest {
    /// The issue and all of its candidates.
    pub pool: Arc<Pool>,
    /// Positions in `pool.candidates` of those that need a score.
    pub wanted: Vec<usize>,
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
}

/// A learned verifier, in this process or elsewhere.
///
/// A selection never fails because of it: an error or a late answer becomes an entry in the result's `degraded`.
#[async_trait]
pub trait Scorer: Send + Sync + fmt::Debug {
    /// Scores candidates. The answer is joined by id; candidates may be missing from it.
    async fn score(&self, request: ScoreRequest) -> Result<Vec<VerifierScore>, ScorerError>;
}
