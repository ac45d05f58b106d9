//! `POST /v1/rerank`, in the shape of Cohere and Jina.

use std::sync::Arc;

use axum::{Extension, Json as JsonBody, extract::State};
use serde::{Deserialize, Serialize};
use server::{Json, Problem, ProblemResponses, auth::Caller, observe::RequestId};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::texts::{Usage, answer_id, example, judge, some};
use crate::{Service, service::probability};

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(rerank))
        .routes(routes!(rerank_unversioned))
        .routes(routes!(rerank_second_version))
}

/// Documents to order by how likely they resolve an issue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "query": "`tool --count 0` prints nothing",
    "documents": [
        "diff --git a/tool.py b/tool.py\n--- a/tool.py\n+++ b/tool.py\n@@ -1 +1 @@\n-if count:\n+if count is not None:\n",
        "I could not find the cause."
    ],
    "top_n": 1
}))]
struct Rerank {
    /// Name or alias of the model; the active one when it is left out.
    #[serde(default)]
    model: Option<String>,
    /// The text of the issue.
    query: String,
    /// Patches, or what agents said last.
    documents: Vec<Document>,
    /// How many to return; all when it is left out.
    #[serde(default)]
    #[schema(minimum = 1)]
    top_n: Option<usize>,
    /// Whether to return the documents too.
    #[serde(default)]
    return_documents: Option<bool>,
    /// Tokens of one document at most; longer ones are condensed.
    #[serde(default)]
    #[schema(minimum = 1)]
    max_tokens_per_doc: Option<usize>,
}

/// A document.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a text or an object with a `text`")]
enum Document {
    /// Its text.
    Text(String),
    /// The same in an object.
    Object(TextObject),
}

/// A text in an object.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TextObject {
    /// The text.
    text: String,
}

/// The documents, best first.
#[derive(Debug, Serialize, ToSchema)]
struct Reranked {
    /// The answer's id.
    id: String,
    /// The model.
    model: String,
    /// Best first; equal ones in the order of the request, those that could not be scored last.
    results: Vec<RerankResult>,
    /// Tokens that were read.
    usage: Usage,
}

/// One document's place.
#[derive(Debug, Serialize, ToSchema)]
struct RerankResult {
    /// Its position in the request.
    index: usize,
    /// Probability that it resolves the issue; null when the model could not say.
    relevance_score: Option<f64>,
    /// The document, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<TextObject>,
}

/// Order documents by how likely they resolve an issue
///
/// The query is the text of an issue. A document that holds a git diff is taken as a patch, any other as what an agent
/// said last. Trajectories are scored better as such, with `/v1/score`.
#[utoipa::path(post, path = "/v1/rerank", tag = "scores", request_body = Rerank, responses(
    (status = 200, description = "The documents, best first.", body = Reranked),
    ProblemResponses,
))]
async fn rerank(
    State(service): State<Service>,
    caller: Caller,
    id: Option<Extension<RequestId>>,
    Json(request): Json<Rerank>,
) -> Result<JsonBody<Reranked>, Problem> {
    let Rerank { model, query, documents, top_n, return_documents, max_tokens_per_doc } = request;
    if top_n == Some(0) {
        return Err(Problem::field("top_n", "is 0, it must be at least 1"));
    }
    let texts: Vec<String> = documents
        .into_iter()
        .map(|document| match document {
            Document::Text(text) | Document::Object(TextObject { text }) => text,
        })
        .collect();
    some("documents", &texts)?;
    let fields = (0..texts.len()).map(|index| format!("documents[{index}]")).collect();
    let query: Arc<str> = query.into();
    let kept = (return_documents == Some(true)).then(|| texts.clone());
    let examples = texts.into_iter().enumerate().map(|(index, text)| example(index, &query, text)).collect();
    let judged =
        judge(&service, caller.tenant, model, examples, fields, ("max_tokens_per_doc", max_tokens_per_doc))
            .await?;
    let usage = Usage::of(&judged);
    let backend = judged.model.backend().as_ref();
    let mut results: Vec<RerankResult> = judged
        .scored
        .iter()
        .enumerate()
        .map(|(index, scored)| RerankResult {
            index,
            relevance_score: probability(backend, &scored.score),
            document: kept.as_ref().map(|texts| TextObject { text: texts[index].clone() }),
        })
        .collect();
    // The sort is stable. -1 is below every probability.
    let key = |result: &RerankResult| result.relevance_score.unwrap_or(-1.0);
    results.sort_by(|a, b| key(b).total_cmp(&key(a)));
    results.truncate(top_n.unwrap_or(usize::MAX));
    let model = backend.info().name.clone();
    Ok(JsonBody(Reranked { id: answer_id("rerank", id.as_ref()), model, results, usage }))
}

/// Order documents by how likely they resolve an issue
///
/// The same as `/v1/rerank`, where vLLM has it.
#[utoipa::path(post, path = "/rerank", tag = "scores", request_body = Rerank, responses(
    (status = 200, description = "The documents, best first.", body = Reranked),
    ProblemResponses,
))]
async fn rerank_unversioned(
    state: State<Service>,
    caller: Caller,
    id: Option<Extension<RequestId>>,
    request: Json<Rerank>,
) -> Result<JsonBody<Reranked>, Problem> {
    rerank(state, caller, id, request).await
}

/// Order documents by how likely they resolve an issue
///
/// The same as `/v1/rerank`, where Cohere's clients look for it.
#[utoipa::path(post, path = "/v2/rerank", tag = "scores", request_body = Rerank, responses(
    (status = 200, description = "The documents, best first.", body = Reranked),
    ProblemResponses,
))]
async fn rerank_second_version(
    state: State<Service>,
    caller: Caller,
    id: Option<Extension<RequestId>>,
    request: Json<Rerank>,
) -> Result<JsonBody<Reranked>, Problem> {
    rerank(state, caller, id, request).await
}
