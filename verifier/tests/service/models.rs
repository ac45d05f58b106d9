//! Which model answers, and changing that while requests run.

use std::{sync::Arc, time::Duration};

use http::Request;
use serde_json::{Value, json};
use server::{Secret, auth::Authenticator};
use store::{ConnectOptions, connect};
use verifier::{
    models::{Registry, RegistryError},
    pipeline::PipelineSettings,
};

use crate::{
    mock::Mock,
    support::{App, Shelf, candidate},
};

async fn two() -> (App, Arc<Shelf>) {
    let shelf = Shelf::of([Mock::new("mock"), Mock::new("other")]);
    (App::with(Arc::clone(&shelf), PipelineSettings::default()).await, shelf)
}

fn request() -> Value {
    json!({"issue": "x", "candidates": [candidate("a", "b c d")]})
}

async fn change(app: &App, path: &str) -> Value {
    app.post(&format!("/v1/models/{path}"), &json!({})).await.ok()
}

async fn who(app: &App) -> String {
    app.score(&request()).await["model"]["name"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_model_is_activated_and_rolled_back() {
    let (app, _) = two().await;
    assert_eq!(who(&app).await, "mock");
    let made = change(&app, "other/activate").await;
    assert_eq!((&made["aliases"], &made["ready"]), (&json!(["active"]), &json!(true)));
    assert_eq!(who(&app).await, "other");
    let mut named = request();
    named["model"] = json!("mock");
    assert_eq!(app.score(&named).await["model"]["name"], "mock", "still there by name");
    assert_eq!(change(&app, "other/rollback").await["id"], "mock");
    assert_eq!(who(&app).await, "mock");
    app.post("/v1/models/other/rollback", &json!({})).await.problem(409, "conflict");
    app.post("/v1/models/active/rollback", &json!({})).await.problem(409, "conflict");
}

#[tokio::test]
async fn models_are_listed_loaded_and_unloaded() {
    let (app, _) = two().await;
    let list = app.get("/v1/models").await.ok();
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(names, ["mock", "other", "broken"]);
    let (active, other) = (&list["data"][0], &list["data"][1]);
    assert_eq!((&active["revision"], &active["max_model_len"]), (&json!("mock-r1"), &json!(1000)));
    assert_eq!((&other["loaded"], &other["revision"]), (&json!(false), &Value::Null));
    let mut asked = request();
    asked["model"] = json!("other");
    app.post("/v1/score", &asked).await.problem(409, "conflict");
    assert_eq!(change(&app, "other/load").await["loaded"], true);
    assert_eq!(app.score(&asked).await["model"]["name"], "other");
    assert_eq!(change(&app, "other/unload").await["loaded"], false);
    app.post("/v1/models/mock/unload", &json!({})).await.problem(409, "conflict");
    app.post("/v1/models/nope/load", &json!({})).await.problem(404, "not-found");
    app.post("/v1/models/broken/activate", &json!({})).await.problem(503, "unavailable");
    app.get("/v1/models/nope").await.problem(404, "not-found");
    app.get("/v1/models/shadow").await.problem(404, "not-found");
    assert_eq!(app.get("/v1/models/active").await.ok()["id"], "mock");
    assert_eq!(who(&app).await, "mock", "a failed activation changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_runs_keeps_its_model() {
    let (slow, gate) = Mock::gated("mock");
    let shelf = Shelf::of([slow, Mock::new("other")]);
    let app = Arc::new(App::with(Arc::clone(&shelf), PipelineSettings::default()).await);
    let running = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.score(&request()).await }
    });
    while shelf.0["mock"].batches.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    change(&app, "other/activate").await;
    change(&app, "mock/unload").await;
    assert_eq!(who(&app).await, "other");
    gate.add_permits(1);
    assert_eq!(
        running.await.unwrap()["model"]["name"],
        "mock",
        "not dropped, and scored by the model it began with"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_scores_the_same_and_answers_nothing() {
    let (app, shelf) = two().await;
    app.post("/v1/models/mock/shadow", &json!({})).await.problem(409, "conflict");
    let list = change(&app, "other/shadow").await;
    assert_eq!(list["data"][1]["aliases"], json!(["shadow"]));
    let warm_ups = shelf.0["other"].seen().len();
    assert_eq!(who(&app).await, "mock");
    while shelf.0["other"].seen().len() == warm_ups {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(shelf.0["other"].seen().last().unwrap(), &["b c d"]);
    change(&app, "none/shadow").await;
    app.get("/v1/models/shadow").await.problem(404, "not-found");
}

#[tokio::test]
async fn a_decision_outlasts_a_restart_and_reaches_replicas() {
    let store = connect("sqlite::memory:", &ConnectOptions::default()).await.unwrap();
    let shelf = Shelf::of([Mock::new("mock"), Mock::new("other")]);
    let replica = async || {
        let (store, shelf) = (Arc::clone(&store), Arc::clone(&shelf));
        App::over(store, shelf, PipelineSettings::default(), Authenticator::off()).await
    };
    let (one, two) = (replica().await, replica().await);
    change(&one, "other/activate").await;
    assert_eq!(who(&two).await, "mock");
    two.service.registry.refresh().await.unwrap();
    assert_eq!(who(&two).await, "other");
    let later = replica().await;
    assert_eq!(who(&later).await, "other");
    change(&two, "other/rollback").await;
    one.service.registry.refresh().await.unwrap();
    assert_eq!(who(&one).await, "mock");

    // A decision for a model that is not configured here is not followed, and not forgotten.
    change(&one, "other/activate").await;
    let shelf = Shelf::of([Mock::new("mock")]);
    let poorer =
        App::over(Arc::clone(&store), shelf, PipelineSettings::default(), Authenticator::off()).await;
    assert_eq!(who(&poorer).await, "mock");
    assert_eq!(who(&replica().await).await, "other");
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_stops_the_start() {
    let store = connect("sqlite::memory:", &ConnectOptions::default()).await.unwrap();
    for (name, words) in [("broken", "its file is corrupt"), ("nope", "there is no model `nope`")] {
        let shelf = Shelf::of([Mock::new("mock")]);
        let settings = PipelineSettings::default();
        let error = Registry::open(shelf, Arc::clone(&store), settings, name, None).await.unwrap_err();
        assert!(matches!(error, RegistryError::Broken { .. } | RegistryError::Unknown(_)));
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn changing_models_takes_an_admin() {
    let store = connect("sqlite::memory:", &ConnectOptions::default()).await.unwrap();
    let token = server::auth::Token::generate().unwrap();
    let new = store::NewToken {
        tenant: store::Tenant::DEFAULT,
        id: uuid::Uuid::now_v7(),
        name: "writer".into(),
        hash: *token.hash.as_bytes(),
        scopes: vec!["write".into()],
        created_at: store::Timestamp::now(),
        expires_at: None,
    };
    store.create_token(new).await.unwrap();
    let kept = server::stored::Stored { store: Arc::clone(&store), idempotency_ttl: Duration::ZERO };
    let auth = Authenticator::required(&Secret::new("boss"), Some(Arc::new(kept)));
    let shelf = Shelf::of([Mock::new("mock"), Mock::new("other")]);
    let app = App::over(store, shelf, PipelineSettings::default(), auth).await;
    let send = async |path: &str, token: &str| {
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", "application/json");
        app.send(request.body(request_body().into()).unwrap()).await
    };
    assert_eq!(send("/v1/score", token.secret.expose()).await.status, 200);
    for change in ["other/activate", "other/shadow", "mock/rollback", "other/load", "other/unload"] {
        send(&format!("/v1/models/{change}"), token.secret.expose()).await.problem(403, "forbidden");
    }
    assert_eq!(send("/v1/models/other/activate", "boss").await.status, 200);
    assert_eq!(send("/v1/models/other/activate", "nobody").await.status, 401);
}

fn request_body() -> String {
    request().to_string()
}
