//! The verifier of this process as the selector asks for it.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use common::score::{ScoreOptions, ScorePriority};
use selector::http::{ScoreRequest, Scorer, ScorerError, Scores, join_scores};
use verifier::{
    Example, Service,
    pipeline::ScoreError,
    service::{CallError, ScoreCall},
};

/// Asks the verifier without HTTP.
#[derive(Debug, Clone)]
pub struct InProcess(pub Service);

#[async_trait]
impl Scorer for InProcess {
    async fn score(&self, request: ScoreRequest) -> Result<Scores, ScorerError> {
        let issue: Arc<str> = request.issue.clone().unwrap_or_default();
        let example =
            |candidate: &Arc<_>| Example { issue: Arc::clone(&issue), candidate: Arc::clone(candidate) };
        let left = request.deadline.saturating_duration_since(Instant::now());
        let options = ScoreOptions {
            // A selection is better off with a score of most of a run than with none.
            condense: true,
            deadline_ms: Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1)),
            priority: ScorePriority::Interactive,
            ..ScoreOptions::default()
        };
        let call =
            ScoreCall { model: None, examples: request.candidates.iter().map(example).collect(), options };
        let answer = self.0.score(call).await.map_err(|error| match error {
            CallError::Score(ScoreError::TooLong(_) | ScoreError::TooLarge { .. }) => {
                ScorerError::Refused(error.to_string())
            }
            error => ScorerError::Unavailable(error.to_string()),
        })?;
        join_scores(&request, answer)
    }
}
