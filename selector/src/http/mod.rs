//! The HTTP service: endpoints in a folder each, over the shared edge of crate `server`.

mod candidates;
mod errors;
mod meter;
mod policies;
mod preferences;
mod prepare;
mod scorer;
mod selections;
mod service;
mod settings;
mod start;
mod verifier;

pub use scorer::{ScoreRequest, Scorer, ScorerError, Scores};
pub use service::{Service, Verifier};
pub use settings::{SelectionSettings, Settings};
pub use start::{Served, StartError, start};
pub use verifier::{ConfigureError, HttpScorer, VerifierSettings, join_scores};

use std::sync::Arc;

use server::docs::BearerToken;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::web;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "EntroPO selector",
        description = "Picks the candidate that most likely resolves an issue. Hand over the candidate trajectories \
                       of an issue, get the best one with a ranking, reasons and a probability; report what became \
                       of it, and draw preference data from that.\n\n\
                       Errors are `application/problem+json` and name the field. Requests that create take an \
                       `Idempotency-Key`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "selections", description = "Choosing among candidates, and what became of the choice."),
        (name = "candidates", description = "Trajectories kept by content: the same one twice is one record."),
        (name = "preferences", description = "Preference data drawn from reported outcomes."),
        (name = "health", description = "Whether the service runs and can answer."),
    ),
    modifiers(&BearerToken),
    security((), ("token" = [])),
)]
struct Api;

/// The service's endpoints, to be put into [`server::stack`].
pub fn router(service: &Service) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Api::openapi())
        .merge(selections::routes(service))
        .merge(candidates::routes(service))
        .merge(preferences::routes())
        .merge(policies::routes())
        .with_state(service.clone())
        // The web page is not part of the documented interface.
        .merge(web::router(Arc::clone(&service.store)).into())
}
