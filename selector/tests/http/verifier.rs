//! A verifier that answers, fails, or does not answer at all.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use common::VerifierScore;
use selector::http::{ScoreRequest, Scorer, ScorerError, SelectionSettings};
use serde_json::json;
use server::Span;

use crate::support::{App, request};

#[derive(Debug)]
enum Fake {
    Likes(&'static str),
    Broken,
    Silent,
}

#[async_trait]
impl Scorer for Fake {
    async fn score(&self, request: ScoreRequest) -> Result<Vec<VerifierScore>, ScorerError> {
        match self {
            Self::Likes(liked) => Ok(request
                .wanted
                .iter()
                .map(|index| request.pool.candidates[*index].candidate_id.clone())
                .map(|candidate_id| VerifierScore {
                    probability: Some(if candidate_id == *liked { 0.9 } else { 0.1 }),
                    candidate_id,
                    logit: None,
                    spread: None,
                    revision: "fake-1".into(),
                })
                .collect()),
            Self::Broken => Err(ScorerError::Unavailable("connection refused".into())),
            Self::Silent => std::future::pending().await,
        }
    }
}

async fn select(scorer: Fake, policy: &str) -> serde_json::Value {
    let settings =
        SelectionSettings { verifier_timeout: Span(Duration::from_millis(50)), ..Default::default() };
    let app = App::with(settings, Some(Arc::new(scorer))).await;
    let mut asked = request();
    asked["policy"] = json!(policy);
    app.select(&asked).await
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
        [(Fake::Broken, "connection refused"), (Fake::Silent, "did not answer within 50 ms")]
    {
        let made = select(scorer, "r2e-gym").await;
        assert!(made["chosen"].is_string(), "{made}");
        let entries: Vec<_> = made["degraded"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["evidence"] == "verifier")
            .collect();
        assert_eq!(entries.len(), 1, "{made}");
        assert!(entries[0]["detail"].as_str().unwrap().contains(words), "{made}");
    }
}
