//! The HTTP service: one file an endpoint, over the shared edge of crate `server`.

mod classify;
pub(crate) mod errors;
mod models;
mod rerank;
mod score;
mod settings;
mod start;
mod texts;
mod tokenize;

pub use settings::Settings;
pub use start::{Running, StartError, start, start_with};

use server::docs::BearerToken;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::Service;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "EntroPO verifier",
        description = "Scores candidate trajectories: hand over an issue and what agents did about it, get for each \
                       the probability that it resolves the issue. Speaks its own form and those of rerankers and of \
                       vLLM's classifiers.\n\n\
                       Errors are `application/problem+json` and name the field.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "scores", description = "Scoring trajectories and texts."),
        (name = "models", description = "Which models there are, and which one answers."),
        (name = "health", description = "Whether the service runs and can answer."),
    ),
    modifiers(&BearerToken),
    security((), ("token" = [])),
)]
struct Api;

/// The service's endpoints, to be put into [`server::stack`].
pub fn router(service: &Service) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Api::openapi())
        .merge(score::routes())
        .merge(rerank::routes())
        .merge(classify::routes())
        .merge(tokenize::routes())
        .merge(models::routes())
        .with_state(service.clone())
}
