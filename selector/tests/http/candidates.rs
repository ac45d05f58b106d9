//! `/v1/candidates`.

use serde_json::json;

use crate::support::{App, candidate, patch, run};

#[tokio::test]
async fn candidates_of_several_issues_are_kept_once() {
    let app = App::new().await;
    let mut other = candidate("x", "v = 2");
    other["instance_id"] = json!("b");
    let asked = json!({"instance_id": "a", "candidates": [candidate("x", "v = 1"), other]});
    let first = app.post("/v1/candidates", &asked).await.created();
    let second = app.post("/v1/candidates", &asked).await.created();
    for (index, instance) in ["a", "b"].iter().enumerate() {
        let (one, two) = (&first["candidates"][index], &second["candidates"][index]);
        assert_eq!(one["instance_id"], *instance);
        assert_eq!(one["content_id"], two["content_id"]);
        assert_eq!((&one["new"], &two["new"]), (&json!(true), &json!(false)));
    }
}

#[tokio::test]
async fn labels_in_files_become_outcomes() {
    let app = App::new().await;
    let row = |id: &str, resolved: Option<bool>| {
        json!({"instance_id": "a", "candidate_id": id, "patch": patch("a.py", id), "resolved": resolved})
            .to_string()
    };
    let pool = [row("x", Some(true)), row("y", Some(false)), row("z", None)].join("\n");
    let kept = app
        .post("/v1/candidates", &json!({"files": [{"name": "pool.jsonl", "content": pool}]}))
        .await
        .created();
    assert_eq!(kept["outcomes"], 2, "{kept}");
    let content = kept["candidates"][0]["content_id"].as_str().unwrap();
    let read = app.get(&format!("/v1/candidates/{content}")).await.json();
    assert_eq!(read["outcomes"][0]["resolved"], true);
    assert_eq!(read["trajectory"].get("resolved"), None);
}

#[tokio::test]
async fn tests_are_kept_with_the_candidates_they_name() {
    let app = App::new().await;
    let asked = |name: &str| {
        json!({
            "instance_id": "a",
            "candidates": [run("x", "fix", "v = 1")],
            "tests": [{"kind": "regression", "passed": ["t"]}, {"candidate_id": name, "kind": "regression", "passed": ["t"]}],
        })
    };
    app.post("/v1/candidates", &asked("x")).await.created();
    assert_eq!(
        app.post("/v1/candidates", &asked("y")).await.problem(422, "invalid-field"),
        "tests[1].candidate_id"
    );
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_by_name() {
    let app = App::new().await;
    let refused = async |body| app.post("/v1/candidates", &body).await.problem(422, "invalid-field");
    assert_eq!(refused(json!({"candidates": [candidate("x", "v")]})).await, "candidates[0].instance_id");
    let twice = json!({"instance_id": "a", "candidates": [candidate("x", "v = 1"), candidate("x", "v = 2")]});
    assert_eq!(refused(twice).await, "candidates[1].candidate_id");
    app.get("/v1/candidates/0123456789abcdef0123456789abcdef").await.problem(404, "not-found");
    app.get("/v1/candidates/nonsense").await.problem(404, "not-found");
}
