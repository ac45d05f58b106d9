//! `POST /v1/score` with candidates.

use serde_json::{Value, json};
use verifier::pipeline::PipelineSettings;

use crate::{
    mock::{Mock, Mood},
    support::{App, Shelf, candidate},
};

fn request() -> Value {
    json!({
        "instance_id": "acme__tool-1",
        "issue": "it is broken",
        "candidates": [candidate("two", "a b"), candidate("four", "a b c d"), candidate("none", "nan")],
    })
}

#[tokio::test]
async fn every_candidate_is_scored_by_id() {
    let app = App::new().await;
    let made = app.score(&request()).await;
    assert_eq!(made["model"]["name"], "mock");
    assert_eq!(made["model"]["revision"], "mock-r1");
    assert_eq!((&made["model"]["trained"], &made["model"]["calibrated"]), (&json!(true), &json!(true)));
    let scores = made["scores"].as_array().unwrap();
    let ids: Vec<_> = scores.iter().map(|score| score["candidate_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["two", "four", "none"]);
    assert_eq!((scores[0]["logit"].as_f64(), scores[0]["probability"].as_f64()), (Some(0.0), Some(0.5)));
    let probability = 1.0 / (1.0 + (-1.0_f64).exp());
    assert_eq!(
        (scores[1]["logit"].as_f64(), scores[1]["probability"].as_f64()),
        (Some(2.0), Some(probability))
    );
    assert_eq!((scores[1]["tokens"].as_u64(), scores[1]["spread"].as_f64()), (Some(7), Some(0.25)));
    assert_eq!(
        (&scores[2]["probability"], &scores[2]["reason"]),
        (&Value::Null, &json!("the model's score is not a number"))
    );
    assert!(scores[1].get("turns").is_none(), "not asked for");
    assert!(made["timings"]["total_ms"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn turns_are_scored_when_asked_for() {
    let app = App::new().await;
    let mut asked = request();
    asked["options"] = json!({"per_turn": true, "priority": "batch"});
    let made = app.score(&asked).await;
    assert_eq!(made["scores"][1]["turns"][0], json!({"logit": 0.0, "probability": 0.5}));
    assert_eq!(made["scores"][1]["turns"][1]["logit"], 2.0);
    assert!(made["scores"][2].get("turns").is_none(), "a turn that is not a number: {made}");
}

#[tokio::test]
async fn the_same_again_comes_from_the_cache() {
    let app = App::new().await;
    let first = app.score(&request()).await;
    let again = app.score(&request()).await;
    let cached = |made: &Value| -> Vec<bool> {
        made["scores"].as_array().unwrap().iter().map(|score| score["cached"].as_bool().unwrap()).collect()
    };
    assert_eq!(cached(&first), [false; 3]);
    assert_eq!(cached(&again), [true, true, false], "what could not be scored is tried again");
    assert_eq!(first["scores"][1]["logit"], again["scores"][1]["logit"]);
}

#[tokio::test]
async fn files_are_read_and_their_labels_are_not() {
    let app = App::new().await;
    let row = json!({
        "instance_id": "a__b-1", "model_patch": "one two three", "resolved": true, "exit_status": "submitted",
        "trajectory": [{"role": "user", "content": "the issue"}, {"role": "assistant", "content": "done"}],
    });
    let text = format!("{row}\n");
    let made = app.score(&json!({"issue": "x", "files": [{"name": "runs.jsonl", "content": text}]})).await;
    assert_eq!(made["scores"][0]["logit"], 1.0, "{made}");
}

#[tokio::test]
async fn the_stored_issue_is_used_when_the_request_has_none() {
    let app = App::new().await;
    let issue =
        store::NewIssue { instance_id: "acme__tool-1".into(), text: Some("five words are in it".into()) };
    app.store.put_issue(&store::Tenant::DEFAULT, issue, store::Timestamp::now()).await.unwrap();
    let made =
        app.score(&json!({"instance_id": "acme__tool-1", "candidates": [candidate("a", "b c")]})).await;
    assert_eq!(made["scores"][0]["tokens"], 7);
    let made = app.score(&json!({"instance_id": "other", "candidates": [candidate("a", "b c")]})).await;
    assert_eq!(made["scores"][0]["tokens"], 2);
}

#[tokio::test]
async fn what_is_too_long_is_refused_by_name_or_condensed() {
    let app = App::new().await;
    let long = "word ".repeat(2_000);
    let turns = |text: &str| json!([{"role": "assistant", "content": text}]);
    let mut asked = json!({"issue": "x", "candidates": [candidate("fits", "a"), candidate("one", "a b"), candidate("two", "c d")]});
    asked["candidates"][1]["turns"] = turns(&long);
    asked["candidates"][2]["turns"] = turns(&long);
    let refused = app.post("/v1/score", &asked).await;
    assert_eq!(refused.problem(422, "invalid-field"), "candidates[1]");
    let problem = refused.json();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2);
    assert_eq!(problem["errors"][1]["message"], "two: 2003 tokens, 1000 allowed; allow condensing");

    asked["options"] = json!({"condense": true});
    let made = app.score(&asked).await;
    assert_eq!(made["scores"][1]["condensed"]["full_tokens"], 2_003, "{made}");
    assert_eq!(made["scores"][1]["tokens"], 3);
    assert!(made["scores"][0].get("condensed").is_none());

    asked["candidates"][1]["patch"] = json!(long);
    let made = app.score(&asked).await;
    assert_eq!(made["scores"][1]["probability"], Value::Null);
    assert_eq!(made["scores"][1]["reason"], "2001 tokens even when condensed, 1000 allowed");
    assert!(made["scores"][2]["probability"].is_number(), "the others are scored: {made}");

    asked["options"] = json!({"max_tokens": 2});
    assert_eq!(app.post("/v1/score", &asked).await.problem(422, "invalid-field"), "candidates[1]");
}

#[tokio::test]
async fn one_bad_candidate_does_not_take_the_others_with_it() {
    let shelf = Shelf::of([Mock::new("mock")]);
    shelf.0["mock"].set(Mood::Poison);
    let app = App::with(shelf, PipelineSettings::default()).await;
    let asked = json!({"issue": "x", "candidates": [
        candidate("good", "a b c"), candidate("bad", "poison"), candidate("refused", "refuse"), candidate("fine", "a"),
    ]});
    let made = app.score(&asked).await;
    let scores = made["scores"].as_array().unwrap();
    assert_eq!((scores[0]["logit"].as_f64(), scores[3]["logit"].as_f64()), (Some(1.0), Some(-1.0)));
    assert_eq!((&scores[1]["logit"], &scores[1]["reason"]), (&Value::Null, &json!("it is poisonous")));
    assert_eq!(
        (&scores[2]["logit"], &scores[2]["reason"]),
        (&Value::Null, &json!("the template refuses it"))
    );
}

#[tokio::test]
async fn mistakes_are_named_by_their_field() {
    let app = App::new().await;
    let good = candidate("a", "b");
    for (body, field) in [
        (json!({}), "candidates"),
        (json!({"candidates": []}), "candidates"),
        (json!({"candidates": [good, good]}), "candidates[1].candidate_id"),
        (json!({"candidates": [good], "unknown": 1}), "unknown"),
        (json!({"candidates": [{"patch": "x", "resolved": true}]}), "candidates[0].resolved"),
        (json!({"candidates": [good], "options": {"deadline_ms": 0}}), "options.deadline_ms"),
        (json!({"candidates": [good], "options": {"max_tokens": 0}}), "options.max_tokens"),
        (json!({"candidates": [good], "options": {"priority": "urgent"}}), "options.priority"),
        (json!({"candidates": [good], "text_1": "a", "text_2": "b"}), "candidates"),
        (json!({"files": [{"name": "x", "content": "nothing"}]}), "files[0].content"),
        (json!({"instance_id": "a", "candidates": [{"instance_id": "b"}]}), "candidates[0].instance_id"),
        (json!({"candidates": [{"instance_id": "a"}, {"instance_id": "b"}]}), "instance_id"),
        (json!({"instance_id": "", "candidates": [good]}), "instance_id"),
        (json!({"instance_id": "a", "candidates": [{"instance_id": ""}]}), "candidates[0].instance_id"),
        (json!({"candidates": [{"candidate_id": ""}]}), "candidates[0].candidate_id"),
    ] {
        let answer = app.post("/v1/score", &body).await;
        assert_eq!(answer.problem(422, "invalid-field"), field, "{body}");
    }
    let unknown = app.post("/v1/score", &json!({"model": "nope", "candidates": [good]})).await;
    unknown.problem(404, "not-found");
    let many = PipelineSettings { candidates: 1, ..PipelineSettings::default() };
    let app = App::with(Shelf::of([Mock::new("mock")]), many).await;
    let answer = app.post("/v1/score", &json!({"candidates": [good, candidate("b", "c")]})).await;
    assert_eq!(answer.problem(413, "too-large"), "candidates");
}
