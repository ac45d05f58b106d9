//! What a verifier is to the service: something that prepares a trajectory and scores batches of what it prepared.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use common::Candidate;
pub use common::score::Condensed;
use serde::{Deserialize, Serialize};

/// How a trajectory is laid out for a model; see `docs/verifier-input.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// The paper's judge: an interaction log and a question answered YES or NO.
    JudgeV1,
    /// The compact layout of reward heads.
    CompactV1,
    /// Facts and hashed words rather than text.
    FeaturesV1,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Self; 3] = [Self::JudgeV1, Self::CompactV1, Self::FeaturesV1];

    /// Its name on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JudgeV1 => "judge-v1",
            Self::CompactV1 => "compact-v1",
            Self::FeaturesV1 => "features-v1",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = UnknownLayout;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|layout| layout.name() == text);
        found.ok_or_else(|| UnknownLayout(text.to_owned()))
    }
}

/// A name that is no layout's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown layout `{0}`; known are {known}", known = Layout::ALL.map(Layout::name).join(", "))]
pub struct UnknownLayout(pub String);

/// Which model scores, and what it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The name users call it by.
    pub name: String,
    /// Names its exact contents: a hash of weights, configuration, layout and calibration, or what a server reports.
    pub revision: String,
    /// `linear`, `burn` or `openai`.
    pub backend: String,
    /// What its input looks like.
    pub layout: Layout,
    /// The longest input in tokens.
    pub max_tokens: usize,
    /// False for a placeholder that has learned nothing: its scores are not to be used.
    pub trained: bool,
}

/// One trajectory to score. Labels and reference patches are not part of it.
#[derive(Debug, Clone)]
pub struct Example {
    /// The issue's text; empty when unknown.
    pub issue: Arc<str>,
    /// The candidate, by its id.
    pub candidate: Arc<Candidate>,
}

/// What the caller allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepareOptions {
    /// Tokens at most; the model's own limit also holds.
    pub max_tokens: Option<usize>,
    /// Whether an over-long trajectory may be condensed; refused otherwise.
    pub condense: bool,
}

/// What a back end made of an example.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Token ids for a native model.
    Tokens {
        /// The ids.
        ids: Vec<u32>,
        /// Position of the last token of every assistant turn, ascending.
        turn_ends: Vec<usize>,
    },
    /// Chat messages (role, text) for a server that tokenises itself.
    Messages(Vec<(String, String)>),
    /// Numbers and hashed words (index, value) for the linear model; one row a turn prefix, the last is the whole.
    Features(Vec<Vec<(u32, f32)>>),
}

/// An example ready to be scored.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// What the model reads.
    pub payload: Payload,
    /// Its cost in tokens: what budgets and limits count.
    pub tokens: usize,
    /// Leading tokens that all candidates of one issue share (system prompt and issue); 0 when unknown.
    pub shared_tokens: usize,
    /// Hash of everything that determines the score besides the model revision: the key of the score cache.
    pub content: [u8; 32],
    /// What was condensed, if anything.
    pub condensed: Option<Condensed>,
}

/// What a model says of one example.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RawScore {
    /// The raw logit: of the reward head, or of YES against NO. Null when the model would not say; never NaN.
    pub logit: Option<f64>,
    /// The logit at the end of every assistant turn, where the model gives one.
    pub turn_logits: Vec<f64>,
    /// Standard error or disagreement of the logit, where the model has one.
    pub spread: Option<f64>,
    /// The logits of all labels, for heads with several.
    pub labels: Vec<f64>,
    /// Why there is no logit, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A logit as a probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probability {
    /// In [0, 1].
    pub value: f64,
    /// Whether it was fitted to outcomes; otherwise it is only the logistic function of the logit.
    pub calibrated: bool,
}

/// What is to be split into tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenizeInput {
    /// Text as it stands.
    Text(String),
    /// A conversation (role, text), through the model's chat template.
    Messages(Vec<(String, String)>),
}

/// Why an example cannot be prepared. Every variant is the caller's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// Longer than the model or the caller allows, and condensing was not asked for or does not suffice.
    #[error("{candidate}: {tokens} tokens, {limit} allowed{hint}")]
    TooLong {
        /// The candidate.
        candidate: String,
        /// Its tokens, after condensing if that was allowed.
        tokens: usize,
        /// The limit.
        limit: usize,
        /// What can be done about it, beginning with `; ` or empty.
        hint: &'static str,
    },
    /// The template or tokenizer refuses it.
    #[error("{candidate}: {reason}")]
    Refused {
        /// The candidate.
        candidate: String,
        /// Why.
        reason: String,
    },
}

/// Why a batch has no scores.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// Try later: gone, overloaded or too slow.
    #[error("the model is unavailable: {0}")]
    Unavailable(String),
    /// Trying again will not help.
    #[error("the model failed: {0}")]
    Failed(String),
}

/// A verifier model.
#[async_trait]
pub trait Backend: Send + Sync + fmt::Debug {
    /// Which model this is.
    fn info(&self) -> &ModelInfo;

    /// Lays an example out, counts its tokens and condenses it. Computes on the caller's thread.
    fn prepare(&self, example: &Example, options: PrepareOptions) -> Result<Prepared, PrepareError>;

    /// Scores a batch: one result a row, in the order of the rows. A row's score does not depend on the others.
    /// Dropping the future gives the batch up.
    async fn score(&self, batch: &[Arc<Prepared>]) -> Result<Vec<RawScore>, BackendError>;

    /// The probability that a logit stands for, by the calibration stored with the model where it has one.
    fn probability(&self, logit: f64) -> Probability {
        Probability { value: 1.0 / (1.0 + (-logit).exp()), calibrated: false }
    }

    /// Names of the labels in [`RawScore::labels`]; empty for a model with a single one.
    fn labels(&self) -> &[String] {
        &[]
    }

    /// Batches that may be scored at the same time: one where they would share the same cores or device.
    fn concurrency(&self) -> usize {
        1
    }

    /// Cost of a batch at most in token equivalents, where the model knows better than the configuration.
    fn batch_tokens(&self) -> Option<u64> {
        None
    }

    /// Whether a batch of the largest size should run before the first request: worth it where memory is set aside
    /// or kernels are tuned on first use.
    fn warms_up(&self) -> bool {
        false
    }

    /// Token ids; `None` for a model that has no tokenizer here. Computes on the caller's thread.
    fn tokenize(&self, _input: &TokenizeInput) -> Option<Result<Vec<u32>, String>> {
        None
    }

    /// Called when a batch did not end in time and was given up: replaces what hangs, such as a model thread.
    /// Whether that was possible.
    fn recover(&self) -> bool {
        false
    }
}
