//! Models with a head: `/classify`, `/score` and `/rerank`.

use axum::{Json, response::IntoResponse as _};
use serde_json::json;
use verifier::{
    Backend as _, Layout,
    openai::{Mode, OpenAi, Settings},
};

use crate::mock::{Mock, close, opinion, rows, sigmoid};

const PATCHES: [&str; 4] = ["patch-30", "patch-10", "patch-20", "patch-10"];

fn check(scores: &[verifier::RawScore]) {
    let wanted = [0.31, 0.11, 0.21, 0.11];
    assert_eq!(scores.len(), 4);
    for (score, wanted) in scores.iter().zip(wanted) {
        assert!(close(sigmoid(score.logit), wanted), "{score:?}");
    }
}

#[tokio::test]
async fn classify() {
    let mock = Mock::says(|asked| {
        let p = opinion(&asked.body);
        let entry = json!({"index": 0, "label": "LABEL_0", "probs": [1.0 - p, p], "num_classes": 2});
        Json(json!({"object": "list", "data": [entry]})).into_response()
    })
    .await;
    let settings = Settings { label: 1, ..mock.settings(Mode::Classify) };
    let model = OpenAi::connect(&settings).await.unwrap();
    assert_eq!(model.info().layout, Layout::CompactV1);
    let scores = model.score(&rows(&model, &PATCHES)).await.unwrap();
    check(&scores);
    assert_eq!(scores[0].labels.len(), 2);
    assert_eq!(mock.asked()[0].path, "/classify");
    let unsaid = mock.model(Mode::Classify).await;
    let scores = unsaid.score(&rows(&unsaid, &PATCHES)).await.unwrap();
    assert!(scores[0].reason.as_deref().unwrap().contains("openai.label"));
}

#[tokio::test]
async fn score() {
    let mock = Mock::says(|asked| {
        let score = opinion(&asked.body);
        Json(json!({"data": [{"index": 0, "object": "score", "score": score}]})).into_response()
    })
    .await;
    let model = mock.model(Mode::Score).await;
    check(&model.score(&rows(&model, &PATCHES)).await.unwrap());
    let asked = &mock.asked()[0];
    assert_eq!((asked.path.as_str(), &asked.body["text_1"]), ("/score", &json!("it is broken")));
}

#[tokio::test]
async fn rerank() {
    let mock = Mock::says(|asked| {
        let score = opinion(&asked.body);
        Json(json!({"results": [{"index": 0, "relevance_score": score}]})).into_response()
    })
    .await;
    let model = mock.model(Mode::Rerank).await;
    check(&model.score(&rows(&model, &PATCHES)).await.unwrap());
    let asked = &mock.asked()[0];
    assert_eq!((asked.path.as_str(), &asked.body["query"]), ("/v1/rerank", &json!("it is broken")));
}
