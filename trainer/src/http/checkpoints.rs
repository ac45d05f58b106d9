//! `/v1/runs/{id}/checkpoints`: which there are, and letting the verifier use one.

use axum::{Json as JsonBody, extract::State};
use serde::Serialize;
use serde_json::Value;
use server::{
    Kind, Path, Problem, ProblemResponses,
    auth::{Caller, Scope},
};
use store::Checkpoint;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    artifacts::{Artifact, below},
    stored,
};
use crate::{Service, run::Metrics, service::PromoteError};

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(promote))
}

/// The checkpoints of a run.
#[derive(Debug, Serialize, ToSchema)]
struct Checkpoints {
    /// By their step.
    data: Vec<CheckpointView>,
}

/// A checkpoint.
#[derive(Debug, Serialize, ToSchema)]
struct CheckpointView {
    /// Optimiser steps that are in it.
    step: i64,
    /// Its folder, relative to the run's.
    path: String,
    /// Whether it is the best of the run so far.
    best: bool,
    /// The attempt that wrote it.
    attempt: u32,
    /// When.
    created_at: String,
    /// The metrics that were last known then.
    metrics: Metrics,
    /// Its files; `/v1/runs/{id}/artifacts/{path}` has each.
    files: Vec<Artifact>,
}

/// The checkpoints of a run
#[utoipa::path(get, path = "/v1/runs/{id}/checkpoints", tag = "artifacts",
    params(("id" = Uuid, Path, description = "The run's id.")),
    responses((status = 200, description = "Those that are on the disk.", body = Checkpoints), ProblemResponses),
)]
async fn list(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<JsonBody<Checkpoints>, Problem> {
    service.run(&caller.tenant, id).await.map_err(stored)?;
    let found = service.store.checkpoints(&caller.tenant, id).await.map_err(stored)?;
    let folder = service.folder(id);
    let views = tokio::task::spawn_blocking(move || {
        found.into_iter().map(|checkpoint| view(&folder, checkpoint)).collect()
    });
    let data = views.await.map_err(|error| Problem::internal(&error))?;
    Ok(JsonBody(Checkpoints { data }))
}

fn view(folder: &std::path::Path, checkpoint: Checkpoint) -> CheckpointView {
    CheckpointView {
        files: below(folder, std::path::Path::new(&checkpoint.path)),
        step: checkpoint.step,
        path: checkpoint.path,
        best: checkpoint.best,
        attempt: checkpoint.attempt,
        created_at: checkpoint.created_at.to_string(),
        metrics: serde_json::from_value(checkpoint.metrics).unwrap_or_default(),
    }
}

/// A checkpoint that the verifier uses.
#[derive(Debug, Serialize, ToSchema)]
struct PromotedView {
    /// The model's name at the verifier.
    model: String,
    /// What the verifier says of it.
    #[schema(value_type = Object)]
    verifier: Value,
}

/// Let the verifier use a checkpoint
///
/// Writes the checkpoint as a model folder where the verifier looks for models (adapters merged), and has it activated
/// there; the verifier loads it and warms it up first. Only for runs that train verifiers. Sent twice it does the same
/// once. Needs a token with the scope `admin` where tokens are needed.
#[utoipa::path(post, path = "/v1/runs/{id}/checkpoints/{step}/promote", tag = "artifacts",
    params(
        ("id" = Uuid, Path, description = "The run's id."),
        ("step" = i64, Path, description = "The checkpoint's step."),
    ),
    responses((status = 200, description = "It is active.", body = PromotedView), ProblemResponses),
)]
async fn promote(
    State(service): State<Service>,
    caller: Caller,
    Path((id, step)): Path<(Uuid, i64)>,
) -> Result<JsonBody<PromotedView>, Problem> {
    caller.require(Scope::Admin)?;
    let job = service.run(&caller.tenant, id).await.map_err(stored)?;
    let found = service.store.checkpoints(&caller.tenant, id).await.map_err(stored)?;
    let checkpoint = found.into_iter().find(|checkpoint| checkpoint.step == step);
    let checkpoint =
        checkpoint.ok_or_else(|| Problem::not_found(format!("run {id} has no checkpoint of step {step}")))?;
    // Goes on when the client leaves or its time is up: loading a model takes longer than most wait.
    let work = async move { service.promote(&job, checkpoint.step, &checkpoint.path).await };
    let done = server::trace::spawn(work).await.map_err(|error| Problem::internal(&error))?;
    let promoted = done.map_err(refused)?;
    Ok(JsonBody(PromotedView { model: promoted.model, verifier: promoted.answer }))
}

fn refused(error: PromoteError) -> Problem {
    match error {
        PromoteError::Policy(_) | PromoteError::NoVerifier => Problem::new(Kind::Conflict, error.to_string()),
        PromoteError::Export(error) => Problem::internal(&error),
        PromoteError::Verifier { ref source, .. } => {
            let kind = if source.is_transient() { Kind::Unavailable } else { Kind::Conflict };
            Problem::new(kind, format!("{error}: {source}"))
        }
    }
}
