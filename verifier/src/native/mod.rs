//! Back end `burn`: a language model on this machine.
//!
//! A Hugging Face folder with a head of scores reads `compact-v1`, one with a language head is asked as a judge in
//! `judge-v1`. Rows are packed without padding, and what several of them begin with is computed once.

mod forest;
mod forward;
mod revision;
mod settings;
mod text;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use model::{Device, LanguageModel, LoadOptions, Tokenizer, TokenizerError, config::Head, judge::Judge};

use self::forward::{Reading, Scorer};
use self::worker::Worker;
use crate::backend::{
    Backend, BackendError, Example, Layout, ModelInfo, PrepareError, PrepareOptions, Prepared, Probability,
    RawScore, TokenizeInput,
};
use crate::calibration::{Calibration, sigmoid};
use crate::input;

pub use settings::{SETTINGS_FILE, Settings};
pub use text::Reader;

/// How a model is loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Where it computes: `cpu`, `cuda:0` …
    pub device: String,
    /// Its name; that of `entropo.json` or the folder's without it.
    pub name: Option<String>,
    /// The layout, for a folder without `entropo.json`. It is an error when that names another.
    pub layout: Option<Layout>,
    /// A limit below the model's own.
    pub max_tokens: Option<usize>,
    /// Of several labels the one that is the score; that of `entropo.json` without it.
    pub label: Option<String>,
    /// Tokens of one pass over the model, shared ones counted once: bounds the memory that activations take.
    pub pass_tokens: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            device: "cpu".to_owned(),
            name: None,
            layout: None,
            max_tokens: None,
            label: None,
            pass_tokens: 8192,
        }
    }
}

/// Why a model cannot be used as a verifier.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// `entropo.json` is wrong.
    #[error("{}: {reason}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is no such device.
    #[error(transparent)]
    Device(#[from] model::device::DeviceError),
    /// Weights or configuration.
    #[error(transparent)]
    Model(#[from] model::LoadError),
    /// The tokenizer or its templates.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The model cannot do what is asked of it.
    #[error("{}: {reason}", path.display())]
    Unfit {
        /// The model's folder.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
}

/// A verifier that runs here.
#[derive(Debug)]
pub struct Native {
    info: ModelInfo,
    reader: Reader,
    scorer: Scorer,
    labels: Vec<String>,
    calibration: Option<Calibration>,
    /// Whether kernels are tuned on first use, as they are on GPUs.
    tuned: bool,
    worker: RwLock<Worker>,
}

impl Native {
    /// Loads a model's folder.
    pub fn load(dir: &Path, options: &Options) -> Result<Self, LoadError> {
        let settings = Settings::load(dir)?;
        let device: Device = model::device::parse(&options.device)?;
        let unfit = |reason: String| LoadError::Unfit { path: dir.to_owned(), reason };
        let model = LanguageModel::load(dir, &device, &LoadOptions::default())?;
        let tokenizer = Tokenizer::load(dir)?;
        let usual = if model.config().labels().is_empty() { Layout::JudgeV1 } else { Layout::CompactV1 };
        let layout = settings.layout(dir, options.layout, usual)?;
        let labels = model.config().labels().to_vec();
        let reading = match (layout, &model.config().head) {
            (Layout::CompactV1, Head::Scores { .. }) => {
                let asked = options.label.as_deref().or(settings.label.as_deref());
                Reading::Label(label(&labels, asked).map_err(unfit)?)
            }
            (Layout::JudgeV1, Head::Language { .. }) => {
                Reading::Judge(Judge::new(&tokenizer).map_err(|error| unfit(error.to_string()))?)
            }
            (Layout::FeaturesV1, _) => {
                return Err(unfit("layout features-v1 is no text; use compact-v1 or judge-v1".to_owned()));
            }
            (layout, head) => {
                let has = match head {
                    Head::Language { .. } => "a language head",
                    Head::Scores { .. } => "a head of scores",
                    Head::None => "no head",
                };
                let needs = if layout == Layout::JudgeV1 { "a language head" } else { "a head of scores" };
                return Err(unfit(format!("layout {layout} needs a model with {needs}, this one has {has}")));
            }
        };
        let limits = [Some(model.config().max_positions), settings.max_tokens, options.max_tokens];
        let max_tokens = limits.into_iter().flatten().min().unwrap_or(usize::MAX);
        let folder =
            || dir.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned());
        let info = ModelInfo {
            name: options.name.clone().or(settings.name).unwrap_or_else(folder),
            revision: revision::of(dir, layout)?,
            backend: "burn".to_owned(),
            layout,
            max_tokens,
            trained: settings.trained.unwrap_or(true),
        };
        let reader = Reader::new(tokenizer, layout).map_err(unfit)?;
        let scorer = Scorer { model, reading, pass_tokens: options.pass_tokens.max(1) };
        let worker =
            Worker::start(scorer.clone()).map_err(|error| LoadError::Io { path: dir.to_owned(), error })?;
        // One label needs no name beside the score.
        let labels = if labels.len() > 1 { labels } else { Vec::new() };
        Ok(Self {
            info,
            reader,
            scorer,
            labels,
            calibration: settings.calibration,
            tuned: options.device != "cpu",
            worker: RwLock::new(worker),
        })
    }

    fn worker(&self) -> Worker {
        self.worker.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Backend for Native {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn prepare(&self, example: &Example, options: PrepareOptions) -> Result<Prepared, PrepareError> {
        let candidate = &example.candidate.candidate_id;
        let document = input::lay_out(example, self.info.layout).ok_or_else(|| PrepareError::Refused {
            candidate: candidate.clone(),
            reason: format!("layout {} is no text", self.info.layout),
        })?;
        let limit = options.max_tokens.map_or(self.info.max_tokens, |asked| asked.min(self.info.max_tokens));
        self.reader.prepare(document, candidate, limit, options.condense)
    }

    async fn score(&self, batch: &[Arc<Prepared>]) -> Result<Vec<RawScore>, BackendError> {
        let worker = self.worker();
        worker.score(batch).await
    }

    fn probability(&self, logit: f64) -> Probability {
        match &self.calibration {
            Some(calibration) => Probability { value: calibration.probability(logit), calibrated: true },
            None => Probability { value: sigmoid(logit), calibrated: false },
        }
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn warms_up(&self) -> bool {
        self.tuned
    }

    fn tokenize(&self, input: &TokenizeInput) -> Option<Result<Vec<u32>, String>> {
        let encode = |text: &str, special| {
            let encoded = self.reader.tokenizer().encode(text, special).map_err(|error| error.to_string())?;
            Ok(encoded.ids)
        };
        Some(match input {
            TokenizeInput::Text(text) => encode(text, true),
            TokenizeInput::Messages(chat) => {
                self.reader.chat_text(chat).and_then(|text| encode(&text, false))
            }
        })
    }

    fn recover(&self) -> bool {
        let Ok(worker) = Worker::start(self.scorer.clone()) else { return false };
        *self.worker.write().unwrap_or_else(PoisonError::into_inner) = worker;
        true
    }
}

/// Which of a head's labels is the score.
fn label(labels: &[String], asked: Option<&str>) -> Result<usize, String> {
    match asked {
        Some(asked) => labels
            .iter()
            .position(|label| label == asked)
            .ok_or_else(|| format!("the model has no label `{asked}`; it has {}", labels.join(", "))),
        None => Ok(labels.iter().position(|label| label.eq_ignore_ascii_case("success")).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests;
