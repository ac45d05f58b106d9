//! Why rows cannot be used.

use model::{ChatError, TokenizerError};

/// Why a row cannot be used. `part` is `chosen`, `rejected`, `completion`, `prompt` or the id of a candidate.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The template refuses it, or its turns cannot be found.
    #[error("{part}: {error}")]
    Chat {
        /// Which part of the row.
        part: String,
        /// Why.
        error: ChatError,
    },
    /// The tokenizer refuses it.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A turn is rendered differently once others follow, and that is not allowed.
    #[error(
        "{part}: {what}; the template is not stable under appending turns (set refuse_unstable = false to train on it)"
    )]
    Unstable {
        /// Which part of the row.
        part: String,
        /// Which turn, and how.
        what: String,
    },
    /// Chosen and rejected do not begin with the same prompt.
    #[error(
        "chosen and rejected do not share their prompt: their tokens part at {at}, before the prompt's end at {prompt}; \
         pairs must continue one prompt"
    )]
    Prompt {
        /// Where they part.
        at: usize,
        /// Where the prompt ends.
        prompt: usize,
    },
    /// Nothing in it carries a loss.
    #[error("{part}: no token carries a loss (is there a turn of the assistant in it?)")]
    NothingTrained {
        /// Which part of the row.
        part: String,
    },
    /// Longer than allowed.
    #[error("{part}: {tokens} tokens, {limit} allowed")]
    TooLong {
        /// Which part of the row.
        part: String,
        /// Its tokens, after condensing where that was allowed.
        tokens: usize,
        /// The limit.
        limit: usize,
    },
    /// What cutting leaves holds no trained token.
    #[error("{part}: the {limit} tokens that are allowed hold nothing that carries a loss")]
    CutAway {
        /// Which part of the row.
        part: String,
        /// The limit.
        limit: usize,
    },
    /// The verifier's reader refuses a candidate.
    #[error("{part}: {reason}")]
    Verifier {
        /// The candidate.
        part: String,
        /// Why.
        reason: String,
    },
}

impl EncodeError {
    /// Whether the row's length is the only thing wrong with it: such rows are dropped and counted, others refused.
    pub fn is_over_long(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::CutAway { .. })
    }
}
