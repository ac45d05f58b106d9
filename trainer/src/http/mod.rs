//! The HTTP service: one file a group of endpoints, over the shared edge of crate `server`.

mod artifacts;
mod checkpoints;
mod create;
mod events;
mod query;
mod runs;
mod settings;
mod start;
mod view;

pub use settings::Settings;
pub use start::{Running, StartError, start};

use std::sync::Arc;

use axum::{Extension, middleware::from_fn_with_state};
use server::{
    Problem,
    docs::BearerToken,
    idempotency::{IdempotencyStore, idempotent},
    stored::Stored,
};
use store::StoreError;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use self::events::Stopping;

use crate::Service;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "EntroPO trainer",
        description = "Trains policies and verifiers: hand over the configuration of a run, watch it, stop it and let \
                       it go on, fetch its checkpoints, and let the verifier use one.\n\n\
                       Errors are `application/problem+json` and name the field.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "runs", description = "Starting, watching, stopping and resuming training runs."),
        (name = "artifacts", description = "What runs leave behind: checkpoints and other files."),
        (name = "health", description = "Whether the service runs and can answer."),
    ),
    modifiers(&BearerToken),
    security((), ("token" = [])),
)]
struct Api;

/// The service's endpoints, to be put into [`server::stack`]. Streams of events end when `stop` is cancelled.
pub fn router(service: &Service, stop: CancellationToken) -> OpenApiRouter {
    let keys: Arc<dyn IdempotencyStore> = Arc::new(Stored {
        store: Arc::clone(&service.store),
        idempotency_ttl: service.settings.idempotency_ttl.0,
    });
    let mut router = OpenApiRouter::with_openapi(Api::openapi())
        .merge(create::routes().route_layer(from_fn_with_state(keys, idempotent)))
        .merge(runs::routes())
        .merge(events::routes().layer(Extension(Stopping(stop))))
        .merge(checkpoints::routes())
        .merge(artifacts::routes())
        .with_state(service.clone());
    // The router's word for a path of several parts means nothing in OpenAPI.
    let paths = &mut router.get_openapi_mut().paths.paths;
    *paths = std::mem::take(paths).into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    router
}

/// A store's error as a problem: runs are jobs there, and clients know runs.
fn stored(error: StoreError) -> Problem {
    server::stored::problem(match error {
        StoreError::NotFound { what: "job", id } => StoreError::NotFound { what: "run", id },
        StoreError::Conflict { what: "job", id, detail } => StoreError::Conflict { what: "run", id, detail },
        error => error,
    })
}
