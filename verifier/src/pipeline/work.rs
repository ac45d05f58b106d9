//! Feeding the model: takes batches from the queue, watches over them, hands out what they bring.

use std::{sync::Arc, time::Duration};

use server::trace::{self, TraceParent};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field::Empty, info_span};

use super::{
    Batch, Cost, EntryId, Shared,
    state::{Landed, Outcome},
};
use crate::{BackendError, Prepared, RawScore};

/// Batches that may wait at the model besides those that it works on, so that it never waits for this task: when the
/// model uses every core, waking a task takes milliseconds.
const PREFETCHED: usize = 1;

/// Runs until `stop` is cancelled.
pub(super) async fn dispatch(shared: Arc<Shared>, stop: CancellationToken) {
    let places = shared.backend.concurrency().max(1);
    let mut running = JoinSet::new();
    loop {
        while running.len() < places + PREFETCHED {
            // What waits at the model cannot be filled up any more, so only a full batch goes there early.
            let Some(batch) = take(&shared, running.len() >= places) else { break };
            running.spawn(run(Arc::clone(&shared), batch));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.wake.notified() => {}
            Some(_) = running.join_next() => {}
        }
    }
}

/// The next batch; entries that are late leave first.
fn take(shared: &Shared, only_full: bool) -> Option<Batch> {
    let now = shared.now();
    let mut state = shared.lock();
    let late = state.batcher.expire(now);
    for id in &late {
        let queue = state.flight(*id).map_or(Duration::ZERO, |flight| now.saturating_sub(flight.enqueued));
        state.land(*id, Landed { outcome: Outcome::Late, queue, model: Duration::ZERO });
    }
    shared.meter.left("late", late.len() as u64);
    let batch = state.batcher.next_batch(now, only_full);
    shared.meter.queue(state.batcher.len(), state.batcher.tokens());
    batch
}

/// One batch, from the queue to whoever waits for it.
async fn run(shared: Arc<Shared>, batch: Batch) {
    let handed = shared.now();
    let (number, rows, give_up) = shared.lock().depart(&batch.rows);
    let span = span(&shared, &batch, rows.len());
    let inside = (rows.len() as f64, batch.tokens as f64);
    shared.meter.in_model(inside.0, inside.1);
    let ended = tokio::select! {
        outcomes = score(&shared, &rows, handed).instrument(span) => Some(outcomes),
        () = give_up.cancelled() => None,
    };
    shared.meter.in_model(-inside.0, -inside.1);
    let now = shared.now();
    let mut state = shared.lock();
    state.arrive(number);
    let begun = shared.begun(handed, state.last_end);
    let took = now.saturating_sub(begun);
    state.last_end = state.last_end.max(now);
    let Some(outcomes) = ended else {
        shared.meter.left("cancelled", rows.len() as u64);
        let outcome = Outcome::Unavailable("nobody waits for it any more".to_owned());
        for id in batch.rows {
            state.land(id, Landed { outcome: outcome.clone(), queue: Duration::ZERO, model: took });
        }
        return;
    };
    if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Scored(_))) {
        state.rate.observe(batch.tokens, took);
    }
    let fill = batch.cost as f64 / shared.bounds.batch as f64;
    shared.meter.batch(rows.len(), batch.tokens, fill, padding(shared.bounds.cost, &rows), took);
    for ((id, row), outcome) in batch.rows.iter().zip(&rows).zip(outcomes) {
        if let Outcome::Scored(score) = &outcome {
            shared.meter.left(if score.logit.is_some() { "scored" } else { "null" }, 1);
            if score.logit.is_some() {
                shared.cache.put(row.content, &shared.revision, Arc::clone(score));
            }
        } else {
            shared.meter.left("failed", 1);
        }
        land(&shared, &mut state, *id, outcome, begun, took);
    }
}

/// A batch in the traces: part of that of the request whose row comes first, and linked to those of the others.
fn span(shared: &Shared, batch: &Batch, rows: usize) -> Span {
    let span = info_span!("batch", model = shared.name, rows, tokens = batch.tokens, trace_id = Empty);
    let state = shared.lock();
    let asked = |id: &EntryId| state.flight(*id).and_then(|flight| flight.asked);
    let mut others: Vec<TraceParent> = batch.rows.iter().filter_map(asked).collect();
    drop(state);
    others.dedup();
    let mut others = others.into_iter();
    trace::adopt(&span, others.next());
    for other in others {
        trace::link(&span, other);
    }
    span
}

/// Share of a batch's computed tokens that only pad it; none where rows lie one after the other.
fn padding(cost: Cost, rows: &[Arc<Prepared>]) -> f64 {
    let longest = rows.iter().map(|row| row.tokens).max().unwrap_or(0);
    let computed = match cost {
        Cost::Packed { .. } => 0,
        Cost::Padded => longest * rows.len(),
    };
    let read: usize = rows.iter().map(|row| row.tokens).sum();
    if computed == 0 { 0.0 } else { 1.0 - read as f64 / computed as f64 }
}

fn land(
    shared: &Shared,
    state: &mut super::state::State,
    id: EntryId,
    outcome: Outcome,
    begun: Duration,
    model: Duration,
) {
    let queue = state.flight(id).map_or(Duration::ZERO, |flight| begun.saturating_sub(flight.enqueued));
    shared.meter.waited(queue);
    state.land(id, Landed { outcome, queue, model });
}

/// Scores rows. A batch that fails is tried row by row, so that one bad row does not take the others with it.
async fn score(shared: &Arc<Shared>, rows: &[Arc<Prepared>], handed: Duration) -> Vec<Outcome> {
    match watched(shared, rows, handed).await {
        Ok(scores) => scores.into_iter().map(|score| Outcome::Scored(Arc::new(score))).collect(),
        Err(BackendError::Unavailable(reason)) => vec![Outcome::Unavailable(reason); rows.len()],
        Err(BackendError::Failed(reason)) if rows.len() == 1 => vec![null(reason)],
        Err(BackendError::Failed(reason)) => {
            tracing::warn!(
                model = shared.name,
                rows = rows.len(),
                reason,
                "a batch failed; trying its rows one by one"
            );
            let mut outcomes = Vec::with_capacity(rows.len());
            for row in rows {
                let started = shared.now();
                outcomes.push(match watched(shared, std::slice::from_ref(row), started).await {
                    Ok(scores) => scores.into_iter().next().map_or_else(
                        || null("the model gave no score".to_owned()),
                        |score| Outcome::Scored(Arc::new(score)),
                    ),
                    Err(BackendError::Failed(reason)) => null(reason),
                    Err(BackendError::Unavailable(reason)) => Outcome::Unavailable(reason),
                });
            }
            outcomes
        }
    }
}

fn null(reason: String) -> Outcome {
    Outcome::Scored(Arc::new(RawScore { reason: Some(reason), ..RawScore::default() }))
}

/// Ends the task when the batch is given up.
struct Abort(AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Scores rows in a task of their own, so that neither a panic nor a model that hangs ends this one.
pub(super) async fn watched(
    shared: &Arc<Shared>,
    rows: &[Arc<Prepared>],
    handed: Duration,
) -> Result<Vec<RawScore>, BackendError> {
    let (backend, batch) = (Arc::clone(&shared.backend), rows.to_vec());
    let mut task = trace::spawn(async move { backend.score(&batch).await });
    let _abort = Abort(task.abort_handle());
    let scored = loop {
        let begun = shared.begun(handed, shared.lock().last_end);
        let left = (begun + shared.batch_timeout).saturating_sub(shared.now());
        if left.is_zero() {
            return Err(stuck(shared));
        }
        if let Ok(ended) = tokio::time::timeout(left, &mut task).await {
            break ended;
        }
    };
    let result = match scored {
        Ok(result) => result.and_then(|scores| checked(scores, rows.len())),
        Err(error) => {
            tracing::error!(model = shared.name, %error, "the model panicked");
            Err(BackendError::Failed("the model failed; the service's log says how".to_owned()))
        }
    };
    match &result {
        Ok(_) => shared.works(true),
        Err(BackendError::Unavailable(reason)) => {
            tracing::warn!(model = shared.name, reason, "the model is unavailable");
            shared.works(false);
        }
        Err(BackendError::Failed(_)) => {}
    }
    result
}

fn stuck(shared: &Shared) -> BackendError {
    let recovered = shared.backend.recover();
    shared.meter.stuck();
    shared.works(false);
    let limit = shared.batch_timeout;
    tracing::error!(model = shared.name, ?limit, recovered, "a batch did not end in time and is given up");
    BackendError::Unavailable(format!("the model did not finish within {} s", limit.as_secs_f64()))
}

/// One score a row, and no number that is none.
fn checked(mut scores: Vec<RawScore>, rows: usize) -> Result<Vec<RawScore>, BackendError> {
    if scores.len() != rows {
        return Err(BackendError::Failed(format!("the model gave {} scores for {rows} rows", scores.len())));
    }
    for score in &mut scores {
        if score.logit.is_some_and(|logit| !logit.is_finite()) {
            score.logit = None;
            score.reason = Some("the model's score is not a number".to_owned());
        }
        if score.logit.is_none() {
            score.reason.get_or_insert_with(|| "the model did not say".to_owned());
        }
        score.spread = score.spread.filter(|spread| spread.is_finite() && *spread >= 0.0);
        if !score.turn_logits.iter().chain(&score.labels).all(|logit| logit.is_finite()) {
            // Positions carry the meaning: a list with holes says less than none.
            score.turn_logits.clear();
            score.labels.clear();
        }
    }
    Ok(scores)
}
