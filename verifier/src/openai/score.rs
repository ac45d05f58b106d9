//! Scoring a batch: one request a row, the first of each issue alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::formats::parse_json;
use futures_util::future::join_all;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use server::outgoing::CallError;

use super::{Mode, OpenAi, answer, heads, order, request};
use crate::backend::{BackendError, Payload, Prepared, RawScore};

/// No batch takes longer; each request has its own, shorter limit.
const LONGEST: Duration = Duration::from_hours(1);

/// Why a row has no score.
#[derive(Debug)]
enum RowError {
    /// The server could not be reached, or may answer later.
    Server(CallError),
    /// What it answered is no score.
    Answer(String),
    /// What it answered is no JSON: another way of asking will not change that.
    Garbage(String),
}

/// Scores every row; the answer to a row is in the row's place whenever it came.
pub(super) async fn batch(model: &OpenAi, batch: &[Arc<Prepared>]) -> Result<Vec<RawScore>, BackendError> {
    let deadline = Instant::now() + LONGEST;
    let beginnings: Vec<Option<String>> = batch.iter().map(|row| beginning(row)).collect();
    let groups = order::groups(beginnings.iter().map(|text| text.as_ref().map(String::as_bytes)));
    let asked = join_all(groups.into_iter().map(|group| async move {
        let first = ask(model, &batch[group.first], deadline).await;
        let rest =
            group.rest.iter().map(|&row| async move { (row, ask(model, &batch[row], deadline).await) });
        let mut results = join_all(rest).await;
        results.push((group.first, first));
        results
    }));
    let mut results: Vec<(usize, Result<RawScore, RowError>)> = asked.await.into_iter().flatten().collect();
    results.sort_by_key(|(row, _)| *row);
    collect(results.into_iter().map(|(_, result)| result).collect())
}

/// What the candidates of an issue begin with: at least as many bytes as they share tokens.
fn beginning(row: &Prepared) -> Option<String> {
    let Payload::Messages(messages) = &row.payload else { return None };
    if row.shared_tokens == 0 {
        return None;
    }
    let mut text = String::new();
    for (_, message) in messages {
        text.push_str(message);
        if text.len() >= row.shared_tokens {
            break;
        }
    }
    text.truncate(text.floor_char_boundary(row.shared_tokens));
    Some(text)
}

/// A batch fails as a whole only when nothing was scored and the server is to blame.
fn collect(results: Vec<Result<RawScore, RowError>>) -> Result<Vec<RawScore>, BackendError> {
    let answered = results.iter().any(|result| !matches!(result, Err(RowError::Server(_))));
    if !answered && let Some(Err(RowError::Server(error))) = results.first() {
        let text = error.to_string();
        let failed = !error.is_transient();
        return Err(if failed { BackendError::Failed(text) } else { BackendError::Unavailable(text) });
    }
    let score = |result: Result<RawScore, RowError>| {
        result.unwrap_or_else(|error| {
            let reason = match error {
                RowError::Server(error) => error.to_string(),
                RowError::Answer(reason) | RowError::Garbage(reason) => reason,
            };
            tracing::warn!(reason, "a trajectory has no score");
            RawScore { reason: Some(reason), ..RawScore::default() }
        })
    };
    Ok(results.into_iter().map(score).collect())
}

/// Asks for one row: in the way that has brought an answer before, else in one after another until one does.
async fn ask(model: &OpenAi, row: &Prepared, deadline: Instant) -> Result<RawScore, RowError> {
    let Payload::Messages(messages) = &row.payload else {
        return Err(RowError::Garbage("the back end takes messages".to_owned()));
    };
    let known = model.dialect.get().copied();
    let ways = known.map_or(&model.dialects[..], |at| &model.dialects[at..=at]);
    let mut first_error = None;
    for (at, dialect) in ways.iter().enumerate() {
        let body = request::body(model.mode, *dialect, &model.model, messages, &model.extra).to_string();
        match call(model, Bytes::from(body), deadline).await {
            Ok(score) => {
                if known.is_none() {
                    tracing::info!(?dialect, "this is how the server answers");
                    let _ = model.dialect.set(at);
                }
                return Ok(score);
            }
            Err(error) if try_otherwise(&error) => _ = first_error.get_or_insert(error),
            Err(error) => return Err(error),
        }
    }
    Err(first_error.unwrap_or_else(|| RowError::Garbage("there is no way to ask".to_owned())))
}

/// Whether another way of asking may bring an answer: fields that the server does not know, or an answer that is none.
fn try_otherwise(error: &RowError) -> bool {
    match error {
        RowError::Answer(_) => true,
        RowError::Server(CallError::Refused { status, .. }) => {
            matches!(*status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
        }
        RowError::Server(_) | RowError::Garbage(_) => false,
    }
}

async fn call(model: &OpenAi, body: Bytes, deadline: Instant) -> Result<RawScore, RowError> {
    let path = request::path(model.mode);
    let reply = model.client.post(path, body, &HeaderMap::new(), deadline).await.map_err(RowError::Server)?;
    let reply: Value = parse_json(&reply.body)
        .map_err(|error| RowError::Garbage(format!("the server's answer is no JSON: {error}")))?;
    let score = match model.mode {
        Mode::Judge | Mode::Completions => answer::positions(&reply)
            .and_then(|positions| answer::logit(&positions))
            .map(|logit| RawScore { logit: Some(logit), ..RawScore::default() }),
        Mode::Classify => heads::classified(&reply, model.label, model.output),
        Mode::Score => heads::scored(&reply, model.output),
        Mode::Rerank => heads::reranked(&reply, model.output),
    };
    let score = score.map_err(RowError::Answer)?;
    match score.logit {
        Some(logit) if !logit.is_finite() => Err(RowError::Answer(format!("the score is {logit}"))),
        _ => Ok(score),
    }
}
