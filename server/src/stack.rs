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
use tower::ServiceBuilder;
use tower_http::{CompressionLevel, catch_panic::CatchPanicLayer, compression::CompressionLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    auth::{Authenticator, authorize},
    body::{BodyRules, Room},
    config::Limits,
    docs,
    guard::{Guard, guard},
    health::{self, Probe},
    metrics::{self, Requests},
    observe::{Turnstile, observe},
    problem::{Kind, Problem, ProblemResponses},
    rate::{Rates, limit_rate},
    work::{Work, made_here},
};

/// Requests for metrics that are answered at a time.
const SCRAPES: usize = 2;

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

/// Puts the shared layers around a service.
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
    let scrapes = Limits { concurrency: SCRAPES, ..edge.limits.clone() };
    let requests = Requests::new(edge.service);
    let compression = CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest);
    // Sees everything, adds the request id, completes every error into a problem.
    let observed = from_fn_with_state(requests.clone(), observe);
    // Inside `observe`, so that a panic is logged with its request id and answered as a problem.
    let caught = CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panicked(&*panic));

    // As one, from the outermost to the innermost: each `layer` of a router allocates for every request, more so the
    // more there are.
    let guards = |admission: Admission| {
        ServiceBuilder::new()
            // A service that is full has nothing to spend on those that it refuses.
            .layer(Turnstile { requests: requests.clone(), reason: admission.full() })
            .layer(observed.clone())
            .layer(caught)
            // Browsers acting for other sites are refused before anything is spent on them.
            .layer(from_fn_with_state(Guard { local_only }, guard))
            // Takes a place among the running requests, or sheds the request; hands it to the runtime that works, and
            // ends it at its deadline.
            .layer(from_fn_with_state(admission, admit))
            // Only callers with a token get further; the cheapest requests to refuse have been refused by now.
            .layer(from_fn_with_state(edge.auth.clone(), authorize))
            // Each token has its share, where one is configured.
            .layer(from_fn_with_state(rates.clone(), limit_rate))
            // Where requests are worked on, for it takes a while.
            .layer(compression.clone())
    };
    let service = service.layer(guards(Admission::new(edge.limits.clone(), work.clone())));
    // A service that is full is the one that somebody wants to see the metrics of: they have places of their own.
    let metrics = metrics::routes().layer(guards(Admission::new(scrapes, work)));
    // Health and documentation need no token and no place: they must answer when the service is full.
    let open = open
        .merge(docs::routes(&service_api).layer(compression.clone()))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(ServiceBuilder::new().layer(observed.clone()).layer(caught));
    service.merge(metrics).merge(open)
}

#[derive(Debug, Clone)]
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

    fn rules(&self) -> BodyRules {
        BodyRules::new(Arc::clone(&self.limits), self.room.clone(), Arc::clone(&self.places))
    }

    /// Whether a request is refused whatever it brings.
    fn full(&self) -> impl Fn() -> Option<Problem> + Clone + use<> {
        let rules = self.rules();
        move || rules.check().err()
    }
}

/// Sheds at once instead of queueing: a queue that is longer than clients wait only makes work for nobody.
async fn admit(State(admission): State<Admission>, mut request: Request, next: Next) -> Response {
    let rules = admission.rules();
    // A request that brings a body takes its place when that has arrived.
    if http_body::Body::is_end_stream(request.body())
        && let Err(problem) = rules.enter()
    {
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
