//! The style sheet, the script and the icon, compiled in: the page needs no build step and no other host.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const STYLE: &[u8] = include_bytes!("../../assets/style.css");
/// htmx 2.0.11, unchanged; its licence (0BSD) lies beside it.
const HTMX: &[u8] = include_bytes!("../../assets/htmx-2.0.11.min.js");
const ICON: &[u8] = include_bytes!("../../assets/icon.svg");

/// Addresses of the assets. They hold a hash of the content, so browsers may keep them for good.
#[derive(Debug)]
pub(super) struct Chrome {
    pub(super) style: String,
    pub(super) htmx: String,
    pub(super) icon: String,
}

static CHROME: LazyLock<Chrome> = LazyLock::new(|| {
    let address = |name: &str, content: &[u8]| {
        let hash = blake3::hash(content).to_hex();
        format!("/assets/{name}?v={}", &hash[..10])
    };
    Chrome {
        style: address("style.css", STYLE),
        htmx: address("htmx.js", HTMX),
        icon: address("icon.svg", ICON),
    }
});

impl Chrome {
    pub(super) fn get() -> &'static Self {
        &CHROME
    }
}

/// `GET /assets/{name}`.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, content) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "htmx.js" => ("text/javascript; charset=utf-8", HTMX),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, super::respond::RAW_POLICY),
    ];
    (headers, content).into_response()
}
