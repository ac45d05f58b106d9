//! Rows out.

use serde::Serialize;
use serde_json::Value;

use super::row::Prompt;
use crate::{chat::MaskSource, generate::Finish};

/// What a model makes of a row.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RawOutcome {
    /// The row's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// Number of tokens.
    pub tokens: usize,
    /// The tokens.
    pub input_ids: Vec<u32>,
    /// Of a conversation.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub chat: Option<ChatOutcome>,
    /// Of a conversation of which the policy's tokens cannot be found.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub unmasked: Option<UnmaskedOutcome>,
    /// Of a model with a language head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logits: Option<LogitsOutcome>,
    /// Scores of the head, one for each label, read at `score_position`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<Vec<f32>>,
    /// The names of the scores.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The position the scores were read at: the last token that is not the model's padding token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_position: Option<usize>,
    /// Scores at the end of every turn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turn_scores: Vec<TurnScore>,
    /// Scores at every position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_scores: Option<Vec<Vec<f32>>>,
    /// The YES/NO judge's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeOutcome>,
    /// What the model continues with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationOutcome>,
}

/// A conversation's tokens.
#[derive(Debug, Clone, Serialize)]
pub struct ChatOutcome {
    /// The text that was tokenised.
    pub text: String,
    /// 1 where transformers' `return_assistant_tokens_mask` has 1; without generation blocks the same as `policy_mask`.
    pub assistant_mask: Vec<u8>,
    /// 1 where the policy wrote the whole token.
    pub policy_mask: Vec<u8>,
    /// The message each token came from; null for the generation prompt.
    pub turns: Vec<Option<usize>>,
    /// Message and position of the last token that the policy wrote in each turn.
    pub turn_ends: Vec<(usize, usize)>,
    /// Positions of tokens on a border of what the policy wrote.
    pub straddling: Vec<usize>,
    /// How the masks were found.
    pub mask_source: MaskSource,
    /// Turns that the template renders differently once others follow, explained.
    pub unstable: Vec<String>,
}

/// A conversation's text without masks.
#[derive(Debug, Clone, Serialize)]
pub struct UnmaskedOutcome {
    /// The text that was tokenised.
    pub text: String,
    /// Why there are no masks.
    pub mask_error: String,
}

/// What the language head says.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LogitsOutcome {
    /// The likeliest next token at every position.
    pub argmax: Vec<u32>,
    /// Log-probability of the token that follows, at every position but the last.
    pub logprobs: Vec<f32>,
    /// ln Σ exp of the logits at every position.
    pub logsumexp: Vec<f32>,
    /// At the last position the likeliest tokens, best first.
    pub last_ids: Vec<u32>,
    /// Their logits.
    pub last_logits: Vec<f32>,
    /// All logits at the last position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Vec<f32>>,
    /// All logits at every position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<Vec<f32>>>,
}

/// Scores at the end of a turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnScore {
    /// The message, or the count of the turn for token ids.
    pub turn: usize,
    /// The position of its last token.
    pub position: usize,
    /// One score for each label.
    pub scores: Vec<f32>,
}

/// The judge's answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct JudgeOutcome {
    /// Probability of YES; null if the model was not about to answer.
    pub probability: Option<f64>,
    /// Its log-odds.
    pub logit: Option<f64>,
    /// Probability that it answers at all.
    pub mass: f64,
}

/// What the model continues with.
#[derive(Debug, Clone, Serialize)]
pub struct GenerationOutcome {
    /// The text; absent where the model folder has no tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The tokens.
    pub ids: Vec<u32>,
    /// The tokens' log-probabilities.
    pub logprobs: Vec<f32>,
    /// For each token the likeliest ones with their log-probabilities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<Vec<(u32, f32)>>,
    /// Why it ended.
    pub finish: Finish,
}

impl RawOutcome {
    pub(super) fn of(id: Option<Value>, prompt: Prompt) -> Self {
        let bits = |mask: &[bool]| mask.iter().map(|set| u8::from(*set)).collect();
        let chat = prompt.rendering.map(|rendering| ChatOutcome {
            assistant_mask: bits(&rendering.assistant_mask),
            policy_mask: bits(&rendering.policy),
            turns: rendering.turns,
            turn_ends: rendering.turn_ends,
            straddling: rendering.straddling,
            mask_source: rendering.source,
            unstable: rendering.unstable.iter().map(ToString::to_string).collect(),
            text: rendering.text,
        });
        let unmasked = prompt.unmasked.map(|(text, mask_error)| UnmaskedOutcome { text, mask_error });
        Self { id, tokens: prompt.ids.len(), input_ids: prompt.ids, chat, unmasked, ..Self::default() }
    }
}
