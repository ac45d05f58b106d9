//! Creating, reading, stopping and resuming runs.

use std::sync::{Arc, atomic::Ordering};

use serde_json::json;

use crate::{
    fake::{Fake, Mood},
    support::{App, place, run},
};

#[tokio::test]
async fn a_run_goes_to_its_end() {
    let (_folder, settings) = place();
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Fine]))).await;
    let mut body = run(5);
    body["name"] = json!("first");
    body["config"]["model"]["device"] = json!(["cpu", "cpu"]);
    let path = app.create(&body).await;
    let run = app.until_state(&path, "done").await;
    assert_eq!((&run["name"], &run["attempts"], &run["error"]), (&json!("first"), &json!(1), &json!(null)));
    assert_eq!(run["result"]["checkpoint"], "checkpoint-5");
    assert_eq!((&run["progress"]["step"], &run["progress"]["plan"]["rows"]), (&json!(5), &json!(8)));
    assert_eq!(run["progress"]["metrics"]["loss"], 0.2);
    assert_eq!(run["config"]["training"]["steps"], 5);
    assert!(run["config"]["model"]["path"].as_str().unwrap().ends_with("models/tiny"));
    assert_eq!(run["config"]["model"]["device"], "cpu,cpu");
    let again = app.post(&format!("{path}/resume"), &json!({})).await;
    again.problem(409, "conflict");
    let checkpoints = app.get(&format!("{path}/checkpoints")).await.ok();
    let steps: Vec<_> =
        checkpoints["data"].as_array().unwrap().iter().map(|found| found["step"].clone()).collect();
    assert_eq!(steps, [json!(2), json!(4), json!(5)]);
    app.end().await;
}

#[tokio::test]
async fn configurations_are_checked_before_anything_is_queued() {
    let (folder, settings) = place();
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Fine]))).await;
    let refused = async |config: serde_json::Value| {
        app.post("/v1/runs", &json!({"config": config})).await.problem(422, "invalid-field")
    };
    let with = |table: &str, fields: serde_json::Value| {
        let mut config = run(1)["config"].clone();
        config[table] = fields;
        config
    };
    assert_eq!(refused(json!([])).await, ["config"]);
    assert_eq!(
        refused(with("training", json!({"learning_rate": "x"}))).await,
        ["config.training.learning_rate"]
    );
    assert_eq!(
        refused(with("training", json!({"clip": -1, "epsilon": 0}))).await,
        ["config.training.epsilon", "config.training.clip"]
    );
    assert_eq!(refused(with("model", json!({"path": "../secret"}))).await, ["config.model.path"]);
    let secret = folder.path().join("secret");
    assert_eq!(refused(with("data", json!({"train": [secret]}))).await, ["config.data.train[0]"]);
    assert_eq!(refused(with("reference", json!({"cache": "/tmp"}))).await, ["config.reference.cache"]);
    let on = |devices: serde_json::Value| with("model", json!({"path": "tiny", "device": devices}));
    assert_eq!(refused(on(json!(["cpu", "cuda:0"]))).await, ["config.model.device"]);
    assert_eq!(refused(on(json!("cuda:0,cuda:0"))).await, ["config.model.device"]);
    assert_eq!(app.post("/v1/runs", &json!({"config": {}, "x": 1})).await.status, 422);
    assert_eq!(app.get("/v1/runs").await.ok(), json!({"data": [], "next": null}));
    app.get("/v1/runs/01a20440-24e7-7433-92ed-c31d42a80725").await.problem(404, "not-found");
    app.get("/v1/runs/x").await.problem(404, "not-found");
    app.end().await;
}

#[tokio::test]
async fn the_same_request_twice_is_one_run() {
    let (_folder, settings) = place();
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Fine]))).await;
    let first = app.post_with("/v1/runs", &run(1), "k").await;
    let second = app.post_with("/v1/runs", &run(1), "k").await;
    assert_eq!((first.status, second.status), (first.status, first.status));
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(second.headers["idempotency-replayed"], "true");
    app.post_with("/v1/runs", &run(2), "k").await.problem(422, "idempotency-mismatch");
    assert_eq!(app.get("/v1/runs").await.ok()["data"].as_array().unwrap().len(), 1);
    app.end().await;
}

#[tokio::test]
async fn lists_page_and_filter() {
    let (_folder, mut settings) = place();
    settings.trainer.workers = 0;
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Fine]))).await;
    let mut paths = Vec::new();
    for _ in 0..5 {
        paths.push(app.create(&run(1)).await);
    }
    app.post(&format!("{}/cancel", paths[1]), &json!({})).await.ok();
    let mut seen = Vec::new();
    let mut query = "/v1/runs?limit=2&state=queued".to_owned();
    loop {
        let page = app.get(&query).await.ok();
        for run in page["data"].as_array().unwrap() {
            seen.push(format!("/v1/runs/{}", run["id"].as_str().unwrap()));
        }
        let Some(next) = page["next"].as_str() else { break };
        query = format!("/v1/runs?limit=2&state=queued&after={next}");
    }
    seen.reverse();
    assert_eq!(seen, [&paths[0], &paths[2], &paths[3], &paths[4]].map(String::clone));
    assert_eq!(app.get("/v1/runs?limit=0").await.problem(422, "invalid-field"), ["limit"]);
    assert_eq!(app.get("/v1/runs?state=x").await.problem(422, "invalid-field"), ["state"]);
    app.end().await;
}

#[tokio::test]
async fn a_run_is_stopped_and_goes_on_where_it_was() {
    let (_folder, settings) = place();
    let engine = Arc::new(Fake::new([Mood::Slow, Mood::Fine]));
    let mut settings = settings;
    settings.trainer.lease = server::Span(std::time::Duration::from_millis(300));
    let app = App::start(&settings, Arc::clone(&engine) as _).await;
    let path = app.create(&run(6)).await;
    engine.permits.store(3, Ordering::Release);
    app.until(&path, |run| run["progress"]["step"] == 3).await;
    app.post(&format!("{path}/cancel"), &json!({})).await.ok();
    let stopped = app.until_state(&path, "cancelled").await;
    assert_eq!((&stopped["cancel_requested"], &stopped["result"]), (&json!(true), &json!(null)));
    let checkpoints = app.get(&format!("{path}/checkpoints")).await.ok();
    assert_eq!(checkpoints["data"].as_array().unwrap().len(), 2, "one at step 2, one when it stopped");
    assert_eq!(app.post(&format!("{path}/resume"), &json!({})).await.ok()["cancel_requested"], false);
    let done = app.until_state(&path, "done").await;
    assert_eq!((&done["attempts"], &done["result"]["step"]), (&json!(2), &json!(6)));
    app.end().await;
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let (_folder, settings) = place();
    let engine = Arc::new(Fake::new([Mood::BreaksAt(2), Mood::PanicsAt(4), Mood::Fine]));
    let app = App::start(&settings, Arc::clone(&engine) as _).await;
    let path = app.create(&run(6)).await;
    let done = app.until_state(&path, "done").await;
    assert_eq!((&done["attempts"], &done["error"]), (&json!(3), &json!(null)));
    app.end().await;

    let (_folder, settings) = place();
    let app = App::start(&settings, Arc::new(Fake::new([Mood::Refuses]))).await;
    let path = app.create(&run(6)).await;
    let failed = app.until_state(&path, "failed").await;
    assert_eq!(
        (&failed["attempts"], &failed["error"]),
        (&json!(1), &json!("rows.jsonl:3: no token carries a loss"))
    );
    app.end().await;

    let (_folder, mut settings) = place();
    settings.trainer.attempts = 2;
    let app = App::start(&settings, Arc::new(Fake::new([Mood::PanicsAt(1)]))).await;
    let path = app.create(&run(6)).await;
    let dead = app.until_state(&path, "dead").await;
    assert_eq!(
        (&dead["attempts"], &dead["error"]),
        (&json!(2), &json!("the trainer panicked: out of numbers"))
    );
    app.end().await;
}

#[tokio::test]
async fn several_workers_train_several_runs_at_once() {
    let (_folder, mut settings) = place();
    settings.trainer.workers = 3;
    let engine = Arc::new(Fake::new([Mood::Slow]));
    let app = App::start(&settings, Arc::clone(&engine) as _).await;
    let mut paths = Vec::new();
    for _ in 0..3 {
        paths.push(app.create(&run(4)).await);
    }
    for path in &paths {
        app.until_state(path, "running").await;
    }
    engine.permits.store(100, Ordering::Release);
    for path in &paths {
        app.until_state(path, "done").await;
    }
    assert_eq!(engine.most.load(Ordering::Acquire), 1, "no folder is trained into twice");
    app.end().await;
}
