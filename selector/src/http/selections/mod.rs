//! `/v1/selections`: making them, reading them, and reporting what became of them.

mod create;
mod outcomes;
mod pool;
mod read;
mod scoring;
mod types;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use server::{
    idempotency::{IdempotencyStore, idempotent},
    stored::Stored,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Service;

pub(super) use outcomes::OutcomeView;

pub(super) fn routes(service: &Service) -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(read::list, create::create))
        .routes(routes!(read::get))
        .routes(routes!(outcomes::report))
        .route_layer(from_fn_with_state(keys(service), idempotent))
}

/// Where idempotency keys are kept.
pub(super) fn keys(service: &Service) -> Arc<dyn IdempotencyStore> {
    Arc::new(Stored {
        store: Arc::clone(&service.store),
        idempotency_ttl: service.settings.idempotency_ttl.0,
    })
}
