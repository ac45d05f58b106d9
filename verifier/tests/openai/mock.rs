//! A server that answers as it is told.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use common::{Candidate, Trajectory};
use serde_json::{Value, json};
use server::Span;
use verifier::{
    Backend as _, Example, PrepareOptions, Prepared,
    openai::{Mode, OpenAi, Settings},
};

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// Requests that were running when it came, itself included.
    pub(crate) running: usize,
}

#[derive(Clone)]
pub(crate) struct Mock {
    pub(crate) url: String,
    answer: Arc<dyn Fn(Asked) -> Answer + Send + Sync>,
    asked: Arc<Mutex<Vec<Asked>>>,
    running: Arc<AtomicUsize>,
}

impl Mock {
    /// Starts it; `answer` sees every request but those for the list of models.
    pub(crate) async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Asked) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mock = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            answer: Arc::new(move |asked| Box::pin(answer(asked))),
            asked: Arc::default(),
            running: Arc::default(),
        };
        let app = Router::new().fallback(Self::take).with_state(mock.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        mock
    }

    /// Answers at once.
    pub(crate) async fn says(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        Self::start(move |asked| std::future::ready(answer(&asked))).await
    }

    async fn take(State(mock): State<Self>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
        if uri.path() == "/v1/models" {
            return Json(json!({"object": "list", "data": [
                {"id": "org/judge-7b", "root": "/models/judge", "max_model_len": 4000, "created": 1}
            ]}))
            .into_response();
        }
        let running = mock.running.fetch_add(1, Ordering::SeqCst) + 1;
        let body = serde_json::from_slice(&body).unwrap();
        let asked = Asked { path: uri.path().to_owned(), headers, body, running };
        mock.asked.lock().unwrap().push(asked.clone());
        let response = (mock.answer)(asked).await;
        mock.running.fetch_sub(1, Ordering::SeqCst);
        response
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn settings(&self, mode: Mode) -> Settings {
        Settings { url: format!("{}/v1/", self.url), mode, retries: 1, ..Settings::default() }
    }

    pub(crate) async fn model(&self, mode: Mode) -> OpenAi {
        OpenAi::connect(&self.settings(mode)).await.unwrap()
    }

    /// A model that does not wait long.
    pub(crate) async fn hasty(&self, mode: Mode) -> OpenAi {
        let settings = Settings { timeout: Span(Duration::from_millis(100)), ..self.settings(mode) };
        OpenAi::connect(&settings).await.unwrap()
    }
}

/// A run of an issue; the patch tells runs apart.
pub(crate) fn row(model: &OpenAi, issue: &str, patch: &str) -> Arc<Prepared> {
    let trajectory = Trajectory { patch: Some(patch.into()), ..Trajectory::default() };
    let candidate = Candidate { candidate_id: patch.into(), trajectory };
    let example = Example { issue: issue.into(), candidate: Arc::new(candidate) };
    Arc::new(model.prepare(&example, PrepareOptions { max_tokens: None, condense: true }).unwrap())
}

pub(crate) fn rows(model: &OpenAi, patches: &[&str]) -> Vec<Arc<Prepared>> {
    patches.iter().map(|patch| row(model, "it is broken", patch)).collect()
}

/// What the mock thinks of a text: a probability that follows from the number in `patch-NUMBER`.
pub(crate) fn opinion(body: &Value) -> f64 {
    let text = body.to_string();
    let (_, rest) = text.rsplit_once("patch-").unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (digits.parse::<f64>().unwrap() + 1.0) / 100.0
}

/// Chat completions' answer to an opened `<judgement>`.
pub(crate) fn judged(probability: f64) -> Response {
    let entry = json!({"token": "YES", "logprob": probability.ln(), "top_logprobs": [
        {"token": "NO", "logprob": (1.0 - probability).ln()},
        {"token": "YES", "logprob": probability.ln()},
    ]});
    Json(json!({"choices": [{"index": 0, "logprobs": {"content": [entry]}}]})).into_response()
}

pub(crate) fn refused(status: u16, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({"error": {"message": message}}))).into_response()
}

pub(crate) fn sigmoid(logit: Option<f64>) -> f64 {
    1.0 / (1.0 + (-logit.unwrap()).exp())
}

pub(crate) fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}
