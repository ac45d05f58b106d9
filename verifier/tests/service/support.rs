//! A service to talk to.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use axum::{Router, body::Body};
use common::{Candidate, ExitStatus, Trajectory, Turn};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use server::{Edge, auth::Authenticator, config::Limits, stack};
use store::{ConnectOptions, Store, connect};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use verifier::{
    Backend, Example, Service,
    http::router,
    models::{Loader, Registry},
    pipeline::PipelineSettings,
};

use crate::mock::Mock;

/// Hands out models that were made before.
#[derive(Debug, Default)]
pub(crate) struct Shelf(pub(crate) BTreeMap<String, Arc<Mock>>);

impl Shelf {
    pub(crate) fn of(models: impl IntoIterator<Item = Mock>) -> Arc<Self> {
        let models = models.into_iter().map(|mock| (mock.info().name.clone(), Arc::new(mock)));
        Arc::new(Self(models.collect()))
    }
}

#[async_trait]
impl Loader for Shelf {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().chain(["broken".to_owned()]).collect()
    }

    async fn load(&self, name: &str) -> Result<Arc<dyn Backend>, String> {
        let found = self.0.get(name).ok_or("its file is corrupt")?;
        Ok(Arc::clone(found) as Arc<dyn Backend>)
    }
}

pub(crate) struct App {
    router: Router,
    pub(crate) service: Service,
    pub(crate) store: Arc<dyn Store>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
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

    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }
}

impl App {
    /// With one model, `mock`, that is active.
    pub(crate) async fn new() -> Self {
        Self::with(Shelf::of([Mock::new("mock")]), PipelineSettings::default()).await
    }

    pub(crate) async fn with(shelf: Arc<Shelf>, settings: PipelineSettings) -> Self {
        let store = connect("sqlite::memory:", &ConnectOptions::default()).await.unwrap();
        Self::over(store, shelf, settings, Authenticator::off()).await
    }

    /// With `mock` active unless the store says otherwise.
    pub(crate) async fn over(
        store: Arc<dyn Store>,
        shelf: Arc<Shelf>,
        settings: PipelineSettings,
        auth: Authenticator,
    ) -> Self {
        let registry =
            Registry::open(shelf, Arc::clone(&store), settings.clone(), "mock", None).await.unwrap();
        let service = Service::new(registry, Arc::clone(&store), settings);
        let edge = Edge {
            service: "verifier",
            limits: Limits::default(),
            auth,
            loopback: true,
            probes: Vec::new(),
            stop: CancellationToken::new(),
        };
        Self { router: stack(router(&service), edge), service, store }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn score(&self, body: &Value) -> Value {
        self.post("/v1/score", body).await.ok()
    }
}

/// A request's candidate whose patch is these words.
pub(crate) fn candidate(id: &str, patch: &str) -> Value {
    json!({"candidate_id": id, "patch": patch, "exit": "submitted"})
}

/// The same as the pipeline takes it, with something said before.
pub(crate) fn example(issue: &Arc<str>, id: &str, patch: &str) -> Example {
    let turns = vec![Turn { content: "hello".to_owned(), ..Turn::default() }];
    let trajectory = Trajectory {
        patch: Some(patch.to_owned()),
        turns,
        exit: ExitStatus::Submitted,
        ..Trajectory::default()
    };
    let candidate = Candidate { candidate_id: id.to_owned(), trajectory };
    Example { issue: Arc::clone(issue), candidate: Arc::new(candidate) }
}
