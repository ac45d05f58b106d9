//! How to reach the server and what to ask of it.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use server::{
    ByteSize, Secret, Span,
    outgoing::{BreakerSettings, RetrySettings, Target},
};

use super::ConnectError;
use crate::calibration::Calibration;

/// `[openai]`: a model on an OpenAI-compatible server (vLLM, SGLang, TGI, llama.cpp).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The server's address, with or without `/v1` at its end; empty for none.
    pub url: String,
    /// The model by the server's name for it; empty when it serves a single one.
    pub model: String,
    /// The name that users of the verifier call it by; empty for the last part of the server's name.
    pub name: String,
    /// What is asked.
    pub mode: Mode,
    /// Sent as `Authorization: Bearer`.
    pub api_key: Secret,
    /// A file that holds it instead.
    pub api_key_file: String,
    /// Further headers, each `Name: value`.
    pub headers: Vec<Secret>,
    /// PEM file with certificates to trust beside the bundled ones.
    pub ca_file: String,
    /// The longest input in tokens; 0 for what the server says.
    pub max_tokens: usize,
    /// How the judge's answer is opened.
    pub prefill: Prefill,
    /// Which label means resolved, by its number; negative when the model has one only.
    pub label: i64,
    /// Whether heads answer with probabilities or with logits.
    pub output: Output,
    /// JSON object with further fields of every request, such as `{"chat_template_kwargs": {"enable_thinking": false}}`.
    pub extra_body: String,
    /// JSON file with a calibration fitted to outcomes; without one the probability is the logistic function of the logit.
    pub calibration: String,
    /// Names the model's exact contents when the server's own names do not.
    pub revision: String,
    /// Time for one request.
    pub timeout: Span,
    /// Time to open a connection.
    pub connect_timeout: Span,
    /// Requests at a time.
    pub concurrency: usize,
    /// Attempts after the first, within a budget of a fifth of all requests.
    pub retries: u32,
    /// Size of an answer.
    pub response: ByteSize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            model: String::new(),
            name: String::new(),
            mode: Mode::Judge,
            api_key: Secret::default(),
            api_key_file: String::new(),
            headers: Vec::new(),
            ca_file: String::new(),
            max_tokens: 0,
            prefill: Prefill::Auto,
            label: -1,
            output: Output::Probability,
            extra_body: String::new(),
            calibration: String::new(),
            revision: String::new(),
            timeout: Span::secs(120),
            connect_timeout: Span::secs(3),
            concurrency: 16,
            retries: 3,
            response: ByteSize::mib(4),
        }
    }
}

/// What is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// YES or NO, through chat completions with log-probabilities.
    #[default]
    Judge,
    /// The same through plain completions, for models without a chat template.
    Completions,
    /// The reward head behind `/classify`.
    Classify,
    /// The score of issue and trajectory as a pair, behind `/score`.
    Score,
    /// The same behind `/rerank`.
    Rerank,
}

impl Mode {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Completions => "completions",
            Self::Classify => "classify",
            Self::Score => "score",
            Self::Rerank => "rerank",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Judge, Self::Completions, Self::Classify, Self::Score, Self::Rerank];
        let found = all.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| format!("`{text}` is no mode; known are {}", all.map(Self::name).join(", ")))
    }
}

/// How the judge's answer is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefill {
    /// As the server can.
    #[default]
    Auto,
    /// The server continues a message that begins with `<judgement>` (vLLM, SGLang, llama.cpp).
    Always,
    /// The model writes `<judgement>` itself.
    Never,
}

/// What numbers a head answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Probabilities: the server applies the activation.
    #[default]
    Probability,
    /// Raw scores.
    Logit,
}

impl Settings {
    /// The server as a target of calls.
    pub(super) fn target(&self) -> Result<Target, ConnectError> {
        let mut token = self.api_key.clone();
        if !self.api_key_file.is_empty() {
            let path = PathBuf::from(&self.api_key_file);
            let read = std::fs::read_to_string(&path);
            token = Secret::new(read.map_err(|source| ConnectError::KeyFile { path, source })?.trim());
        }
        let mut headers = Vec::with_capacity(self.headers.len());
        for (at, header) in self.headers.iter().enumerate() {
            let (name, value) = header.expose().split_once(':').ok_or_else(|| ConnectError::Setting {
                key: format!("openai.headers[{at}]"),
                reason: "is not of the form `Name: value`".to_owned(),
            })?;
            headers.push((name.trim().to_owned(), Secret::new(value.trim())));
        }
        let url = self.url.trim().trim_end_matches('/');
        Ok(Target {
            token,
            headers,
            ca_file: (!self.ca_file.is_empty()).then(|| PathBuf::from(&self.ca_file)),
            connect_timeout: self.connect_timeout.0,
            timeout: self.timeout.0,
            concurrency: self.concurrency,
            response: self.response,
            retry: RetrySettings {
                retries: self.retries,
                base: Duration::from_millis(200),
                ..RetrySettings::default()
            },
            breaker: BreakerSettings::default(),
            ..Target::new("openai", url.strip_suffix("/v1").unwrap_or(url))
        })
    }

    /// The calibration, and its text for the revision.
    pub(super) fn calibration(&self) -> Result<Option<(Calibration, String)>, ConnectError> {
        if self.calibration.is_empty() {
            return Ok(None);
        }
        let bad = |reason: String| ConnectError::Setting {
            key: "openai.calibration".to_owned(),
            reason: format!("{}: {reason}", self.calibration),
        };
        let text = std::fs::read_to_string(&self.calibration).map_err(|error| bad(error.to_string()))?;
        let read = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        Ok(Some((read, text)))
    }

    /// The further fields of every request.
    pub(super) fn extra(&self) -> Result<serde_json::Map<String, serde_json::Value>, ConnectError> {
        if self.extra_body.trim().is_empty() {
            return Ok(serde_json::Map::new());
        }
        serde_json::from_str(&self.extra_body).map_err(|error| ConnectError::Setting {
            key: "openai.extra_body".to_owned(),
            reason: format!("is no JSON object: {error}"),
        })
    }
}
