//! A verifier that answers, fails, answers nonsense, or does not answer at all.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use common::VerifierScore;
use http::{HeaderMap, StatusCode};
use selector::http::{HttpScorer, ScoreRequest, Scorer, ScorerError, Scores, Verifier, VerifierSettings};
use serde_json::{Value, json};
use server::{ByteSize, Secret, Span};

use crate::support::{App, candidate, request};

/// In this process.
#[derive(Debug)]
enum Fake {
    Likes(&'static str),
    Broken,
    Silent,
    Mad,
}

fn score(candidate_id: &str, probability: f64) -> VerifierScore {
    VerifierScore {
        candidate_id: candidate_id.into(),
        probability: Some(probability),
        revision: "fake@1".into(),
        ..VerifierScore::default()
    }
}

#[async_trait]
impl Scorer for Fake {
    async fn score(&self, request: ScoreRequest) -> Result<Scores, ScorerError> {
        let ids = request.candidates.iter().map(|candidate| candidate.candidate_id.as_str());
        let scores = match self {
            Self::Likes(liked) => ids.map(|id| score(id, if id == *liked { 0.9 } else { 0.1 })).collect(),
            Self::Mad => {
                let odd = VerifierScore { logit: Some(f64::NAN), spread: Some(-1.0), ..score("odd", 0.8) };
                vec![score("nobody", 0.9), score("one", f64::NAN), odd, score("odd", 0.1), score("two", 1.1)]
            }
            Self::Broken => return Err(ScorerError::Unavailable("connection refused".into())),
            Self::Silent => std::future::pending().await,
        };
        Ok(Scores { scores, notes: Vec::new() })
    }
}

async fn select_by(scorer: Arc<dyn Scorer>, policy: &str) -> Value {
    let app = App::with(Some(Verifier { scorer, deadline: Span(Duration::from_millis(300)) })).await;
    let mut asked = request();
    asked["policy"] = json!(policy);
    app.select(&asked).await
}

async fn select(fake: Fake, policy: &str) -> Value {
    select_by(Arc::new(fake), policy).await
}

/// What the answer says is missing of the verifier.
fn notes(made: &Value) -> Vec<&str> {
    let degraded = made["degraded"].as_array().unwrap();
    let of_verifier = degraded.iter().filter(|entry| entry["evidence"] == "verifier");
    of_verifier.map(|entry| entry["detail"].as_str().unwrap()).collect()
}

fn score_of<'a>(made: &'a Value, id: &str) -> &'a Value {
    let candidates = made["candidates"].as_array().unwrap();
    &candidates.iter().find(|candidate| candidate["candidate_id"] == id).unwrap()["verifier"]
}

#[tokio::test]
async fn its_scores_decide_where_the_policy_wants_them() {
    let made = select(Fake::Likes("odd"), "r2e-gym").await;
    assert_eq!(made["chosen"], "odd", "{made}");
    assert_eq!(made["candidates"][0]["verifier"], 0.9);
    let made = select(Fake::Likes("odd"), "majority").await;
    assert_eq!(made["candidates"][0]["verifier"], json!(null), "not asked for: {made}");
}

#[tokio::test]
async fn without_it_the_selection_is_degraded_and_not_refused() {
    for (scorer, words) in
        [(Fake::Broken, "connection refused"), (Fake::Silent, "did not answer within 300 ms")]
    {
        let made = select(scorer, "r2e-gym").await;
        assert!(made["chosen"].is_string(), "{made}");
        assert_eq!(notes(&made).len(), 1, "{made}");
        assert!(notes(&made)[0].contains(words), "{made}");
    }
}

#[tokio::test]
async fn scores_that_are_none_or_of_nobody_are_left_out() {
    let made = select(Fake::Mad, "r2e-gym").await;
    assert_eq!((score_of(&made, "odd"), score_of(&made, "one")), (&json!(0.8), &Value::Null), "{made}");
    assert_eq!(score_of(&made, "two"), &Value::Null);
}

/// What a verifier service answers, and what it was asked.
#[derive(Clone)]
struct Mock {
    answer: Arc<dyn Fn(&Value) -> Response + Send + Sync>,
    asked: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

impl Mock {
    async fn start(answer: impl Fn(&Value) -> Response + Send + Sync + 'static) -> (Self, String) {
        let mock = Self { answer: Arc::new(answer), asked: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let handler = async |State(mock): State<Self>, headers, body: Bytes| mock.score(headers, &body);
        let app = Router::new().route("/v1/score", post(handler)).with_state(mock.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (mock, url)
    }

    fn score(&self, headers: HeaderMap, body: &Bytes) -> Response {
        let body: Value = serde_json::from_slice(body).unwrap();
        let response = (self.answer)(&body);
        self.asked.lock().unwrap().push((headers, body));
        response
    }
}

fn ids(body: &Value) -> Vec<String> {
    let candidates = body["candidates"].as_array().unwrap();
    candidates.iter().map(|one| one["candidate_id"].as_str().unwrap().to_owned()).collect()
}

fn answer(scores: &Value) -> Response {
    let model = json!({"name": "m", "revision": "7", "trained": true});
    axum::Json(json!({"model": model, "scores": scores})).into_response()
}

/// A probability that follows from the id.
fn probability(id: &str) -> f64 {
    f64::from(id.bytes().map(u32::from).sum::<u32>() % 97) / 97.0
}

fn http(settings: VerifierSettings) -> Arc<dyn Scorer> {
    Arc::new(HttpScorer::new(&VerifierSettings { retries: 0, ..settings }).unwrap().unwrap())
}

#[tokio::test]
async fn over_http_scores_join_by_id_in_whatever_order_they_come() {
    let (mock, url) = Mock::start(|body| {
        let mut scores: Vec<Value> = ids(body)
            .iter()
            .map(
                |id| json!({"candidate_id": id, "probability": probability(id), "logit": 0.1, "spread": 0.2}),
            )
            .collect();
        scores.reverse();
        scores.swap(0, 1);
        scores.push(json!({"candidate_id": "nobody", "probability": 0.9}));
        answer(&json!(scores))
    })
    .await;
    let token = Secret::new("hunter2");
    let made = select_by(http(VerifierSettings { url, token, ..Default::default() }), "r2e-gym").await;
    for id in ["odd", "one", "two"] {
        assert_eq!(score_of(&made, id), &json!(probability(id)), "{made}");
    }
    assert!(notes(&made).is_empty(), "{made}");
    assert_eq!(made["verifiers"], json!(["m@7"]));
    let asked = mock.asked.lock().unwrap();
    let (headers, body) = &asked[0];
    assert_eq!(headers["authorization"], "Bearer hunter2");
    assert!(!headers["x-request-id"].is_empty());
    assert_eq!((&body["issue"], &body["instance_id"]), (&json!("it is broken"), &json!("acme__tool-1")));
    assert_eq!(body["options"]["condense"], true);
    assert!(body["options"]["deadline_ms"].as_u64().unwrap() <= 300);
}

#[tokio::test]
async fn large_pools_are_cut_and_joined_again() {
    let (mock, url) = Mock::start(|body| {
        let scores: Vec<Value> =
            ids(body).iter().map(|id| json!({"candidate_id": id, "probability": probability(id)})).collect();
        answer(&json!(scores))
    })
    .await;
    let settings = VerifierSettings { url, request: ByteSize(2000), ..VerifierSettings::default() };
    let app = App::with(Some(Verifier { scorer: http(settings), deadline: Span::secs(20) })).await;
    let mut asked = request();
    asked["policy"] = json!("r2e-gym");
    let many: Vec<Value> =
        (0..30).map(|at| candidate(&format!("run-{at}"), &format!("new = {}", at % 7))).collect();
    asked["candidates"] = json!(many);
    asked["candidates"][3]["patch"] = json!("x".repeat(3000));
    let made = app.select(&asked).await;
    let requests = mock.asked.lock().unwrap();
    assert!(requests.len() > 3, "{}", requests.len());
    for at in 0..30 {
        let id = format!("run-{at}");
        let wanted = if at == 3 { Value::Null } else { json!(probability(&id)) };
        assert_eq!(score_of(&made, &id), &wanted, "{id}");
    }
    assert_eq!(notes(&made).len(), 1);
    assert!(notes(&made)[0].starts_with("no score for 1 of 30 candidates: a request may hold 2000 bytes"));
}

#[tokio::test]
async fn a_candidate_that_the_verifier_will_not_read_costs_the_others_nothing() {
    let (_, url) = Mock::start(|body| {
        if ids(body).contains(&"one".to_owned()) {
            let problem = json!({"detail": "candidates[0]: 9 tokens, 5 allowed even after condensing"});
            return (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(problem)).into_response();
        }
        let scores: Vec<Value> =
            ids(body).iter().map(|id| json!({"candidate_id": id, "probability": probability(id)})).collect();
        answer(&json!(scores))
    })
    .await;
    let made = select_by(http(VerifierSettings { url, ..VerifierSettings::default() }), "r2e-gym").await;
    assert_eq!(score_of(&made, "odd"), &json!(probability("odd")));
    assert_eq!(score_of(&made, "two"), &json!(probability("two")));
    assert_eq!(score_of(&made, "one"), &Value::Null);
    assert!(
        notes(&made)[0].contains("no score for 1 of 3 candidates") && notes(&made)[0].contains("9 tokens"),
        "{made}"
    );
}

#[tokio::test]
async fn over_http_nothing_that_goes_wrong_stops_a_selection() {
    type Answer = fn(&Value) -> Response;
    let cases: [(Answer, &str); 8] = [
        (|_| "oops".into_response(), "no list of scores"),
        (|_| axum::Json(json!({"scores": 3})).into_response(), "no list of scores"),
        (|_| (StatusCode::SERVICE_UNAVAILABLE, "full").into_response(), "503"),
        (|_| (StatusCode::UNAUTHORIZED, "who are you").into_response(), "who are you"),
        (|_| answer(&json!([])), "left them out"),
        (
            |_| axum::Json(json!({"model": {"name": "seed", "revision": "0"}, "scores": []})).into_response(),
            "seed@0 is untrained",
        ),
        (
            |body| {
                // As Python writes it.
                let entry = |id: &String| {
                    format!(r#"{{"candidate_id": "{id}", "probability": NaN, "reason": "odd"}}"#)
                };
                let scores = ids(body).iter().map(entry).collect::<Vec<_>>().join(",");
                let model = r#"{"name": "m", "revision": "1", "trained": true}"#;
                format!(r#"{{"model": {model}, "scores": [{scores}]}}"#).into_response()
            },
            "no score for 3 of 3 candidates: odd",
        ),
        (|_| "x".repeat(3000).into_response(), "larger than 2000 bytes"),
    ];
    for (respond, words) in cases {
        let (_, url) = Mock::start(respond).await;
        let settings = VerifierSettings { url, response: ByteSize(2000), ..VerifierSettings::default() };
        let made = select_by(http(settings), "r2e-gym").await;
        assert!(made["chosen"].is_string(), "{made}");
        assert!(notes(&made)[0].contains(words), "{words}: {made}");
    }
}

#[tokio::test]
async fn a_verifier_that_is_gone_costs_little_after_a_few_tries() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let settings =
        VerifierSettings { url, failures: 2, pause: Span::secs(600), ..VerifierSettings::default() };
    let verifier = Verifier { scorer: http(settings), deadline: Span::secs(20) };
    let app = App::with(Some(verifier)).await;
    let mut asked = request();
    asked["policy"] = json!("r2e-gym");
    for expected in ["cannot be reached", "cannot be reached", "is left alone"] {
        let made = app.select(&asked).await;
        assert!(made["chosen"].is_string());
        assert!(notes(&made)[0].contains(expected), "{expected}: {made}");
    }
}
