//! `Idempotency-Key` on requests that create: a retry gets the first response again instead of a second record.
//!
//! A key is claimed before the handler runs. Only successes are kept; after a failure the key is free again, so that
//! the same request can be retried. The work of a claimed request goes on when its client leaves: the retry finds
//! its result. A claim is short and renewed while the request runs, so that a retry after a crash soon runs.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use store::Tenant;

use crate::{
    auth::Caller,
    body,
    problem::{Kind, Problem},
    trace,
};

/// The request header.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// `true` on a response that is a repetition.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How often the claim of a running request is renewed.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(4);

/// One use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose key it is.
    pub tenant: Tenant,
    /// Caller, method and route: the same key means nothing elsewhere.
    pub scope: String,
    /// The key.
    pub key: String,
    /// BLAKE3 of the decoded body.
    pub body_hash: [u8; 32],
}

/// A key that this request holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Whose key it is.
    pub tenant: Tenant,
    /// The claim's scope.
    pub scope: String,
    /// The key.
    pub key: String,
    /// Tells this claim from a later one of the same key, made after this one expired.
    pub id: uuid::Uuid,
}

/// What claiming a key found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Nobody used it: the request runs.
    Fresh(Held),
    /// It was used for the same body.
    Replay(StoredResponse),
    /// It was used for another body.
    Mismatch,
    /// The first request still runs.
    InProgress,
}

/// A response as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// The status.
    pub status: u16,
    /// Its `content-type` and `location` headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Where keys are kept. Errors go to the log.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Takes the key, or says why not; atomic. An unfinished claim expires after a while, so that a retry after a
    /// crash can run.
    async fn claim(&self, claim: &Claim) -> Result<Claimed, String>;
    /// Keeps the claim from expiring for a while longer.
    async fn renew(&self, held: &Held) -> Result<(), String>;
    /// Keeps the response under the claim.
    async fn complete(&self, held: &Held, response: &StoredResponse) -> Result<(), String>;
    /// Frees a claim that has no response.
    async fn release(&self, held: &Held) -> Result<(), String>;
}

/// The current request's claim, as an extension: a handler may keep the response itself, in the same transaction as
/// its records, and then says so.
#[derive(Debug, Clone)]
pub struct Ticket {
    held: Arc<Held>,
    kept: Arc<AtomicBool>,
}

impl Ticket {
    /// What this request holds.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The response is stored with the records.
    pub fn mark_kept(&self) {
        self.kept.store(true, Ordering::Release);
    }
}

/// Middleware for routes that create with POST; other methods pass.
pub async fn idempotent(
    State(store): State<Arc<dyn IdempotencyStore>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    // In its own task: when the client leaves, only the waiting ends.
    match trace::spawn(with_key(store, request, next)).await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

async fn with_key(
    store: Arc<dyn IdempotencyStore>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key = key_of(&request)?;
    let caller = request.extensions().get::<Caller>().cloned();
    let Caller { id: caller, tenant, .. } =
        caller.ok_or_else(|| Problem::broken("the route is not behind the layer that authorizes"))?;
    let route = request.extensions().get::<MatchedPath>().map_or(request.uri().path(), MatchedPath::as_str);
    let path = if route.contains('{') { request.uri().path() } else { route };
    let scope = format!("{caller} {} {path}", request.method());
    let (parts, bytes) = body::read(request).await?;
    let claim = Claim { tenant, scope, key, body_hash: *blake3::hash(&bytes).as_bytes() };
    let unavailable = |cause: String| {
        Problem::new(Kind::Unavailable, "the idempotency key cannot be checked just now").with_cause(cause)
    };

    let held = match store.claim(&claim).await.map_err(unavailable)? {
        Claimed::Fresh(held) => held,
        Claimed::Replay(stored) => return Ok(replay(stored)),
        Claimed::Mismatch => {
            return Err(Problem::new(
                Kind::IdempotencyMismatch,
                "this key was used for a request with another body",
            )
            .with_error(IDEMPOTENCY_KEY.as_str(), "was used for a request with another body"));
        }
        Claimed::InProgress => {
            return Err(Problem::new(
                Kind::IdempotencyInProgress,
                "the first request with this key is still running",
            ));
        }
    };

    let mut request = Request::from_parts(parts, Body::from(bytes));
    let ticket = Ticket { held: Arc::new(held), kept: Arc::default() };
    request.extensions_mut().insert(ticket.clone());
    let guard = Unfinished { store: Arc::clone(&store), ticket: Some(ticket.clone()) };
    let response = tokio::select! {
        response = next.run(request) => response,
        never = renew(&*store, ticket.held()) => match never {},
    };
    keep(&store, guard, &ticket, response).await
}

/// Keeps a claim alive for as long as it is polled.
async fn renew(store: &dyn IdempotencyStore, held: &Held) -> Infallible {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        if let Err(cause) = store.renew(held).await {
            tracing::warn!(cause, "the claim of an idempotency key cannot be renewed");
        }
    }
}

async fn keep(
    store: &Arc<dyn IdempotencyStore>,
    mut guard: Unfinished,
    ticket: &Ticket,
    response: Response,
) -> Result<Response, Problem> {
    if ticket.kept.load(Ordering::Acquire) {
        guard.ticket = None;
        return Ok(response);
    }
    if !response.status().is_success() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| Problem::internal(&error))?.to_bytes();
    let headers = kept_headers(&parts.headers);
    let stored = StoredResponse { status: parts.status.as_u16(), headers, body: body.to_vec() };
    // The records exist: the caller gets the response even if the key cannot be kept.
    match store.complete(ticket.held(), &stored).await {
        Ok(()) => guard.ticket = None,
        Err(cause) => tracing::error!(cause, "the response cannot be kept under its idempotency key"),
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn key_of(request: &Request) -> Result<String, Problem> {
    let key =
        request.headers().get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let allowed = (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if allowed {
        Ok(key.to_owned())
    } else {
        Err(Problem::field(IDEMPOTENCY_KEY.as_str(), "must be 1 to 255 visible ASCII characters"))
    }
}

/// The headers of a response that a repetition has too.
pub(crate) fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = [header::CONTENT_TYPE, header::LOCATION];
    kept.iter()
        .filter_map(|name| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned())))
        .collect()
}

fn replay(stored: StoredResponse) -> Response {
    let mut response = Response::new(Body::from(stored.body));
    *response.status_mut() = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    for (name, value) in stored.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}

/// Frees the key when the handler fails or panics.
struct Unfinished {
    store: Arc<dyn IdempotencyStore>,
    ticket: Option<Ticket>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            if let Err(cause) = store.release(ticket.held()).await {
                tracing::error!(cause, "an idempotency key cannot be freed; it expires by itself");
            }
        });
    }
}
