//! Answers: pages, parts of pages, plain text and assets, each with the headers that keep what agents wrote inert.

use askama::Template;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::assets::Chrome;

/// Nothing but this service's own files, no inline script or style, no framing, forms only to here. Markup that got
/// through in spite of the escaping could neither run nor send anything.
pub(super) const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// For raw text: a browser that takes it for anything else may do nothing with it.
pub(super) const RAW_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// Headers of every answer. The referrer stays within the site; without one at all, browsers would send
/// `Origin: null` with the form and it could not be told from another site's.
const COMMON: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "private, no-cache"),
    (header::VARY, "hx-request"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// HTML with its status.
pub(super) struct Html(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let own = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        ];
        (self.0, COMMON, own, self.1).into_response()
    }
}

/// Text as it is.
pub(super) struct Raw(pub(super) String);

impl IntoResponse for Raw {
    fn into_response(self) -> Response {
        let own = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, RAW_POLICY),
        ];
        (COMMON, own, self.0).into_response()
    }
}

/// Renders a template.
pub(super) fn html(template: &impl Template) -> Result<Html, WebError> {
    template.render().map(|text| Html(StatusCode::OK, text)).map_err(|error| WebError::internal(&error))
}

/// Whether htmx asks for a part of a page. When it restores a page from history it needs all of it.
pub(super) fn wants_part(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request") && !headers.contains_key("hx-history-restore-request")
}

/// What went wrong, for the person in front of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WebError {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) detail: String,
    /// For the log.
    cause: Option<String>,
}

impl WebError {
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, title: "Not found", detail: detail.into(), cause: None }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            title: "That cannot be done",
            detail: detail.into(),
            cause: None,
        }
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, title: "Refused", detail: detail.into(), cause: None }
    }

    /// The cause goes to the log, not to the page.
    pub(super) fn internal(cause: &dyn std::fmt::Display) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            title: "Something went wrong",
            detail: "The service has logged what. Trying again may help.".to_owned(),
            cause: Some(cause.to_string()),
        }
    }

    /// As a page, or as a part to be put in place of what was asked for.
    pub(super) fn answer(self, part: bool) -> Response {
        let Self { status, title, detail, cause } = self;
        let text = if part {
            ProblemPart { title, detail: &detail }.render()
        } else {
            ProblemPage { chrome: Chrome::get(), title, detail: &detail }.render()
        };
        let mut response = Html(status, text.unwrap_or_default()).into_response();
        if let Some(cause) = cause {
            response.extensions_mut().insert(server::problem::Cause(cause));
        }
        response
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    chrome: &'static Chrome,
    title: &'static str,
    detail: &'a str,
}

#[derive(Template)]
#[template(path = "problem_part.html")]
struct ProblemPart<'a> {
    title: &'static str,
    detail: &'a str,
}
