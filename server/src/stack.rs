//! The whole order of layers, on one screen.

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::{CompressionLevel, catch_panic::CatchPanicLayer, compression::CompressionLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    auth::{Authenticator, authorize},
    body::{BodyRules, Room},
    config::Limits,
    docs,
    guard::{Guard, guard},
    health::{self, Probe},
    metrics,
    observe::observe,
    problem::{Kind, Problem, ProblemResponses},
    rate::{Rates, limit_rate},
    work::{Work, made_here},
};

/// What a service hands to the edge.
pub struct Edge {
    /// What metrics call the service, such as `selector`.
    pub service: &'static str,
    /// Limits on requests.
    pub limits: Limits,
    /// Who may call.
    pub auth: Authenticator,
    /// Whether other machines cannot reach the service.
    pub loopback: bool,
    /// What `/readyz` asks.
    pub probes: Vec<Arc<dyn Probe>>,
    /// Cancelled when the service stops: `/readyz` then answers 503.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("limits", &self.limits).field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// Puts the shared layers around a service. A request meets them from the last line to the first.
///
/// Whoever polls the router, requests that are admitted are worked on by the runtime that this is called in.
///
/// # Panics
///
/// Outside of a runtime.
pub fn stack(service: OpenApiRouter, edge: Edge) -> Router {
    let work = Work::here();
    let (open, api) = health::routes(edge.probes, edge.stop, work.clone()).split_for_parts();
    let (service, mut service_api) = service.split_for_parts();
    service_api.merge(api);
    ProblemResponses::add_schemas(&mut service_api);
    let local_only = edge.loopback && !edge.auth.is_required();
    let rates = Rates::new(edge.limits.requests_per_second);
    let admission = Admission::new(edge.limits, work);
    let compressed = CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest);

    let guarded = service
        .merge(metrics::routes())
        // Where requests are worked on, for it takes a while.
        .layer(compressed.clone())
        // Each token has its share, where one is configured.
        .layer(from_fn_with_state(rates, limit_rate))
        // Only callers with a token get further; the cheapest requests to refuse have been refused by now.
        .layer(from_fn_with_state(edge.auth, authorize))
        // Takes a place among the running requests, or sheds the request; hands it to the runtime that works, and ends it
        // at its deadline.
        .layer(from_fn_with_state(admission, admit))
        // Browsers acting for other sites are refused before anything is spent on them.
        .layer(from_fn_with_state(Guard { local_only }, guard));

    guarded
        // Health and documentation need no token and no place: they must answer when the service is full.
        .merge(open)
        .merge(docs::routes(&service_api).layer(compressed))
        .fallback(|| async { StatusCode::NOT_FOUND })
        // Inside `observe`, so that a panic is logged with its request id and answered as a problem.
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panicked(&*panic)))
        // Sees everything, adds the request id, completes every error into a problem.
        .layer(from_fn_with_state(edge.service, observe))
}

#[derive(Clone)]
struct Admission {
    limits: Arc<Limits>,
    places: Arc<Semaphore>,
    room: Room,
    work: Work,
}

impl Admission {
    fn new(limits: Limits, work: Work) -> Self {
        let places = Arc::new(Semaphore::new(limits.concurrency.max(1)));
        let room = Room::new(limits.bodies_in_memory);
        Self { limits: Arc::new(limits), places, room, work }
    }
}

/// Sheds at once instead of queueing: a queue that is longer than clients wait only makes work for nobody.
async fn admit(State(admission): State<Admission>, mut request: Request, next: Next) -> Response {
    let (limits, places) = (Arc::clone(&admission.limits), Arc::clone(&admission.places));
    let rules = BodyRules::new(limits, admission.room.clone(), places);
    // A request that brings a body takes its place when that has arrived.
    let admitted = if http_body::Body::is_end_stream(request.body()) { rules.enter() } else { rules.check() };
    if let Err(problem) = admitted {
        return problem.into_response();
    }
    // This clone keeps the place and the body's room until the handler is done.
    let held = rules.clone();
    request.extensions_mut().insert(rules);
    let handled = admission.work.run(async move {
        let _held = held;
        made_here(next.run(request).await)
    });
    let limit = admission.limits.request_timeout;
    match tokio::time::timeout(limit.0, handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Problem::new(Kind::Unavailable, "the service is stopping").into_response(),
        Err(_) => Problem::new(Kind::DeadlineExceeded, format!("the request took longer than {limit}"))
            .into_response(),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Problem::broken(format!("panic: {}", text.unwrap_or("without a message"))).into_response()
}
