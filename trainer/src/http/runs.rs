//! `/v1/runs`: which there are, how far they are, stopping and resuming them.

use axum::{Json as JsonBody, extract::State};
use serde::Serialize;
use server::{Path, Problem, ProblemResponses, Query, auth::Caller};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{query::Filter, stored, view::RunView};
use crate::{Service, service::KIND};

/// Runs on a page unless the request says otherwise.
const PAGE: u32 = 50;
/// Runs on a page at most.
const LARGEST_PAGE: u32 = 200;

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(cancel))
        .routes(routes!(resume))
}

/// A page of runs.
#[derive(Debug, Serialize, ToSchema)]
struct Page {
    /// The runs, newest first.
    data: Vec<RunView>,
    /// Give it as `after` for the next page; null on the last.
    #[schema(required = true)]
    next: Option<Uuid>,
}

/// The runs, newest first
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(Filter), responses(
    (status = 200, description = "A page of them.", body = Page),
    ProblemResponses,
))]
async fn list(
    State(service): State<Service>,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<JsonBody<Page>, Problem> {
    let limit = filter.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Problem::field("limit", format!("must be 1 to {LARGEST_PAGE}")));
    }
    let state = filter.state.map(Into::into);
    let mut jobs = service
        .store
        .jobs(&caller.tenant, Some(KIND), state, filter.after, limit + 1)
        .await
        .map_err(stored)?;
    let more = jobs.len() > limit as usize;
    jobs.truncate(limit as usize);
    let next = jobs.last().filter(|_| more).map(|job| job.id);
    let data = jobs.into_iter().map(RunView::new).collect();
    Ok(JsonBody(Page { data, next }))
}

/// One run
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs",
    params(("id" = Uuid, Path, description = "The run's id.")),
    responses((status = 200, description = "The run.", body = RunView), ProblemResponses),
)]
async fn get(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<JsonBody<RunView>, Problem> {
    Ok(JsonBody(RunView::new(service.run(&caller.tenant, id).await.map_err(stored)?)))
}

/// Stop a run
///
/// A queued run is cancelled at once; a running one writes a checkpoint after the step that it is at, and is cancelled
/// then. A run that has ended stays as it is.
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", tag = "runs",
    params(("id" = Uuid, Path, description = "The run's id.")),
    responses((status = 200, description = "The run as it now is.", body = RunView), ProblemResponses),
)]
async fn cancel(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<JsonBody<RunView>, Problem> {
    Ok(JsonBody(RunView::new(service.cancel(&caller.tenant, id).await.map_err(stored)?)))
}

/// Let a run go on
///
/// Queues a run again that was cancelled, failed or is dead; it goes on from its newest checkpoint. 409 for others.
#[utoipa::path(post, path = "/v1/runs/{id}/resume", tag = "runs",
    params(("id" = Uuid, Path, description = "The run's id.")),
    responses((status = 200, description = "The run as it now is.", body = RunView), ProblemResponses),
)]
async fn resume(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<JsonBody<RunView>, Problem> {
    Ok(JsonBody(RunView::new(service.resume(&caller.tenant, id).await.map_err(stored)?)))
}
