//! Pairs of texts, in vLLM's form.

use std::sync::Arc;

use axum::Extension;
use serde::Serialize;
use server::{Problem, observe::RequestId};
use store::Tenant;
use utoipa::ToSchema;

use super::body::ScoreTexts;
use crate::{
    Service,
    http::texts::{Usage, answer_id, created, example, judge, some},
    service::probability,
};

/// Scores of pairs of texts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PairScores {
    /// The answer's id.
    id: String,
    /// Always `list`.
    #[schema(example = "list")]
    object: &'static str,
    /// When: seconds since 1970.
    created: u64,
    /// The model.
    model: String,
    /// One entry a pair, in their order.
    data: Vec<PairScore>,
    /// Tokens that were read.
    usage: Usage,
}

/// The score of one pair.
#[derive(Debug, Serialize, ToSchema)]
struct PairScore {
    /// Position of the pair.
    index: usize,
    /// Always `score`.
    #[schema(example = "score")]
    object: &'static str,
    /// Probability that the second text resolves the first; null when the model could not say.
    score: Option<f64>,
}

pub(super) async fn score(
    service: &Service,
    tenant: Tenant,
    request: ScoreTexts,
    id: Option<&Extension<RequestId>>,
) -> Result<PairScores, Problem> {
    let ScoreTexts { model, text_1, text_2, truncate_prompt_tokens } = request;
    let (queries, texts) = (text_1.into_vec(), text_2.into_vec());
    some("text_1", &queries)?;
    some("text_2", &texts)?;
    if queries.len() != 1 && queries.len() != texts.len() {
        let message =
            format!("are {}, and `text_2` are {}: give one for all, or one each", queries.len(), texts.len());
        return Err(Problem::field("text_1", message));
    }
    let queries: Vec<Arc<str>> = queries.into_iter().map(Into::into).collect();
    let fields = (0..texts.len()).map(|index| format!("text_2[{index}]")).collect();
    let query = |index: usize| if queries.len() == 1 { &queries[0] } else { &queries[index] };
    let texts = texts.into_iter().enumerate();
    let examples = texts.map(|(index, text)| example(index, query(index), text)).collect();
    let judged =
        judge(service, tenant, model, examples, fields, ("truncate_prompt_tokens", truncate_prompt_tokens))
            .await?;
    let backend = judged.model.backend().as_ref();
    let scores = judged.scored.iter().enumerate();
    let data = scores
        .map(|(index, scored)| PairScore {
            index,
            object: "score",
            score: probability(backend, &scored.score),
        })
        .collect();
    Ok(PairScores {
        id: answer_id("score", id),
        object: "list",
        created: created(),
        model: backend.info().name.clone(),
        data,
        usage: Usage::of(&judged),
    })
}
