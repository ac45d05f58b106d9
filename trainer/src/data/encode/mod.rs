//! Rows as tokens, with the tokens that carry a loss marked.
//!
//! By default only what the policy wrote is trained: content, reasoning and tool calls of its turns with the token that
//! ends each, at every turn of the continuation. Observations, other turns, role headers and the template's glue never
//! are. [`Mask::Completion`] trains every token of the continuation, as TRL does, and exists to compare with it.

mod candidates;
mod condense;
mod conversation;
mod encoder;
mod error;
mod fit;
mod mismatch;

use serde::{Deserialize, Serialize};
use verifier::Layout;

pub use self::{
    encoder::Encoder,
    error::EncodeError,
    fit::{OverLong, Shortened},
    mismatch::mismatched,
};

/// Which tokens of a continuation carry a loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mask {
    /// What the policy wrote.
    #[default]
    Policy,
    /// Everything after the prompt, observations included, and messages go to the template as they stand: what TRL
    /// trains.
    Completion,
}

/// How rows become tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncodeRules {
    /// Which tokens carry a loss.
    pub mask: Mask,
    /// The longest sequence in tokens, prompt included.
    pub max_tokens: usize,
    /// The longest prompt in tokens; rows with a longer one are dropped.
    pub max_prompt_tokens: Option<usize>,
    /// What happens to rows that are longer than `max_tokens`.
    pub over_long: OverLong,
    /// Refuse rows in which a turn is rendered differently once others follow, although its tokens can be found: the
    /// policy is then trained on another context than it had.
    pub refuse_unstable: bool,
    /// How candidates are laid out for a verifier; what the model's `entropo.json` names, else `compact-v1`, without it.
    pub layout: Option<Layout>,
}

impl Default for EncodeRules {
    fn default() -> Self {
        Self {
            mask: Mask::Policy,
            max_tokens: 18_000,
            max_prompt_tokens: None,
            over_long: OverLong::Condense,
            refuse_unstable: false,
            layout: None,
        }
    }
}

/// One sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// The ids.
    pub ids: Vec<u32>,
    /// Whether each token carries a loss: its log-probability, given those before it, is trained. Never the first.
    pub trained: Vec<bool>,
    /// Leading tokens that are the prompt's.
    pub prompt: usize,
    /// Positions of the last trained token of each of the policy's turns, for losses of turns.
    pub turn_ends: Vec<usize>,
    /// What was taken out because the row was too long.
    pub shortened: Shortened,
    /// The tokens that [`OverLong::CutRight`] cut off, and whether they were trained; [`mismatched`] needs them.
    pub cut_off: Vec<(u32, bool)>,
}

impl Tokens {
    /// Number of trained tokens.
    pub fn trained_tokens(&self) -> usize {
        self.trained.iter().filter(|&&trained| trained).count()
    }
}

/// One of the candidates of an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Its id within the issue.
    pub id: String,
    /// What the verifier reads. Under `judge-v1` the right answer follows, and it alone is trained; under `compact-v1`
    /// nothing is: the score is read at the last token, and scores of turns at the turns' ends.
    pub tokens: Tokens,
    /// Whether it resolves the issue.
    pub resolved: bool,
}

/// A row as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoded {
    /// A pair; both begin with the same `shared` tokens, of which none is trained.
    Pair {
        /// The better one.
        chosen: Tokens,
        /// The worse one.
        rejected: Tokens,
        /// Leading tokens both have.
        shared: usize,
    },
    /// A sequence with a label.
    Labelled {
        /// The sequence.
        tokens: Tokens,
        /// Whether it is desirable.
        desirable: bool,
    },
    /// A sequence to imitate.
    Demonstration {
        /// The sequence.
        tokens: Tokens,
    },
    /// Candidates of one issue for a verifier; all begin with the same `shared` tokens.
    Candidates {
        /// The candidates, in the order of the row.
        candidates: Vec<Judged>,
        /// Leading tokens that all have.
        shared: usize,
    },
}

impl Encoded {
    /// All sequences of the row.
    pub fn sequences(&self) -> Vec<&Tokens> {
        match self {
            Self::Pair { chosen, rejected, .. } => vec![chosen, rejected],
            Self::Labelled { tokens, .. } | Self::Demonstration { tokens } => vec![tokens],
            Self::Candidates { candidates, .. } => {
                candidates.iter().map(|candidate| &candidate.tokens).collect()
            }
        }
    }
}

/// Length of the common beginning.
fn common<T: PartialEq>(left: &[T], right: &[T]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
