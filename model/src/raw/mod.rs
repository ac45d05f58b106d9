//! What a model makes of rows of tokens, texts or conversations, without any layout of a verifier's: tokens, masks,
//! logits, scores, the judge's answer, generated text. Serves `entropo score --raw`, by which a model is compared with
//! other programs.

mod outcome;
mod row;
mod score;

use std::path::Path;

use crate::{
    Device, InputError, LanguageModel, LoadError, LoadOptions, Tokenizer, TokenizerError,
    chat::ChatError,
    generate::{GenerateError, GenerateOptions},
    judge::JudgeError,
};

pub use outcome::{
    ChatOutcome, GenerationOutcome, JudgeOutcome, LogitsOutcome, RawOutcome, TurnScore, UnmaskedOutcome,
};
pub use row::{Prompt, RawRow};

/// How many logits and scores are given out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// A summary.
    #[default]
    Summary,
    /// Also all logits at the last position.
    Last,
    /// Also all logits, or scores, at every position.
    All,
}

/// What is asked of each row.
#[derive(Debug, Clone, PartialEq)]
pub struct RawOptions {
    /// How many logits and scores are given out.
    pub detail: Detail,
    /// How many of the likeliest tokens at the last position.
    pub top: usize,
    /// Whether the judge is asked.
    pub judge: bool,
    /// How the row is continued, if it is.
    pub generate: Option<GenerateOptions>,
    /// Rows are computed together until they have this many tokens.
    pub batch_tokens: usize,
}

impl Default for RawOptions {
    fn default() -> Self {
        Self { detail: Detail::Summary, top: 10, judge: false, generate: None, batch_tokens: 8_192 }
    }
}

/// Why a row has no result.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// The row is wrong.
    #[error("{0}")]
    Row(String),
    /// What was asked for needs something that the model folder does not have.
    #[error("{0} needs {1} in the model folder")]
    Needs(&'static str, &'static str),
    /// The model did not give what its configuration promises.
    #[error("the model gave no result")]
    NoTensor,
    /// The conversation cannot be rendered.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The tokenizer fails.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The model cannot read the tokens.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The judge cannot be asked.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// Text cannot be generated.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

/// Why a model folder cannot be scored with.
#[derive(Debug, thiserror::Error)]
pub enum RawLoadError {
    /// Its weights or configuration.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// Its tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// A model folder, ready to score rows.
#[derive(Debug)]
pub struct RawScorer {
    model: LanguageModel,
    tokenizer: Option<Tokenizer>,
    /// What ends a generation where there is no tokenizer.
    eos: Vec<u32>,
    options: RawOptions,
}

impl RawScorer {
    /// Loads a model folder. A folder without `tokenizer.json` scores and continues token ids only.
    pub fn load(dir: &Path, device: &Device, options: RawOptions) -> Result<Self, RawLoadError> {
        let tokenizer = dir.join("tokenizer.json").exists().then(|| Tokenizer::load(dir)).transpose()?;
        let eos = if tokenizer.is_none() { crate::tokenizer::eos_ids(dir)? } else { Vec::new() };
        let model = LanguageModel::load(dir, device, &LoadOptions::default())?;
        Ok(Self { model, tokenizer, eos, options })
    }

    /// The model.
    pub fn model(&self) -> &LanguageModel {
        &self.model
    }

    /// The tokenizer, if the folder has one.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// What is asked of each row.
    pub fn options(&self) -> &RawOptions {
        &self.options
    }

    /// Changes what is asked of each row.
    pub fn set_options(&mut self, options: RawOptions) {
        self.options = options;
    }

    /// Scores rows as they come and hands each result to `give` with the position of its row, in order. At most a
    /// batch of rows is in memory.
    pub fn run<E>(
        &self,
        rows: impl Iterator<Item = Result<RawRow, RawError>>,
        mut give: impl FnMut(usize, Result<RawOutcome, RawError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut waiting, mut tokens) = (Waiting::default(), 0);
        for (at, row) in rows.enumerate() {
            let prepared = row.and_then(|row| {
                let prompt = row.prompt(self.tokenizer.as_ref())?;
                self.check(&prompt.ids)?;
                Ok((row, prompt))
            });
            let size = prepared.as_ref().map_or(0, |(_, prompt)| prompt.ids.len());
            if tokens + size > self.options.batch_tokens {
                self.flush(&mut waiting, &mut give)?;
                tokens = 0;
            }
            tokens += size;
            match prepared {
                Ok(row) => {
                    waiting.places.push((at, None));
                    waiting.rows.push(row);
                }
                Err(error) => waiting.places.push((at, Some(error))),
            }
        }
        self.flush(&mut waiting, &mut give)
    }

    fn flush<E>(
        &self,
        waiting: &mut Waiting,
        give: &mut impl FnMut(usize, Result<RawOutcome, RawError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Waiting { places, rows } = std::mem::take(waiting);
        let outcomes = if rows.is_empty() { Vec::new() } else { self.batch(rows) };
        let mut outcomes = outcomes.into_iter();
        for (at, error) in places {
            let outcome = match error {
                Some(error) => Err(error),
                None => outcomes.next().unwrap_or(Err(RawError::NoTensor)),
            };
            give(at, outcome)?;
        }
        Ok(())
    }
}

/// Rows of a batch, and where they and those that have failed already stand in the input.
#[derive(Default)]
struct Waiting {
    places: Vec<(usize, Option<RawError>)>,
    rows: Vec<(RawRow, Prompt)>,
}
