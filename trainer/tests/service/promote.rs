//! Checkpoints that become the verifier's model.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::Path, http::StatusCode, routing::post};
use serde_json::{Value, json};

use crate::{
    fake::{Fake, Mood},
    support::{App, place, run},
};

/// A verifier that takes every model but those it is told to refuse; what it was asked for.
async fn verifier(status: StatusCode) -> (String, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let activate = move |Path(name): Path<String>| async move {
        seen.lock().unwrap().push(name.clone());
        (status, Json(json!({"id": name, "aliases": ["active"], "detail": "its head is missing"})))
    };
    let app = Router::new().route("/v1/models/{name}/activate", post(activate));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, asked)
}

fn verifier_run() -> Value {
    let mut body = run(4);
    body["config"]["objective"] = json!({"kind": "bradley-terry"});
    body
}

#[tokio::test]
async fn a_checkpoint_is_put_where_the_verifier_looks_and_activated() {
    let (url, asked) = verifier(StatusCode::OK).await;
    let (folder, mut settings) = place();
    settings.trainer.verifier_url = url;
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Fine]))).await;
    let path = app.create(&verifier_run()).await;
    app.until_state(&path, "done").await;
    let promoted = app.post(&format!("{path}/checkpoints/2/promote"), &json!({})).await.ok();
    let model = promoted["model"].as_str().unwrap().to_owned();
    assert_eq!(promoted["verifier"]["aliases"][0], "active");
    let file = folder.path().join("models").join(&model).join("model.safetensors");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "weights of step 2");
    let again = app.post(&format!("{path}/checkpoints/2/promote"), &json!({})).await.ok();
    assert_eq!(again["model"], model.as_str());
    assert_eq!(*asked.lock().unwrap(), [model.clone(), model]);
    let left: Vec<_> = std::fs::read_dir(folder.path().join("models")).unwrap().collect();
    assert_eq!(left.len(), 2, "nothing half-written is left: {left:?}");
    app.post(&format!("{path}/checkpoints/3/promote"), &json!({})).await.problem(404, "not-found");
    app.end().await;
}

#[tokio::test]
async fn what_cannot_be_promoted_is_explained() {
    let (url, _) = verifier(StatusCode::CONFLICT).await;
    let (_folder, mut settings) = place();
    settings.trainer.verifier_url = url;
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Fine]))).await;
    let policy = app.create(&run(2)).await;
    let path = app.create(&verifier_run()).await;
    app.until_state(&policy, "done").await;
    app.until_state(&path, "done").await;
    let refused = app.post(&format!("{policy}/checkpoints/2/promote"), &json!({})).await;
    refused.problem(409, "conflict");
    assert!(refused.text.contains("trains a policy"), "{}", refused.text);
    let refused = app.post(&format!("{path}/checkpoints/2/promote"), &json!({})).await;
    refused.problem(409, "conflict");
    assert!(refused.text.contains("its head is missing"), "{}", refused.text);
    app.end().await;

    settings.trainer.verifier_url = String::new();
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Fine]))).await;
    let refused = app.post(&format!("{path}/checkpoints/2/promote"), &json!({})).await;
    refused.problem(409, "conflict");
    assert!(refused.text.contains("trainer.verifier_url"), "{}", refused.text);
    app.end().await;
}
