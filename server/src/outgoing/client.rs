//! The client: one attempt, and attempts until the answer, the deadline or the end of the budget.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use metrics::{counter, gauge, histogram};
use tokio::{sync::Semaphore, time::timeout};
use tracing::{Instrument as _, field::Empty};

use super::{
    Budget, CallError, Circuit, Health, Reply, SharedBreaker, Target, TargetError,
    call::excerpt,
    retry::{self, is_transient, retry_after},
    target::{base, headers, tls},
};
use crate::{
    problem::chain,
    trace::{self, TRACEPARENT},
};

/// How long a connection stays open without a call.
const IDLE: Duration = Duration::from_mins(1);

/// Largest part of an error's body that is read.
const ERROR_BODY: usize = 1 << 16;

/// A client of one service; cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    target: Target,
    base: String,
    headers: HeaderMap,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    places: Semaphore,
    breaker: SharedBreaker,
    budget: Mutex<Budget>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("target", &self.0.target).finish_non_exhaustive()
    }
}

/// An attempt that failed, and what that means for the next.
struct Failure {
    error: CallError,
    health: Health,
    again: bool,
    /// The shortest wait that the other side asks for.
    after: Option<Duration>,
}

impl Client {
    /// Checks the target; nothing is called yet.
    pub fn new(target: Target) -> Result<Self, TargetError> {
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_nodelay(true);
        plain.set_connect_timeout(Some(target.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(&target)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(plain);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(target.concurrency.max(1))
            .build(connector);
        Ok(Self(Arc::new(Inner {
            base: base(&target.url)?,
            headers: headers(&target)?,
            pool,
            places: Semaphore::new(target.concurrency.max(1)),
            breaker: SharedBreaker::new(target.breaker),
            budget: Mutex::new(Budget::new(&target.retry)),
            target,
        })))
    }

    /// The address, without tokens.
    pub fn url(&self) -> &str {
        &self.0.base
    }

    /// Whether calls go through.
    pub fn circuit(&self) -> Circuit {
        self.0.breaker.circuit()
    }

    /// Reads a document.
    pub async fn get(&self, path: &str, deadline: Instant) -> Result<Reply, CallError> {
        self.call(&Method::GET, path, Bytes::new(), &HeaderMap::new(), deadline).await
    }

    /// Sends JSON, or what a `content-type` in `extra` says. The call is repeated when it fails, so it must not do anything twice.
    pub async fn post(
        &self,
        path: &str,
        body: Bytes,
        extra: &HeaderMap,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        self.call(&Method::POST, path, body, extra, deadline).await
    }

    async fn call(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
        extra: &HeaderMap,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let name = self.0.target.name;
        // Calls of nobody, such as those to the collector of traces, are no part of a trace.
        let Some(caller) = trace::current() else {
            return self.called(method, path, body, extra, deadline).await;
        };
        let span = tracing::info_span!(
            "call",
            otel.kind = "client",
            otel.status_code = Empty,
            otel.status_description = Empty,
            peer = name
        );
        trace::rename(&span, &format!("{method} {name}"));
        trace::attribute(&span, "http.request.method", method.to_string());
        trace::attribute(&span, "url.full", format!("{}{path}", self.0.base));
        let mut headers = extra.clone();
        let place = trace::of_span(&span).unwrap_or(caller);
        if let Ok(value) = HeaderValue::from_str(&place.to_string()) {
            headers.insert(TRACEPARENT, value);
        }
        let result = self.called(method, path, body, &headers, deadline).instrument(span.clone()).await;
        match &result {
            Ok(reply) => {
                trace::attribute(&span, "http.response.status_code", i64::from(reply.status.as_u16()));
            }
            Err(error) => {
                if let CallError::Refused { status, .. } = error {
                    trace::attribute(&span, "http.response.status_code", i64::from(status.as_u16()));
                }
                span.record("otel.status_code", "ERROR");
                span.record("otel.status_description", error.to_string());
            }
        }
        result
    }

    /// A call with its attempts.
    async fn called(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
        extra: &HeaderMap,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let name = self.0.target.name;
        let started = Instant::now();
        self.budget(|budget| {
            budget.earn();
            true
        });
        let mut number = 0;
        let result = loop {
            let failure = match self.attempt(method, path, body.clone(), extra, deadline).await {
                Ok(reply) => break Ok(reply),
                Err(failure) => failure,
            };
            let settings = &self.0.target.retry;
            let wait = retry::wait(settings, number, random()) + failure.after.unwrap_or_default();
            let again = failure.again
                && number < settings.retries
                && retry::fits(wait, Instant::now(), deadline)
                && self.budget(Budget::spend);
            if !again {
                break Err(failure.error);
            }
            tracing::debug!(error = %failure.error, ?wait, target = name, "trying again");
            counter!("outgoing_retries_total", "target" => name).increment(1);
            tokio::time::sleep(wait).await;
            number += 1;
        };
        let outcome = outcome(&result);
        counter!("outgoing_requests_total", "target" => name, "outcome" => outcome).increment(1);
        histogram!("outgoing_request_duration_seconds", "target" => name).record(started.elapsed());
        let open = self.circuit() == Circuit::Open;
        gauge!("outgoing_circuit_open", "target" => name).set(f64::from(u8::from(open)));
        result
    }

    async fn attempt(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
        extra: &HeaderMap,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let target = &self.0.target;
        let name = target.name;
        let left = deadline.saturating_duration_since(Instant::now());
        let late = |after| Failure {
            error: CallError::TooSlow { target: name, after },
            health: Health::Unknown,
            again: false,
            after: None,
        };
        // Waiting for a place is no fault of the other side: the circuit is asked after it.
        let Ok(Ok(_place)) = timeout(left, self.0.places.acquire()).await else { return Err(late(left)) };
        let attempt = self.0.breaker.ask().map_err(|retry_in| Failure {
            error: CallError::Open { target: name, retry_in },
            health: Health::Unknown,
            again: false,
            after: None,
        })?;
        let left = deadline.saturating_duration_since(Instant::now()).min(target.timeout);
        let result = match timeout(left, self.exchange(method, path, body, extra)).await {
            Ok(result) => result,
            Err(_) => Err(Failure { health: Health::Bad, again: true, ..late(left) }),
        };
        attempt.report(result.as_ref().map_or_else(|failure| failure.health, |_| Health::Good));
        result
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
        extra: &HeaderMap,
    ) -> Result<Reply, Failure> {
        let target = &self.0.target;
        let name = target.name;
        let broken = |reason: String| Failure {
            error: CallError::Unreachable { target: name, reason },
            health: Health::Bad,
            again: true,
            after: None,
        };
        let request = self.request(method, path, body, extra).map_err(|error| Failure {
            again: false,
            health: Health::Unknown,
            ..broken(error.to_string())
        })?;
        let response = self.0.pool.request(request).await.map_err(|error| broken(chain(&error)))?;
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            // What it says is for the message only: a body that breaks off does not matter.
            let said = Limited::new(body, ERROR_BODY).collect().await;
            let said = said.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return Err(refused(name, parts.status, &parts.headers, &said));
        }
        let limit = target.response;
        let body = Limited::new(body, limit.as_usize()).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let error = CallError::TooLarge { target: name, limit: limit.0 };
                return Failure { error, health: Health::Good, again: false, after: None };
            }
            broken(format!("the answer breaks off: {}", chain(&*error)))
        })?;
        Ok(Reply { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
        extra: &HeaderMap,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.0.base));
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.0.headers);
            if *method == Method::POST {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            for (name, value) in extra {
                headers.insert(name.clone(), value.clone());
            }
        }
        request.body(Full::new(body))
    }

    fn budget(&self, change: impl FnOnce(&mut Budget) -> bool) -> bool {
        change(&mut self.0.budget.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn refused(target: &'static str, status: StatusCode, headers: &HeaderMap, said: &[u8]) -> Failure {
    let mut detail = excerpt(said);
    if status.is_redirection() {
        let to = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("elsewhere");
        detail =
            format!("it redirects to {to}, which is not followed; configure that address if it is right");
    }
    let health = match status {
        StatusCode::TOO_MANY_REQUESTS => Health::Unknown,
        status if status.is_server_error() => Health::Bad,
        _ => Health::Good,
    };
    Failure {
        error: CallError::Refused { target, status, detail },
        health,
        again: is_transient(status),
        after: retry_after(headers, SystemTime::now()),
    }
}

fn outcome(result: &Result<Reply, CallError>) -> &'static str {
    match result {
        Ok(_) => "answered",
        Err(CallError::Open { .. }) => "circuit_open",
        Err(CallError::Unreachable { .. }) => "unreachable",
        Err(CallError::TooSlow { .. }) => "too_slow",
        Err(CallError::Refused { .. }) => "refused",
        Err(CallError::TooLarge { .. }) => "too_large",
    }
}

/// Uniform in [0, 1).
fn random() -> f64 {
    let bits = getrandom::u64().unwrap_or_default();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
