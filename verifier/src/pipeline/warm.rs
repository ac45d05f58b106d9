//! The first batch: as large as batches get, so that the first client does not pay for memory and tuning, and so that
//! a batch that does not fit shows at the start.

use std::sync::Arc;

use common::{Candidate, ExitStatus, Role, Trajectory, Turn};

use super::{Shared, work::watched};
use crate::{BackendError, Example, PrepareError, PrepareOptions, Prepared};

/// Words of one turn of the made-up run.
const WORDS_A_TURN: usize = 200;

/// Scores a small example, then the largest batch where the model asks for it.
pub(super) async fn warm_up(shared: &Arc<Shared>) -> Result<(), BackendError> {
    let backend = &shared.backend;
    probe(shared).await?;
    if backend.warms_up() {
        let budget = usize::try_from(shared.bounds.batch).unwrap_or(usize::MAX);
        let tokens = backend.info().max_tokens.min(budget).max(1);
        let rows = (budget / tokens).clamp(1, usize::try_from(shared.bounds.rows).unwrap_or(usize::MAX));
        let mut batch = Vec::with_capacity(rows);
        for row in 0..rows {
            batch.push(of_length(shared, row, tokens).await?);
        }
        watched(shared, &batch, shared.now()).await?;
    }
    Ok(())
}

/// Scores a small example.
pub(super) async fn probe(shared: &Arc<Shared>) -> Result<(), BackendError> {
    let batch = [prepare(shared, 0, 8).await?];
    watched(shared, &batch, shared.now()).await.map(drop)
}

/// An example of at most so many tokens, and nearly as many where that can be found in a few steps.
async fn of_length(shared: &Arc<Shared>, row: usize, tokens: usize) -> Result<Arc<Prepared>, BackendError> {
    let mut words = (tokens / 2).max(1);
    let mut best = prepare(shared, row, 1).await?;
    for _ in 0..6 {
        let Ok(prepared) = prepare(shared, row, words).await else {
            words = (words * 3 / 4).max(1);
            continue;
        };
        if prepared.tokens <= tokens && prepared.tokens > best.tokens {
            best = Arc::clone(&prepared);
        }
        if (tokens * 9 / 10..=tokens).contains(&prepared.tokens) {
            break;
        }
        words = (words * tokens / prepared.tokens.max(1) * 97 / 100).max(1);
    }
    Ok(best)
}

async fn prepare(shared: &Arc<Shared>, row: usize, words: usize) -> Result<Arc<Prepared>, BackendError> {
    let backend = Arc::clone(&shared.backend);
    let prepared = tokio::task::spawn_blocking(move || {
        let options = PrepareOptions { max_tokens: None, condense: false };
        backend.prepare(&example(row, words), options)
    });
    let failed = |error: PrepareError| BackendError::Failed(format!("warm-up: {error}"));
    let prepared = prepared.await.map_err(|error| BackendError::Failed(format!("warm-up: {error}")))?;
    prepared.map(Arc::new).map_err(failed)
}

/// A made-up run of about so many words.
fn example(row: usize, words: usize) -> Example {
    let text = |count: usize| "word ".repeat(count);
    let turn = |role, content| Turn { role, content, ..Turn::default() };
    let mut turns = vec![turn(Role::User, format!("warm-up {row}"))];
    let mut left = words;
    while left > 0 {
        let now = left.min(WORDS_A_TURN);
        left -= now;
        turns.push(turn(Role::Assistant, text(now / 2)));
        turns.push(turn(Role::Tool, text(now - now / 2)));
    }
    turns.push(turn(Role::Assistant, "done".to_owned()));
    let trajectory = Trajectory {
        turns,
        patch: Some("diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n".to_owned()),
        exit: ExitStatus::Submitted,
        ..Trajectory::default()
    };
    let candidate = Candidate { candidate_id: "warm-up".to_owned(), trajectory };
    Example { issue: format!("warm-up {row}").into(), candidate: Arc::new(candidate) }
}
