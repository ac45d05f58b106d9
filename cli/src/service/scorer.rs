//! The verifier of this process as the selector asks for it.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use common::score::{ScoreOptions, ScorePriority, ScoreResponse};
use selector::http::{ScoreRequest, Scorer, ScorerError, Scores, join_scores};
use verifier::{
    Example, Service,
    pipeline::ScoreError,
    service::{CallError, ScoreCall},
};

/// Asks the verifier without HTTP.
#[derive(Debug, Clone)]
pub struct InProcess(pub Service);

impl InProcess {
    /// Asks about candidates.
    async fn ask(&self, request: &ScoreRequest) -> Result<ScoreResponse, CallError> {
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
        let call = ScoreCall {
            tenant: request.tenant.clone(),
            model: None,
            examples: request.candidates.iter().map(example).collect(),
            options,
        };
        self.0.score(call).await
    }
}

#[async_trait]
impl Scorer for InProcess {
    /// Candidates that are too much together are asked about in halves, so that one that is too long by itself costs
    /// the others nothing.
    async fn score(&self, request: ScoreRequest) -> Result<Scores, ScorerError> {
        let mut waiting = vec![request];
        let (mut all, mut refused) = (Scores::default(), None);
        while let Some(mut part) = waiting.pop() {
            match self.ask(&part).await {
                Ok(answer) => {
                    let joined = join_scores(&part, answer)?;
                    all.scores.extend(joined.scores);
                    all.notes.extend(joined.notes);
                }
                Err(CallError::Score(ScoreError::TooLong(_) | ScoreError::TooLarge { .. }))
                    if part.candidates.len() > 1 =>
                {
                    let rest = part.candidates.split_off(part.candidates.len() / 2);
                    waiting.push(ScoreRequest { candidates: rest, ..part.clone() });
                    waiting.push(part);
                }
                Err(error @ CallError::Score(ScoreError::TooLong(_) | ScoreError::TooLarge { .. })) => {
                    let one = part.candidates.first().map_or("", |one| one.candidate_id.as_str());
                    all.notes.push(format!("no score for candidate `{one}`: {error}"));
                    refused.get_or_insert(ScorerError::Refused(error.to_string()));
                }
                Err(error) => return Err(ScorerError::Unavailable(error.to_string())),
            }
        }
        match refused {
            Some(error) if all.scores.is_empty() => Err(error),
            _ => Ok(all),
        }
    }
}
