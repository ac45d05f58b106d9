//! Endpoints in the shapes that other programs' clients speak.

use serde_json::{Value, json};
use verifier::pipeline::PipelineSettings;

use crate::{
    mock::Mock,
    support::{App, Shelf},
};

fn diff(words: &str) -> String {
    format!("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+{words}\n")
}

/// A probability as the mock makes it of so many words.
fn of_words(words: usize) -> f64 {
    1.0 / (1.0 + (-(words as f64 - 2.0) / 2.0).exp())
}

#[tokio::test]
async fn documents_are_ordered_by_probability() {
    let app = App::new().await;
    let asked = json!({
        "model": "active",
        "query": "it breaks",
        "documents": ["a", {"text": diff("many more words than the others")}, "nan", "a b c"],
    });
    for path in ["/v1/rerank", "/rerank", "/v2/rerank"] {
        let made = app.post(path, &asked).await.ok();
        let order: Vec<_> = made["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["index"].as_u64().unwrap())
            .collect();
        assert_eq!(order, [1, 3, 0, 2], "{made}");
        assert_eq!(made["results"][3]["relevance_score"], Value::Null);
        assert!(made["results"][0].get("document").is_none());
        assert!(made["usage"]["total_tokens"].as_u64().unwrap() > 10);
    }
    let mut best = asked.clone();
    (best["top_n"], best["return_documents"]) = (json!(2), json!(true));
    let made = app.post("/v1/rerank", &best).await.ok();
    assert_eq!(made["results"].as_array().unwrap().len(), 2);
    assert_eq!(made["results"][1]["document"]["text"], "a b c");
}

#[tokio::test]
async fn pairs_of_texts_are_told_from_candidates() {
    let app = App::new().await;
    let made = app.score(&json!({"text_1": "x", "text_2": ["a b", "a b c d"]})).await;
    assert_eq!(made["data"][1]["index"], 1);
    assert_eq!(made["data"][1]["object"], "score");
    // What was asked is a turn of the run, too: the mock counts its word.
    assert_eq!(made["data"][1]["score"], of_words(5));
    let same =
        app.post("/score", &json!({"queries": ["x", "x"], "documents": ["a b", "a b c d"]})).await.ok();
    assert_eq!(same["data"], made["data"]);
    let unequal = app.post("/v1/score", &json!({"text_1": ["x", "y"], "text_2": ["a", "b", "c"]})).await;
    assert_eq!(unequal.problem(422, "invalid-field"), "text_1");
    let empty = app.post("/v1/score", &json!({"text_1": "x", "text_2": []})).await;
    assert_eq!(empty.problem(422, "invalid-field"), "text_2");
}

#[tokio::test]
async fn texts_are_classified() {
    let app = App::new().await;
    let made = app.post("/v1/classify", &json!({"input": "a b"})).await.ok();
    assert_eq!(made["object"], "list");
    assert_eq!(made["data"], json!([{"index": 0, "label": "LABEL_0", "probs": [0.5], "num_classes": 1}]));
    let shelf = Shelf::of([Mock::new("mock").with_labels(&["success", "looped"])]);
    let app = App::with(shelf, PipelineSettings::default()).await;
    let made = app.post("/classify", &json!({"input": ["a b", "nan"], "model": "mock"})).await.ok();
    let probs = made["data"][0]["probs"].as_array().unwrap();
    let sum: f64 = probs.iter().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-12 && made["data"][0]["label"] == "success", "{made}");
    assert_eq!(made["data"][1], json!({"index": 1, "label": null, "probs": [], "num_classes": 2}));
    assert_eq!(app.post("/classify", &json!({"input": []})).await.problem(422, "invalid-field"), "input");
}

#[tokio::test]
async fn long_texts_are_condensed_only_when_a_limit_is_named() {
    let app = App::new().await;
    let long = "word ".repeat(1_500);
    let refused = app.post("/v1/rerank", &json!({"query": "x", "documents": ["a", long]})).await;
    assert_eq!(refused.problem(422, "invalid-field"), "documents[1]");
    let asked = json!({"query": "x", "documents": ["a", long], "max_tokens_per_doc": 900});
    assert_eq!(app.post("/v1/rerank", &asked).await.ok()["results"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn text_is_tokenised_where_the_model_can() {
    let app = App::new().await;
    let made = app.post("/tokenize", &json!({"prompt": "fix the widget"})).await.ok();
    assert_eq!(made, json!({"count": 3, "max_model_len": 1000, "tokens": [3, 3, 6]}));
    let none = app.post("/tokenize", &json!({"messages": [{"role": "user", "content": "x"}]})).await;
    assert_eq!(none.problem(422, "invalid-field"), "model");
    let refused = app.post("/tokenize", &json!({"prompt": "refuse"})).await;
    assert_eq!(refused.problem(422, "invalid-field"), "prompt");
    assert_eq!(app.post("/tokenize", &json!({})).await.problem(422, "invalid-field"), "prompt");
    let both = json!({"prompt": "x", "messages": []});
    assert_eq!(app.post("/tokenize", &both).await.problem(422, "invalid-field"), "messages");
}
