//! Back end `openai`: a model on any OpenAI-compatible server.
//!
//! The server's address comes from the configuration only. One request scores one trajectory, so an answer cannot be
//! joined to another one; requests go out in an order in which the server's prefix cache serves the candidates of one
//! issue, a bounded number at a time.

mod answer;
mod discover;
mod heads;
mod order;
mod request;
mod score;
mod settings;

pub use settings::{Mode, Output, Prefill, Settings};

use std::{
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use common::formats::parse_json;
use serde_json::{Map, Value};
use server::outgoing::{CallError, Client, TargetError};

use self::request::Dialect;
use crate::{
    backend::{
        Backend, BackendError, Example, Layout, ModelInfo, Payload, PrepareError, PrepareOptions, Prepared,
        Probability, RawScore,
    },
    calibration::{Calibration, sigmoid},
    input,
};

/// How long finding the model may take.
const DISCOVERY: Duration = Duration::from_secs(20);

/// Tokens kept free for the chat template's own tokens and the answer.
const OVERHEAD: usize = 64;

/// The longest input when neither the server nor the configuration says.
const DEFAULT_TOKENS: usize = 32_768;

/// A model on an OpenAI-compatible server.
#[derive(Debug)]
pub struct OpenAi {
    info: ModelInfo,
    client: Client,
    mode: Mode,
    label: Option<usize>,
    output: Output,
    /// The server's name for the model.
    model: String,
    extra: Map<String, Value>,
    calibration: Option<Calibration>,
    dialects: Vec<Dialect>,
    /// The dialect that brought the first answer; the server will not change.
    dialect: OnceLock<usize>,
}

/// Why the server's model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A setting does not fit.
    #[error("{key}: {reason}")]
    Setting {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file with the key cannot be read.
    #[error("openai.api_key_file: cannot read {}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The address or a header does not fit.
    #[error("openai.url: {0}")]
    Target(#[from] TargetError),
    /// The server does not answer.
    #[error("cannot ask {url}/v1/models which models there are: {source}")]
    Server {
        /// Its address.
        url: String,
        /// What went wrong.
        source: CallError,
    },
    /// It answers, but not with the model.
    #[error("{url}/v1/models: {reason}")]
    Model {
        /// Its address.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

impl OpenAi {
    /// Asks the server for its model.
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        if settings.url.trim().is_empty() {
            return Err(ConnectError::Setting {
                key: "openai.url".to_owned(),
                reason: "is not set".to_owned(),
            });
        }
        let client = Client::new(settings.target()?)?;
        let extra = settings.extra()?;
        let (calibration, fitted) = settings.calibration()?.unzip();
        let url = client.url().to_owned();
        let reply = client
            .get("/v1/models", Instant::now() + DISCOVERY)
            .await
            .map_err(|source| ConnectError::Server { url: url.clone(), source })?;
        let bad = |reason: String| ConnectError::Model { url: url.clone(), reason };
        let list = parse_json(&reply.body).map_err(|error| bad(format!("the answer is no JSON: {error}")))?;
        let served = discover::choose(&list, settings.model.trim()).map_err(bad)?;
        let layout = match settings.mode {
            Mode::Judge | Mode::Completions => Layout::JudgeV1,
            Mode::Classify | Mode::Score | Mode::Rerank => Layout::CompactV1,
        };
        let max_tokens = max_tokens(settings.max_tokens, served.max_tokens);
        let mut marks = served.marks;
        marks.push(format!(
            "mode={} layout={layout} label={} output={:?} extra={} calibration={}",
            settings.mode,
            settings.label,
            settings.output,
            settings.extra_body,
            fitted.unwrap_or_default()
        ));
        let revision =
            if settings.revision.is_empty() { discover::revision(&marks) } else { settings.revision.clone() };
        let name = match settings.name.trim() {
            "" => served.id.rsplit('/').next().unwrap_or(&served.id).to_owned(),
            name => name.to_owned(),
        };
        let backend = "openai".to_owned();
        tracing::info!(url, model = served.id, max_tokens, mode = %settings.mode, "found the model");
        Ok(Self {
            info: ModelInfo { name, revision, backend, layout, max_tokens, trained: true },
            client,
            mode: settings.mode,
            label: usize::try_from(settings.label).ok(),
            output: settings.output,
            model: served.id,
            extra,
            calibration,
            dialects: request::dialects(settings.mode, settings.prefill),
            dialect: OnceLock::new(),
        })
    }
}

/// The smaller of what is configured and what the server says; characters are counted as tokens by an estimate that is
/// meant to be high, so the whole context may be used.
fn max_tokens(configured: usize, served: Option<usize>) -> usize {
    match (configured, served) {
        (0, Some(served)) => served,
        (0, None) => {
            tracing::warn!(
                tokens = DEFAULT_TOKENS,
                "the server does not say how much its model can read; set openai.max_tokens"
            );
            DEFAULT_TOKENS
        }
        (configured, Some(served)) => configured.min(served),
        (configured, None) => configured,
    }
}

#[async_trait]
impl Backend for OpenAi {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn prepare(&self, example: &Example, options: PrepareOptions) -> Result<Prepared, PrepareError> {
        let count = &input::estimate_tokens;
        let limit = self.info.max_tokens;
        let mut prepared = input::prepare_chat(example, self.info.layout, limit, OVERHEAD, options, count)?;
        if let (Mode::Score | Mode::Rerank, Payload::Messages(messages)) = (self.mode, &mut prepared.payload)
        {
            *messages = pair(example, std::mem::take(messages));
        }
        Ok(prepared)
    }

    async fn score(&self, batch: &[Arc<Prepared>]) -> Result<Vec<RawScore>, BackendError> {
        score::batch(self, batch).await
    }

    fn probability(&self, logit: f64) -> Probability {
        match &self.calibration {
            Some(calibration) => Probability { value: calibration.probability(logit), calibrated: true },
            None => Probability { value: sigmoid(logit), calibrated: false },
        }
    }

    /// The server batches by itself; the number of requests at a time is bounded by the client.
    fn concurrency(&self) -> usize {
        4
    }
}

/// The issue as the query, the whole text as the document.
fn pair(example: &Example, messages: Vec<(String, String)>) -> Vec<(String, String)> {
    let issue = input::escape(&example.issue).into_owned();
    let mut pair = vec![("query".to_owned(), issue)];
    pair.extend(messages);
    pair
}
