//! `/v1/models`: which there are, and changing which one answers.

use axum::{Json as JsonBody, extract::State};
use serde::Serialize;
use server::{
    Path, Problem, ProblemResponses,
    auth::{Caller, Scope},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::errors::registry;
use crate::{
    Service,
    models::{RegistryError, Table},
};

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(activate))
        .routes(routes!(shadow))
        .routes(routes!(roll_back))
        .routes(routes!(load))
        .routes(routes!(unload))
}

/// The models, in the form of OpenAI's list.
#[derive(Debug, Serialize, ToSchema)]
struct Models {
    /// Always `list`.
    #[schema(example = "list")]
    object: &'static str,
    /// Every model that is configured.
    data: Vec<ModelView>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
struct ModelView {
    /// Its name.
    id: String,
    /// Always `model`.
    #[schema(example = "model")]
    object: &'static str,
    /// Always 0: models are known by their revision, not by a date.
    created: u64,
    /// Always `entropo`.
    #[schema(example = "entropo")]
    owned_by: &'static str,
    /// `active`, `shadow` or neither.
    aliases: Vec<&'static str>,
    /// Whether it is in memory; what follows is known of such models only.
    loaded: bool,
    /// Whether it is warm and answers.
    ready: bool,
    /// Names its exact contents.
    revision: Option<String>,
    /// `linear`, `burn` or `openai`.
    backend: Option<String>,
    /// How its input is laid out.
    layout: Option<&'static str>,
    /// The longest input in tokens.
    max_model_len: Option<usize>,
    /// False for a placeholder that has learned nothing.
    trained: Option<bool>,
    /// Whether its probabilities were fitted to outcomes.
    calibrated: Option<bool>,
    /// Names of its labels, where it has several.
    labels: Vec<String>,
    /// Candidates that wait for it.
    waiting: usize,
}

fn view(table: &Table, name: String) -> ModelView {
    let pipeline = table.loaded.get(&name);
    let backend = pipeline.map(|pipeline| pipeline.backend());
    let info = backend.map(|backend| backend.info());
    ModelView {
        aliases: table.aliases.of(&name),
        id: name,
        object: "model",
        created: 0,
        owned_by: "entropo",
        loaded: pipeline.is_some(),
        ready: pipeline.is_some_and(|pipeline| pipeline.is_working()),
        revision: info.map(|info| info.revision.clone()),
        backend: info.map(|info| info.backend.clone()),
        layout: info.map(|info| info.layout.name()),
        max_model_len: info.map(|info| info.max_tokens),
        trained: info.map(|info| info.trained),
        calibrated: backend.map(|backend| backend.probability(0.0).calibrated),
        labels: backend.map(|backend| backend.labels().to_vec()).unwrap_or_default(),
        waiting: pipeline.map_or(0, |pipeline| pipeline.waiting().0),
    }
}

/// The models that are configured
#[utoipa::path(get, path = "/v1/models", tag = "models", responses(
    (status = 200, description = "All of them, in memory or not.", body = Models),
    ProblemResponses,
))]
async fn list(State(service): State<Service>) -> JsonBody<Models> {
    let table = service.registry.table();
    let data = service.registry.names().into_iter().map(|name| view(&table, name)).collect();
    JsonBody(Models { object: "list", data })
}

/// One model
#[utoipa::path(get, path = "/v1/models/{name}", tag = "models",
    params(("name" = String, Path, description = "Its name, or `active` or `shadow`.")),
    responses(
        (status = 200, description = "The model.", body = ModelView),
        ProblemResponses,
    ),
)]
async fn get(
    State(service): State<Service>,
    Path(name): Path<String>,
) -> Result<JsonBody<ModelView>, Problem> {
    one(&service, &name).map(JsonBody)
}

fn one(service: &Service, name: &str) -> Result<ModelView, Problem> {
    let table = service.registry.table();
    let unknown = || registry(RegistryError::Unknown(name.to_owned()));
    let real = match name {
        "active" => table.aliases.active.clone(),
        "shadow" => table.aliases.shadow.clone().ok_or_else(unknown)?,
        name => service.registry.names().into_iter().find(|known| known == name).ok_or_else(unknown)?,
    };
    Ok(view(&table, real))
}

/// Goes on when the client leaves or the request's time is up: loading a large model takes longer than most wait.
async fn detached(
    change: impl Future<Output = Result<(), RegistryError>> + Send + 'static,
) -> Result<(), Problem> {
    server::trace::spawn(change).await.map_err(|error| Problem::internal(&error))?.map_err(registry)
}

/// Make a model active
///
/// Loads it and warms it up first, so that no request waits for that. Requests that run end with the model they began
/// with. Needs a token with the scope `admin` where tokens are needed. The decision outlasts a restart and reaches all
/// replicas.
#[utoipa::path(post, path = "/v1/models/{name}/activate", tag = "models",
    params(("name" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "It is active.", body = ModelView),
        ProblemResponses,
    ),
)]
async fn activate(
    State(service): State<Service>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<JsonBody<ModelView>, Problem> {
    caller.require(Scope::Admin)?;
    let (of, named) = (service.clone(), name.clone());
    detached(async move { of.registry.activate(&named).await }).await?;
    one(&service, &name).map(JsonBody)
}

/// Let a model score in the background
///
/// It scores what the active model scores, after it; answers never come from it. `/metrics` shows how far it is from
/// the active one. Naming the model `none` ends it.
#[utoipa::path(post, path = "/v1/models/{name}/shadow", tag = "models",
    params(("name" = String, Path, description = "Its name, or `none`.")),
    responses(
        (status = 200, description = "The models now.", body = Models),
        ProblemResponses,
    ),
)]
async fn shadow(
    State(service): State<Service>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<JsonBody<Models>, Problem> {
    caller.require(Scope::Admin)?;
    let of = service.clone();
    let change =
        async move { of.registry.set_shadow(Some(name.as_str()).filter(|name| *name != "none")).await };
    detached(change).await?;
    Ok(list(State(service)).await)
}

/// Go back to the model that was active before
///
/// `name` is the model to go back from, so that the same request sent twice goes back once only; `active` means
/// whichever is active.
#[utoipa::path(post, path = "/v1/models/{name}/rollback", tag = "models",
    params(("name" = String, Path, description = "The active model's name, or `active`.")),
    responses(
        (status = 200, description = "The model that is active now.", body = ModelView),
        ProblemResponses,
    ),
)]
async fn roll_back(
    State(service): State<Service>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<JsonBody<ModelView>, Problem> {
    caller.require(Scope::Admin)?;
    let (of, named) = (service.clone(), name.clone());
    detached(async move { of.registry.roll_back(&named).await }).await?;
    one(&service, "active").map(JsonBody)
}

/// Put a model into memory
#[utoipa::path(post, path = "/v1/models/{name}/load", tag = "models",
    params(("name" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "It is in memory and warm.", body = ModelView),
        ProblemResponses,
    ),
)]
async fn load(
    State(service): State<Service>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<JsonBody<ModelView>, Problem> {
    caller.require(Scope::Admin)?;
    let (of, named) = (service.clone(), name.clone());
    detached(async move { of.registry.load(&named).await }).await?;
    one(&service, &name).map(JsonBody)
}

/// Take a model out of memory
///
/// Once the requests that use it are done. The active model and the shadow cannot be taken out.
#[utoipa::path(post, path = "/v1/models/{name}/unload", tag = "models",
    params(("name" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "It is not in memory any more.", body = ModelView),
        ProblemResponses,
    ),
)]
async fn unload(
    State(service): State<Service>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<JsonBody<ModelView>, Problem> {
    caller.require(Scope::Admin)?;
    let (of, named) = (service.clone(), name.clone());
    detached(async move { of.registry.unload(&named).await }).await?;
    one(&service, &name).map(JsonBody)
}
