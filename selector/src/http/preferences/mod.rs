//! `GET /v1/preferences`: preference data from reported outcomes, as JSON lines.

mod plan;
mod query;
mod rows;

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse as _, Response},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::header;
use server::{Problem, ProblemResponses, Query, auth::Caller};
use store::{IssueLabels, Store, Tenant, labelled_issues};
use tokio::sync::mpsc;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    query::{Kind, PreferenceQuery},
    rows::Row,
};
use super::{Service, errors};

/// Lines that may wait for a slow reader; each can hold two trajectories.
const AHEAD: usize = 2;

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(get))
}

/// Draw preference data from reported outcomes
///
/// JSON lines, issue by issue. Only runs that the agent finished count (`exit` is `submitted`), each with its latest
/// outcome. A pair is of one issue and one prompt (equal system and first user turn), and exactly one of the two
/// resolves the issue; by default there is one pair at most for an issue. A KTO row is a run with `kto_tag`: whether
/// it resolves the issue. Every assistant turn is the policy's, every other turn is not to be trained on.
#[utoipa::path(get, path = "/v1/preferences", tag = "preferences", params(PreferenceQuery), responses(
    (status = 200, description = "One JSON object a line.", body = Row, content_type = "application/jsonl"),
    ProblemResponses,
))]
async fn get(
    State(service): State<Service>,
    caller: Caller,
    Query(query): Query<PreferenceQuery>,
) -> Result<Response, Problem> {
    if query.limit_per_issue.is_some_and(|limit| !(1..=100_000).contains(&limit)) {
        return Err(Problem::field("limit_per_issue", "must be from 1 to 100000"));
    }
    let (sender, mut lines) = mpsc::channel(AHEAD);
    tokio::spawn(draw(Arc::clone(&service.store), caller.tenant, query, sender));
    // What fails before the first line is still an ordinary error; after it only the connection can tell.
    let first = match lines.recv().await {
        Some(Err(problem)) => return Err(problem),
        Some(Ok(line)) => vec![line],
        None => Vec::new(),
    };
    // Fused, because the compressing layer asks again after the end.
    let rest = stream::unfold(lines, |mut lines| async move { Some((lines.recv().await?, lines)) }).fuse();
    let rest = rest.map_err(|problem| std::io::Error::other(problem.detail().to_owned()));
    let body = stream::iter(first.into_iter().map(Ok)).chain(rest);
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], Body::from_stream(body)).into_response())
}

type Lines = mpsc::Sender<Result<Bytes, Problem>>;

/// Sends one line a row until all are sent or nobody listens.
async fn draw(store: Arc<dyn Store>, tenant: Tenant, query: PreferenceQuery, lines: Lines) {
    let mut issues = std::pin::pin!(labelled_issues(&*store, &tenant));
    while let Some(issue) = issues.next().await {
        let sent = match issue {
            Ok(issue) => draw_issue(&*store, &tenant, &query, &issue, &lines).await,
            Err(error) => Err(errors::stored(error)),
        };
        if let Err(problem) = sent {
            tracing::error!(detail = problem.detail(), "preference data ends early");
            // The reader may be gone, which is no failure.
            let _ = lines.send(Err(problem)).await;
            return;
        }
        if lines.is_closed() {
            return;
        }
    }
}

async fn draw_issue(
    store: &dyn Store,
    tenant: &Tenant,
    query: &PreferenceQuery,
    issue: &IssueLabels,
    lines: &Lines,
) -> Result<(), Problem> {
    let limit = query.limit_per_issue.map(|limit| limit as usize);
    let planned = match query.kind.unwrap_or_default() {
        Kind::Pairs => plan::pairs(&issue.candidates, limit.unwrap_or(1)),
        Kind::Kto => plan::singles(&issue.candidates, limit.unwrap_or(usize::MAX)),
    };
    for planned in planned {
        let runs = store.candidates(tenant, &planned.ids()).await.map_err(errors::stored)?;
        let line =
            rows::line(&issue.instance_id, &planned, runs).map_err(|error| Problem::internal(&error))?;
        if lines.send(Ok(line)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
