//! `/v1/preferences`.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::support::{App, run};

async fn rows(app: &App, query: &str) -> Vec<Value> {
    let answer = app.get(&format!("/v1/preferences{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/jsonl");
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An issue with runs of which those named in `good` resolve it.
async fn issue(app: &App, instance: &str, runs: &[(&str, &str, &str)], good: &[&str]) {
    let candidates: Vec<Value> = runs
        .iter()
        .map(|(id, prompt, exit)| {
            let mut candidate = run(id, prompt, &format!("{instance} {id}"));
            candidate["exit"] = json!(exit);
            candidate
        })
        .collect();
    let made =
        app.select(&json!({"instance_id": instance, "candidates": candidates, "policy": "majority"})).await;
    let outcomes: Vec<Value> =
        runs.iter().map(|(id, ..)| json!({"candidate_id": id, "resolved": good.contains(id)})).collect();
    let path = format!("/v1/selections/{}/outcomes", made["id"].as_str().unwrap());
    assert_eq!(app.post(&path, &json!({"outcomes": outcomes})).await.status, 200);
}

#[tokio::test]
async fn pairs_and_singles_follow_the_papers_rules() {
    let app = App::new().await;
    assert_eq!(rows(&app, "").await, Vec::<Value>::new());
    let zipped =
        Request::get("/v1/preferences").header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    assert!(app.send_for_bytes(zipped).await.len() < 64, "an empty answer ends");
    let done = "submitted";
    issue(
        &app,
        "a",
        &[("1", "fix", done), ("2", "fix", done), ("3", "fix", done), ("4", "fix", "limit")],
        &["2", "4"],
    )
    .await;
    issue(&app, "b", &[("1", "fix", done), ("2", "other words", done)], &["1"]).await;
    issue(&app, "c", &[("1", "fix", done), ("2", "fix", done)], &["1", "2"]).await;

    let pairs = rows(&app, "").await;
    assert_eq!(pairs.len(), 1, "{pairs:?}");
    let pair = &pairs[0];
    assert_eq!(pair["instance_id"], "a");
    assert_eq!(pair["prompt"].as_array().unwrap().len(), 2);
    assert_eq!(pair["prompt"][1]["content"], "fix");
    assert_eq!(pair["chosen"][0]["content"], "a 2");
    assert_ne!(pair["rejected"][0]["content"], "a 2");
    assert_eq!(rows(&app, "?kind=pairs&limit_per_issue=10").await.len(), 2);

    // The compressing layer reads bodies in its own way.
    let zipped =
        Request::get("/v1/preferences").header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    assert_eq!(app.send_for_bytes(zipped).await[..2], [0x1f, 0x8b]);

    let singles = rows(&app, "?kind=kto").await;
    assert_eq!(singles.len(), 7, "{singles:?}");
    assert_eq!(singles.iter().filter(|row| row["kto_tag"] == true).count(), 4);
    assert!(singles.iter().all(|row| row["completion"].as_array().unwrap().len() == 1));
    assert_eq!(rows(&app, "?kind=kto&limit_per_issue=1").await.len(), 3);

    for (query, field) in [("kind=best", "kind"), ("limit_per_issue=0", "limit_per_issue"), ("x=1", "x")] {
        let answer = app.get(&format!("/v1/preferences?{query}")).await;
        assert_eq!(answer.problem(422, "invalid-field"), field);
    }
}
