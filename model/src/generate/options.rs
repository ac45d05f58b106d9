//! How text is generated.

use crate::tokenizer::GenerationDefaults;

/// How the next token is chosen. Applied in the order of transformers: repetition penalty, temperature, top-k, top-p,
/// min-p.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f32,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the likeliest tokens that together have this probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens with at least this share of the likeliest token's probability; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens that occurred already; 1 changes nothing. Also holds
    /// without sampling.
    pub repetition_penalty: f32,
    /// Seed of the draws: the same seed draws the same tokens from the same probabilities on every machine.
    pub seed: u64,
}

impl Default for Sampling {
    /// The likeliest token.
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// What a model's `generation_config.json` asks for.
    pub fn of(defaults: &GenerationDefaults) -> Self {
        let penalty = defaults.repetition_penalty.unwrap_or(1.0);
        if defaults.do_sample != Some(true) {
            return Self { repetition_penalty: penalty, ..Self::default() };
        }
        Self {
            temperature: defaults.temperature.unwrap_or(1.0),
            top_k: defaults.top_k.unwrap_or(50),
            top_p: defaults.top_p.unwrap_or(1.0),
            min_p: defaults.min_p.unwrap_or(0.0),
            repetition_penalty: penalty,
            seed: 0,
        }
    }

    /// Checks the ranges; the message names the field.
    pub fn check(&self) -> Result<(), GenerateError> {
        let invalid = |reason: &str| Err(GenerateError::Options(reason.to_owned()));
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return invalid("temperature: must be 0 or more");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return invalid("top_p: must be more than 0 and at most 1");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return invalid("min_p: must lie between 0 and 1");
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return invalid("repetition_penalty: must be more than 0");
        }
        Ok(())
    }
}

/// When generation ends, and what is reported.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerateOptions {
    /// Tokens at most.
    pub max_tokens: usize,
    /// How each token is chosen.
    pub sampling: Sampling,
    /// Texts that end it. They and what follows are not part of the result, wherever token borders lie.
    pub stop: Vec<String>,
    /// Whether end-of-sequence tokens are ignored.
    pub ignore_eos: bool,
    /// For each token report this many of the likeliest tokens.
    pub top_logprobs: usize,
}

/// Why a generation ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// By an end-of-sequence token.
    Eos(u32),
    /// By a stop text.
    Stop(String),
    /// At the limit of tokens.
    Length,
    /// The caller wanted no more.
    Cancelled,
}

/// Why text cannot be generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// An option is out of range.
    #[error("{0}")]
    Options(String),
    /// There is nothing to continue.
    #[error("the prompt has no tokens")]
    Empty,
    /// The model gives no finite logits.
    #[error("the model's logits are not finite at position {0}")]
    NotFinite(usize),
    /// The model cannot read the tokens.
    #[error("the model cannot continue this: {0}")]
    Model(String),
    /// The tokenizer cannot decode.
    #[error(transparent)]
    Tokenizer(#[from] crate::tokenizer::TokenizerError),
}
