//! What is seen of each request: its id, its span and log line, its metrics; and the last touch on every error.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::future::Either;
use http::{HeaderName, HeaderValue, Method, header};
use tracing::{Instrument as _, field::Empty};

use crate::{
    metrics::Requests,
    problem::{Cause, Problem},
    trace::{self, TraceParent},
};

/// Header of the request id, taken from the client or made here.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the current request, as an extension.
#[derive(Debug, Clone)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let usable = given.filter(|id| {
            (1..=128).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b))
        });
        Self(usable.map_or_else(|| uuid::Uuid::now_v7().to_string().into(), Into::into))
    }
}

/// Sees every request and every response of the layers below it.
pub(crate) async fn observe(State(requests): State<Requests>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    request.extensions_mut().insert(id.clone());
    let method = method_label(request.method());
    let route = Route::of(&request);
    let caller = TraceParent::of(request.headers());
    // At the level of errors, so that lines of every level have the request's id.
    let span = if route.is_quiet() {
        // The target keeps probes, which come every few seconds, out of the traces.
        let route = route.as_str();
        tracing::error_span!(target: "probe", "request", request_id = id.as_str(), method, route, trace_id = Empty)
    } else {
        tracing::error_span!(
            "request",
            otel.kind = "server",
            request_id = id.as_str(),
            method,
            route = route.as_str(),
            trace_id = Empty,
        )
    };
    trace::adopt(&span, caller);
    let traced = trace::of_span(&span).is_some();
    if traced {
        trace::rename(&span, &format!("{method} {}", route.as_str()));
        trace::attribute(&span, "http.request.method", method);
        trace::attribute(&span, "http.route", route.as_str().to_owned());
    }

    requests.begun();
    let mut seen = Seen {
        started: Instant::now(),
        requests,
        method,
        route,
        status: None,
        cause: None,
        span: span.clone(),
        traced,
    };
    let response = trace::with_caller(caller, next.run(request)).instrument(span).await;
    seen.status = Some(response.status().as_u16());
    if response.status().is_server_error() {
        let problem = response.extensions().get().map(|problem: &Problem| problem.for_log().to_owned());
        seen.cause = problem.or_else(|| response.extensions().get().map(|Cause(cause)| cause.clone()));
    }
    drop(seen);
    finish(response, &id)
}

/// Answers requests with a problem while there is reason to, before anything is spent on them: no span, no other layer.
/// They have their line in the log and are counted like all others.
#[derive(Debug, Clone)]
pub(crate) struct Turnstile<F> {
    pub(crate) requests: Requests,
    /// Why no request is let in, as long as that is so.
    pub(crate) reason: F,
}

impl<S, F: Clone> tower::Layer<S> for Turnstile<F> {
    type Service = Turned<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Turned { inner, turnstile: self.clone() }
    }
}

/// A service behind a [`Turnstile`].
#[derive(Debug, Clone)]
pub(crate) struct Turned<S, F> {
    inner: S,
    turnstile: Turnstile<F>,
}

impl<S, F> tower::Service<Request> for Turned<S, F>
where
    S: tower::Service<Request, Response = Response, Error = Infallible>,
    F: Fn() -> Option<Problem>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match (self.turnstile.reason)() {
            None => Either::Right(self.inner.call(request)),
            Some(problem) => Either::Left(ready(Ok(turn_away(&self.turnstile.requests, &request, problem)))),
        }
    }
}

fn turn_away(requests: &Requests, request: &Request, problem: Problem) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request);
    let (method, route) = (method_label(request.method()), Route::of(request));
    let (route, status, cause) = (route.as_str(), problem.kind().status().as_u16(), problem.for_log());
    let trace_id = TraceParent::of(request.headers()).map(|caller| caller.trace_id());
    let (request_id, trace_id, took) = (id.as_str(), trace_id.as_deref(), started.elapsed());
    tracing::warn!(request_id, method, route, trace_id, status, ms = ms(took), cause, "unavailable");
    requests.answered(method, route, status, took);
    let mut response = problem.with_request_id(id.as_str()).into_response();
    response.extensions_mut().remove::<Problem>();
    with_headers(response, &id)
}

/// Turns bare and unfinished errors into problems with the request's id, and sets the headers of every response.
fn finish(mut response: Response, id: &RequestId) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = with_problem(&response, problem.with_request_id(id.as_str()));
    } else if is_bare_error(&response) {
        let problem = Problem::from_status(response.status()).with_request_id(id.as_str());
        response = with_problem(&response, problem);
    }
    with_headers(response, id)
}

/// The headers of every response.
fn with_headers(mut response: Response, id: &RequestId) -> Response {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Replaces the body and keeps the headers that other layers set, such as `allow`.
fn with_problem(response: &Response, problem: Problem) -> Response {
    let (mut parts, body) = problem.into_response().into_parts();
    parts.extensions.remove::<Problem>();
    for (name, value) in response.headers() {
        let of_old_body = [
            header::CONTENT_TYPE,
            header::CONTENT_LENGTH,
            header::CONTENT_ENCODING,
            header::TRANSFER_ENCODING,
        ];
        if !of_old_body.contains(name) && !parts.headers.contains_key(name) {
            parts.headers.append(name, value.clone());
        }
    }
    Response::from_parts(parts, body)
}

/// An error as the router answers it: a status without a body of our making.
fn is_bare_error(response: &Response<Body>) -> bool {
    let status = response.status();
    let typed = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        value.starts_with(b"application/") || value.starts_with(b"text/html")
    });
    (status.is_client_error() || status.is_server_error()) && !typed
}

/// The template of a request's path, never the path itself: values of labels must stay few.
struct Route(Option<MatchedPath>);

impl Route {
    fn of(request: &Request) -> Self {
        Self(request.extensions().get().cloned())
    }

    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("unmatched", MatchedPath::as_str)
    }

    /// Probes come every few seconds and say nothing while they succeed.
    fn is_quiet(&self) -> bool {
        matches!(self.as_str(), "/livez" | "/readyz" | "/startupz" | "/metrics")
    }
}

/// Reports on drop, so that a request whose client left is seen too.
struct Seen {
    started: Instant,
    requests: Requests,
    method: &'static str,
    route: Route,
    status: Option<u16>,
    /// Why it failed, where it did.
    cause: Option<String>,
    span: tracing::Span,
    /// Whether the span is part of a trace.
    traced: bool,
}

impl Drop for Seen {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        // 499 as other servers log it: the client closed the connection before the response.
        let status = self.status.unwrap_or(499);
        self.requests.ended(self.method, self.route.as_str(), status, took);
        let _entered = self.span.enter();
        if self.traced {
            trace::attribute(&self.span, "http.response.status_code", i64::from(status));
        }
        log(status, took, self.route.is_quiet(), self.cause.as_deref());
    }
}

/// Milliseconds, to a hundredth.
fn ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e5).round() / 1e2
}

/// One line for each request, and no other for one that failed.
fn log(status: u16, took: Duration, quiet: bool, cause: Option<&str>) {
    let ms = ms(took);
    match status {
        // Whoever is told to come again is not told of a failure.
        503 if quiet => tracing::debug!(status, ms, "not ready"),
        503 => tracing::warn!(status, ms, cause, "unavailable"),
        500.. => tracing::error!(status, ms, cause, "request failed"),
        499 => tracing::info!(status, ms, "client left"),
        _ if quiet => tracing::debug!(status, ms, "answered"),
        _ => tracing::info!(status, ms, "answered"),
    }
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_request_ids_are_taken_over() {
        let id = |value: &str| {
            let request = Request::builder().header(REQUEST_ID, value).body(Body::empty()).unwrap();
            RequestId::of(&request).as_str().to_owned()
        };
        assert_eq!(id("build-42.7"), "build-42.7");
        for bad in ["", "a b", "<script>", &"x".repeat(129)] {
            assert_ne!(id(bad), bad);
        }
    }
}
