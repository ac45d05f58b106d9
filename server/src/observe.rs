//! What is seen of each request: its id, its span and log line, its metrics; and the last touch on every error.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue, Method, header};
use tracing::{Instrument as _, field::Empty};

use crate::{
    metrics,
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

/// The outermost layer: sees every request and every response, also those of the layers below it.
pub async fn observe(State(service): State<&'static str>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    request.extensions_mut().insert(id.clone());
    let method = method_label(request.method());
    // The template, never the path: label values must stay few.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let caller = TraceParent::of(request.headers());
    // At the level of errors, so that lines of every level have the request's id.
    let span = if is_quiet(&route) {
        // The target keeps probes, which come every few seconds, out of the traces.
        tracing::error_span!(target: "probe", "request", request_id = id.as_str(), method, route, trace_id = Empty)
    } else {
        tracing::error_span!(
            "request",
            otel.kind = "server",
            request_id = id.as_str(),
            method,
            route,
            trace_id = Empty,
        )
    };
    trace::adopt(&span, caller);
    trace::rename(&span, &format!("{method} {route}"));
    trace::attribute(&span, "http.request.method", method);
    trace::attribute(&span, "http.route", route.clone());

    let mut seen = Seen {
        started: Instant::now(),
        service,
        method,
        route,
        status: None,
        cause: None,
        span: span.clone(),
    };
    metrics::in_flight(service, 1.0);
    let response = trace::with_caller(caller, next.run(request)).instrument(span).await;
    seen.status = Some(response.status().as_u16());
    if response.status().is_server_error() {
        let problem = response.extensions().get().map(|problem: &Problem| problem.for_log().to_owned());
        seen.cause = problem.or_else(|| response.extensions().get().map(|Cause(cause)| cause.clone()));
    }
    drop(seen);
    finish(response, &id)
}

/// Turns bare and unfinished errors into problems with the request's id, and sets the headers of every response.
fn finish(mut response: Response, id: &RequestId) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = with_problem(&response, problem.with_request_id(id.as_str()));
    } else if is_bare_error(&response) {
        let problem = Problem::from_status(response.status()).with_request_id(id.as_str());
        response = with_problem(&response, problem);
    }
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

/// Reports on drop, so that a request whose client left is seen too.
struct Seen {
    started: Instant,
    service: &'static str,
    method: &'static str,
    route: String,
    status: Option<u16>,
    /// Why it failed, where it did.
    cause: Option<String>,
    span: tracing::Span,
}

impl Drop for Seen {
    fn drop(&mut self) {
        metrics::in_flight(self.service, -1.0);
        let took = self.started.elapsed();
        // 499 as other servers log it: the client closed the connection before the response.
        let status = self.status.unwrap_or(499);
        metrics::finished(self.service, self.method, &self.route, status, took);
        let _entered = self.span.enter();
        trace::attribute(&self.span, "http.response.status_code", i64::from(status));
        log(status, took, &self.route, self.cause.as_deref());
    }
}

/// One line for each request, and no other for one that failed.
fn log(status: u16, took: Duration, route: &str, cause: Option<&str>) {
    let ms = (took.as_secs_f64() * 1e5).round() / 1e2;
    match status {
        // Whoever is told to come again is not told of a failure.
        503 if is_quiet(route) => tracing::debug!(status, ms, "not ready"),
        503 => tracing::warn!(status, ms, cause, "unavailable"),
        500.. => tracing::error!(status, ms, cause, "request failed"),
        499 => tracing::info!(status, ms, "client left"),
        _ if is_quiet(route) => tracing::debug!(status, ms, "answered"),
        _ => tracing::info!(status, ms, "answered"),
    }
}

/// Probes come every few seconds and say nothing while they succeed.
fn is_quiet(route: &str) -> bool {
    matches!(route, "/livez" | "/readyz" | "/startupz" | "/metrics")
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
