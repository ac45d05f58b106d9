//! `POST /v1/score`: candidates of an issue, or pairs of texts as vLLM's clients send them.

mod body;
mod pairs;
mod run;

use axum::{
    Extension, Json as JsonBody,
    extract::State,
    response::{IntoResponse as _, Response},
};
use server::{Json, Problem, ProblemResponses, auth::Caller, observe::RequestId};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::Service;
use body::{Ask, ScoreAnswer, ScoreAsk, ScoreBody, ScoreTexts};
use pairs::PairScores;

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(score)).routes(routes!(score_unversioned))
}

/// Score the candidates of an issue
///
/// Takes candidates as `candidates` or as raw `files` of any known format; labels in files never reach the model. Every
/// candidate gets a probability with its raw logit, or null and a reason. A trajectory that is too long for the model
/// is refused with its number of tokens unless `options.condense` is set; what was left out then is in the answer.
///
/// A body with `text_1` and `text_2` (or `queries` and `documents`) is answered in vLLM's form.
#[utoipa::path(post, path = "/v1/score", tag = "scores", request_body = ScoreAsk, responses(
    (status = 200, description = "The scores, joined by id.", body = ScoreAnswer),
    ProblemResponses,
))]
async fn score(
    State(service): State<Service>,
    caller: Caller,
    id: Option<Extension<RequestId>>,
    Json(body): Json<ScoreBody>,
) -> Result<Response, Problem> {
    match body.ask()? {
        Ask::Candidates(request) => {
            run::score(&service, caller.tenant, *request).await.map(|scores| JsonBody(scores).into_response())
        }
        Ask::Texts(request) => pairs::score(&service, caller.tenant, request, id.as_ref())
            .await
            .map(|scores| JsonBody(scores).into_response()),
    }
}

/// Score pairs of texts
///
/// The same as `/v1/score` with texts, where vLLM has it.
#[utoipa::path(post, path = "/score", tag = "scores", request_body = ScoreTexts, responses(
    (status = 200, description = "A score a pair, in their order.", body = PairScores),
    ProblemResponses,
))]
async fn score_unversioned(
    State(service): State<Service>,
    caller: Caller,
    id: Option<Extension<RequestId>>,
    Json(request): Json<ScoreTexts>,
) -> Result<JsonBody<PairScores>, Problem> {
    pairs::score(&service, caller.tenant, request, id.as_ref()).await.map(JsonBody)
}
