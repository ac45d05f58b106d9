//! A service to talk to.

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use selector::http::{SelectionSettings, Service, Verifier, router};
use serde_json::{Value, json};
use server::{Edge, auth::Authenticator, config::Limits, stack};
use store::{ConnectOptions, connect};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) struct App(Router);

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// Checks status and kind of a problem, and gives its first field.
    pub(crate) fn problem(&self, status: u16, slug: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["type"], format!("/docs#problem-{slug}"), "{problem}");
        problem["errors"][0]["field"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn created(&self) -> Value {
        assert_eq!(self.status, 201, "{}", self.text);
        self.json()
    }
}

impl App {
    pub(crate) async fn new() -> Self {
        Self::with(None).await
    }

    pub(crate) async fn with(verifier: Option<Verifier>) -> Self {
        Self::with_settings(SelectionSettings::default(), verifier).await
    }

    pub(crate) async fn with_settings(settings: SelectionSettings, verifier: Option<Verifier>) -> Self {
        let store = connect("sqlite::memory:", &ConnectOptions::default()).await.unwrap();
        let service = Service::new(store, settings, verifier);
        let edge = Edge {
            service: "selector",
            limits: Limits::default(),
            auth: Authenticator::off(),
            loopback: true,
            probes: Vec::new(),
            stop: CancellationToken::new(),
        };
        Self(stack(router(&service), edge))
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.0.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn send_for_bytes(&self, request: Request<Body>) -> Vec<u8> {
        let response = self.0.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with_key(path, body, None).await
    }

    pub(crate) async fn post_with_key(&self, path: &str, body: &Value, key: Option<&str>) -> Answer {
        let mut request = Request::post(path).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn select(&self, body: &Value) -> Value {
        self.post("/v1/selections", body).await.created()
    }
}

/// A patch that replaces one line of one file.
pub(crate) fn patch(file: &str, line: &str) -> String {
    format!(
        "diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n@@ -1,3 +1,3 @@\n import os\n-old = 1\n+{line}\n done = True\n"
    )
}

pub(crate) fn candidate(id: &str, line: &str) -> Value {
    json!({"candidate_id": id, "patch": patch("src/a.py", line), "exit": "submitted", "steps": 10})
}

/// Three candidates of which two agree.
pub(crate) fn request() -> Value {
    let mut longer = candidate("two", "new = 2");
    longer["steps"] = json!(20);
    json!({
        "instance_id": "acme__tool-1",
        "issue": "it is broken",
        "policy": "majority",
        "candidates": [candidate("odd", "new = 3"), candidate("one", "new = 2"), longer],
    })
}

/// A finished run with a conversation.
pub(crate) fn run(id: &str, prompt: &str, reply: &str) -> Value {
    json!({
        "candidate_id": id,
        "patch": patch("src/a.py", reply),
        "exit": "submitted",
        "turns": [
            {"role": "system", "content": "you fix things"},
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": reply},
        ],
    })
}
