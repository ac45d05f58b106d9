//! Errors as RFC 9457 `application/problem+json`.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

mod kind;
mod responses;

pub use kind::Kind;
pub use responses::ProblemResponses;

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request failed (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem: a link to its paragraph in `/docs`.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "/docs#problem-invalid-field")]
    kind: Kind,
    /// The kind in a few words; the same for every occurrence.
    #[schema(value_type = String, example = "a field has an unacceptable value")]
    title: &'static str,
    /// The HTTP status.
    #[schema(value_type = u16, minimum = 400, maximum = 599)]
    status: Status,
    /// What happened here and what to do about it.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// The `x-request-id` of the request, to find it in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip)]
    retry_after: Option<u32>,
    /// For the log alone.
    #[serde(skip)]
    cause: Option<Box<str>>,
}

/// Why a response is an error, as an extension of one that is no [`Problem`], such as a page. The log has it.
#[derive(Debug, Clone)]
pub struct Cause(pub String);

/// An error with its causes: the outermost one often says little more than "client error".
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors repeat their cause in their own words.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: the field's path in the body (`candidates[3].patch`), or the name of the parameter or header.
    field: String,
    /// What is wrong with it.
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status(StatusCode);

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0.as_u16())
    }
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            title: kind.title(),
            status: Status(kind.status()),
            detail: detail.into(),
            errors: Vec::new(),
            request_id: None,
            retry_after: kind.retry_after(),
            cause: None,
        }
    }

    /// A field whose value cannot be accepted: 422 naming it.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        Self::new(Kind::InvalidField, format!("{field}: {message}")).with_error(field, message)
    }

    /// A limit that a field exceeds: 413 naming it.
    pub fn too_large(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        Self::new(Kind::TooLarge, format!("{field}: {message}")).with_error(field, message)
    }

    /// A thing that is not there.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// A failure on our side. The error and its causes go to the log, in the one line that each failed request has
    /// there, and not to the client.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        Self::broken(chain(error))
    }

    /// The same where there is no error, only words for what went wrong.
    pub fn broken(cause: impl Into<Box<str>>) -> Self {
        Self::new(Kind::Internal, "something went wrong here; the request id finds it in the service's log")
            .with_cause(cause)
    }

    /// The same with what the log says and the client does not need to know.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What the log says of it: the cause where there is one, else what the client is told.
    pub(crate) fn for_log(&self) -> &str {
        self.cause.as_deref().unwrap_or(&self.detail)
    }

    /// The same with one more field at fault.
    #[must_use]
    pub fn with_error(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
        self
    }

    /// The same with the id of the request, unless it has one.
    #[must_use]
    pub fn with_request_id(mut self, id: &str) -> Self {
        self.request_id.get_or_insert_with(|| id.to_owned());
        self
    }

    /// The same with the time after which the request may succeed, in whole seconds and at least one.
    #[must_use]
    pub fn with_retry_after(mut self, time: std::time::Duration) -> Self {
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        self.retry_after = Some(u32::try_from(seconds).unwrap_or(u32::MAX).max(1));
        self
    }

    /// The kind of problem.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What happened.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The kind for a bare status, as the router and other layers answer it.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        let detail = match status {
            StatusCode::NOT_FOUND => "there is nothing at this path; /docs lists what there is",
            StatusCode::METHOD_NOT_ALLOWED => "this path does not take this method; see the `allow` header",
            _ => status.canonical_reason().unwrap_or("the request failed"),
        };
        let mut problem = Self::new(Kind::of_status(status), detail);
        problem.status = Status(status);
        problem
    }

    fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("problems serialise: strings and numbers only")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status.0, self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthorized {
            // Basic lets a browser ask for the token (as the password) without a login page.
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"entropo\""));
            headers
                .append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"entropo token\""));
        }
        // The request's id is not known here: `observe` adds it on the way out.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_problem_is_rfc_9457() {
        let problem =
            Problem::field("candidates[3].patch", "is 9 MiB, the limit is 8 MiB").with_request_id("abc");
        let response = problem.into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "/docs#problem-invalid-field",
                "title": "a field has an unacceptable value",
                "status": 422,
                "detail": "candidates[3].patch: is 9 MiB, the limit is 8 MiB",
                "errors": [{"field": "candidates[3].patch", "message": "is 9 MiB, the limit is 8 MiB"}],
                "request_id": "abc",
            })
        );
    }

    #[test]
    fn unauthorised_says_how_to_authenticate_and_overload_when_to_return() {
        let response = Problem::new(Kind::Unauthorized, "no token").into_response();
        assert_eq!(response.headers().get_all("www-authenticate").iter().count(), 2);
        let busy = Problem::new(Kind::Overloaded, "busy");
        assert_eq!(busy.clone().into_response().headers()["retry-after"], "1");
        let later = busy.with_retry_after(std::time::Duration::from_millis(2_001)).into_response();
        assert_eq!(later.headers()["retry-after"], "3");
    }
}
