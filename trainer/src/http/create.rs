//! `POST /v1/runs`: starting a run.

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use server::{
    Json, Kind, Problem, ProblemResponses, auth::Caller, idempotency::Ticket, stored::Answer, trace,
};
use store::Timestamp;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{stored, view::RunView};
use crate::{
    Service,
    config::{FieldProblem, RunConfig},
    service::RunSpec,
};

/// Longest name of a run.
const NAME: usize = 200;

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(create))
}

/// A run to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRun {
    /// What to call it.
    #[serde(default)]
    #[schema(max_length = 200)]
    name: Option<String>,
    /// Its configuration: the tables and fields of a run's TOML file, as JSON. Paths are relative to the folders that the
    /// service is configured to read, or absolute and below them.
    #[schema(value_type = Object, example = json!({
        "model": {"path": "tiny"},
        "data": {"train": ["pairs.jsonl"]},
        "objective": {"kind": "entropo-dpo"},
    }))]
    config: Value,
}

/// Start a run
///
/// It waits for a worker, and goes on from its last checkpoint when that worker dies. With an `Idempotency-Key` the same
/// request sent again answers with the same run.
#[utoipa::path(post, path = "/v1/runs", tag = "runs",
    params(("idempotency-key" = Option<String>, Header, description = "Any text that names this request.")),
    request_body = NewRun,
    responses(
        (status = 201, description = "It is queued.", body = RunView, headers(("location" = String, description = "Where it is."))),
        ProblemResponses,
    ),
)]
async fn create(
    State(service): State<Service>,
    caller: Caller,
    ticket: Option<Extension<Ticket>>,
    Json(body): Json<NewRun>,
) -> Result<Response, Problem> {
    if body.name.as_ref().is_some_and(|name| name.is_empty() || name.chars().count() > NAME) {
        return Err(Problem::field("name", format!("must have 1 to {NAME} characters")));
    }
    let config = service.confine(&caller.tenant, read(body.config)?).await.map_err(stored)?;
    let config = config.map_err(|problems| refused(&problems))?;
    let traceparent = trace::current().map(|place| place.to_string());
    let spec = RunSpec { name: body.name, config, traceparent };
    let (id, now) = (Uuid::now_v7(), Timestamp::now());
    let body = serde_json::to_vec(&RunView::queued(id, &spec, service.settings.attempts.max(1), now)?)
        .map_err(|error| Problem::internal(&error))?;
    let (ticket, ttl) = (ticket.map(|Extension(ticket)| ticket), service.settings.idempotency_ttl.0);
    let location = format!("/v1/runs/{id}");
    let mut answer = Answer::json(StatusCode::CREATED, body, Some(&location), ticket, ttl)?;
    service.create(&caller.tenant, id, &spec, answer.completion(), now).await.map_err(stored)?;
    Ok(answer.stored())
}

fn read(config: Value) -> Result<RunConfig, Problem> {
    if !config.is_object() {
        return Err(Problem::field("config", "must be an object: the tables of a run's configuration"));
    }
    RunConfig::from_json("config", config).map_err(|error| match error.fields() {
        [] => Problem::field("config", error.to_string()),
        fields => refused(fields),
    })
}

fn refused(fields: &[FieldProblem]) -> Problem {
    let detail = match fields {
        [only] => format!("config.{only}"),
        several => format!("{} fields of the configuration cannot stay as they are", several.len()),
    };
    fields.iter().fold(Problem::new(Kind::InvalidField, detail), |problem, field| {
        problem.with_error(format!("config.{}", field.field), field.message.clone())
    })
}
