//! `POST /v1/classify`, in vLLM's shape.

use std::sync::Arc;

use axum::{Extension, Json as JsonBody, extract::State};
use serde::{Deserialize, Serialize};
use server::{Json, Problem, ProblemResponses, auth::Caller, observe::RequestId};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::texts::{Texts, Usage, answer_id, created, example, judge, some};
use crate::{
    Backend, Service,
    pipeline::Scored,
    service::{Judged, probability},
};

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(classify)).routes(routes!(classify_unversioned))
}

/// Texts to classify.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"model": "active", "input": ["I fixed it and the tests pass."]}))]
struct Classify {
    /// Name or alias of the model; the active one when it is left out.
    #[serde(default)]
    model: Option<String>,
    /// The texts: patches, or what an agent said last.
    input: Texts,
    /// Tokens of one text at most; longer ones are condensed.
    #[serde(default)]
    #[schema(minimum = 1)]
    truncate_prompt_tokens: Option<usize>,
    /// Taken and ignored: who asks.
    #[serde(default)]
    #[expect(dead_code, reason = "clients of OpenAI's API may send it")]
    user: Option<String>,
}

/// The classes of texts.
#[derive(Debug, Serialize, ToSchema)]
struct Classified {
    /// The answer's id.
    id: String,
    /// Always `list`.
    #[schema(example = "list")]
    object: &'static str,
    /// When: seconds since 1970.
    created: u64,
    /// The model.
    model: String,
    /// One entry a text, in their order.
    data: Vec<Class>,
    /// Tokens that were read.
    usage: Usage,
}

/// The class of one text.
#[derive(Debug, Serialize, ToSchema)]
struct Class {
    /// Position of the text.
    index: usize,
    /// The likeliest label; null when the model could not say.
    label: Option<String>,
    /// A probability a label; empty when the model could not say.
    probs: Vec<f64>,
    /// How many labels there are.
    num_classes: usize,
}

/// Classify texts
///
/// A model with one label gives the probability that the text resolves its issue, calibrated where the model is. One
/// with several gives a distribution over its labels. The text of an issue can be put first with `/v1/rerank` or
/// `/v1/score`.
#[utoipa::path(post, path = "/v1/classify", tag = "scores", request_body = Classify, responses(
    (status = 200, description = "The classes.", body = Classified),
    ProblemResponses,
))]
async fn classify(
    State(service): State<Service>,
    caller: Caller,
    id: Option<Extension<RequestId>>,
    Json(request): Json<Classify>,
) -> Result<JsonBody<Classified>, Problem> {
    let Classify { model, input, truncate_prompt_tokens, .. } = request;
    let texts = input.into_vec();
    some("input", &texts)?;
    let fields = (0..texts.len()).map(|index| format!("input[{index}]")).collect();
    let nothing: Arc<str> = "".into();
    let examples =
        texts.into_iter().enumerate().map(|(index, text)| example(index, &nothing, text)).collect();
    let judged = judge(
        &service,
        caller.tenant,
        model,
        examples,
        fields,
        ("truncate_prompt_tokens", truncate_prompt_tokens),
    )
    .await?;
    let usage = Usage::of(&judged);
    let Judged { model, scored } = judged;
    let backend = model.backend().as_ref();
    let data = scored.iter().enumerate().map(|(index, scored)| class(backend, index, scored)).collect();
    Ok(JsonBody(Classified {
        id: answer_id("classify", id.as_ref()),
        object: "list",
        created: created(),
        model: backend.info().name.clone(),
        data,
        usage,
    }))
}

/// Classify texts
///
/// The same as `/v1/classify`, where vLLM has it.
#[utoipa::path(post, path = "/classify", tag = "scores", request_body = Classify, responses(
    (status = 200, description = "The classes.", body = Classified),
    ProblemResponses,
))]
async fn classify_unversioned(
    state: State<Service>,
    caller: Caller,
    id: Option<Extension<RequestId>>,
    request: Json<Classify>,
) -> Result<JsonBody<Classified>, Problem> {
    classify(state, caller, id, request).await
}

fn class(backend: &dyn Backend, index: usize, scored: &Scored) -> Class {
    let labels = backend.labels();
    let logits = &scored.score.labels;
    let probs = if scored.score.logit.is_none() {
        Vec::new()
    } else if logits.len() > 1 {
        softmax(logits)
    } else {
        probability(backend, &scored.score).into_iter().collect()
    };
    // The first of equals, as elsewhere.
    let best = probs.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    let name = |index: usize| labels.get(index).cloned().unwrap_or_else(|| format!("LABEL_{index}"));
    Class {
        index,
        label: best.map(|(index, _)| name(index)),
        num_classes: probs.len().max(labels.len()).max(1),
        probs,
    }
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}
