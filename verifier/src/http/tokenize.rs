//! `POST /tokenize`, in vLLM's shape.

use axum::{Json as JsonBody, extract::State};
use serde::{Deserialize, Serialize};
use server::{Json, Kind, Problem, ProblemResponses};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::errors;
use crate::{Service, TokenizeInput};

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(tokenize))
}

/// A text or a conversation to split into tokens: exactly one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"prompt": "fix the widget"}))]
struct Tokenize {
    /// Name or alias of the model; the active one when it is left out.
    #[serde(default)]
    model: Option<String>,
    /// A text, taken as it stands: special tokens are added where the tokenizer does so.
    #[serde(default)]
    prompt: Option<String>,
    /// A conversation, through the model's chat template.
    #[serde(default)]
    messages: Option<Vec<Message>>,
}

/// A message of a conversation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    role: String,
    /// Its text.
    content: String,
}

/// Tokens.
#[derive(Debug, Serialize, ToSchema)]
struct Tokenized {
    /// How many.
    count: usize,
    /// How many the model reads at most.
    max_model_len: usize,
    /// Their ids.
    tokens: Vec<u32>,
}

/// Split a text or a conversation into tokens
///
/// Models that do not tokenise here (the built-in one, and those on other servers) answer 422.
#[utoipa::path(post, path = "/tokenize", tag = "models", request_body = Tokenize, responses(
    (status = 200, description = "The tokens.", body = Tokenized),
    ProblemResponses,
))]
async fn tokenize(
    State(service): State<Service>,
    Json(request): Json<Tokenize>,
) -> Result<JsonBody<Tokenized>, Problem> {
    let Tokenize { model, prompt, messages } = request;
    let (field, input) = match (prompt, messages) {
        (Some(text), None) => ("prompt", TokenizeInput::Text(text)),
        (None, Some(messages)) => {
            let messages = messages.into_iter().map(|message| (message.role, message.content)).collect();
            ("messages", TokenizeInput::Messages(messages))
        }
        (Some(_), Some(_)) => {
            return Err(Problem::field("messages", "cannot be given together with `prompt`"));
        }
        (None, None) => return Err(Problem::field("prompt", "is missing, and so is `messages`")),
    };
    let pipeline = service.registry.find(model.as_deref()).map_err(errors::registry)?;
    let max_model_len = pipeline.backend().info().max_tokens;
    let name = pipeline.backend().info().name.clone();
    let work = tokio::task::spawn_blocking(move || pipeline.backend().tokenize(&input));
    match work.await.map_err(|error| Problem::internal(&error))? {
        Some(Ok(tokens)) => Ok(JsonBody(Tokenized { count: tokens.len(), max_model_len, tokens })),
        Some(Err(reason)) => Err(Problem::field(field, reason)),
        None => Err(Problem::new(Kind::InvalidField, format!("model `{name}` has no tokenizer here"))
            .with_error("model", "has no tokenizer here")),
    }
}
