//! A service to talk to.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use server::{Span, config::Database};
use tokio_util::sync::CancellationToken;
use trainer::{
    http::{Running, Settings, start},
    run::Engine,
};

pub(crate) struct App {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) settings: Settings,
    stop: CancellationToken,
    running: Option<Running>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// Checks status and kind of a problem, and gives its fields.
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Vec<String> {
        assert_eq!(self.status, status, "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["type"], format!("/docs#problem-{slug}"), "{problem}");
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.json()
    }
}

/// A folder with data, a model and a database, and settings for it.
pub(crate) fn place() -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["data", "models/tiny"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    std::fs::write(at("data/rows.jsonl"), "{}").unwrap();
    std::fs::write(at("secret"), "s").unwrap();
    let mut settings = Settings::default();
    settings.http.bind.set_port(0);
    settings.database = Database::at(format!("sqlite://{}", at("store.db").display()));
    let trainer = &mut settings.trainer;
    trainer.runs = at("runs");
    trainer.data_roots = vec![at("data")];
    trainer.model_roots = vec![at("models")];
    trainer.models = at("models");
    trainer.poll = Span(Duration::from_millis(20));
    trainer.retry_pause = Span(Duration::from_millis(1));
    (folder, settings)
}

/// A run of so many steps.
pub(crate) fn run(steps: u64) -> Value {
    json!({"config": {
        "model": {"path": "tiny"},
        "data": {"train": "rows.jsonl"},
        "training": {"steps": steps},
    }})
}

impl App {
    pub(crate) async fn start(settings: &Settings, engine: Arc<dyn Engine>) -> Self {
        let stop = CancellationToken::new();
        let running = start(settings, engine, stop.clone()).await.unwrap();
        let url = format!("http://{}", running.addr);
        Self { client: Client::new(), url, settings: settings.clone(), stop, running: Some(running) }
    }

    /// Stops as after SIGTERM.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        self.running.take().unwrap().wait().await.unwrap();
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.client.post(format!("{}{path}", self.url)).json(body)).await
    }

    pub(crate) async fn post_with(&self, path: &str, body: &Value, key: &str) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        self.send(request.header("idempotency-key", key)).await
    }

    /// Starts a run; its path.
    pub(crate) async fn create(&self, body: &Value) -> String {
        let answer = self.post("/v1/runs", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.headers["location"].to_str().unwrap().to_owned()
    }

    /// Waits until the run is as asked for.
    pub(crate) async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1500 {
            let run = self.get(path).await.ok();
            if holds(&run) {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never came: {}", self.get(path).await.text);
    }

    pub(crate) async fn until_state(&self, path: &str, state: &str) -> Value {
        self.until(path, |run| run["state"] == state).await
    }

    pub(crate) fn folder(&self, path: &str) -> PathBuf {
        self.settings.trainer.runs.join(Path::new(path).file_name().unwrap())
    }
}

/// The kinds of the numbered events of a stream that has ended, and whether their numbers have no gap.
pub(crate) fn kinds(stream: &str, first: u64) -> Vec<String> {
    let mut next = first;
    let mut kinds = Vec::new();
    for event in stream.split("\n\n") {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let Some(id) = field("id:") {
            assert_eq!(id.parse::<u64>().unwrap(), next, "{stream}");
            next += 1;
            kinds.push(field("event:").unwrap().to_owned());
        }
    }
    kinds
}
