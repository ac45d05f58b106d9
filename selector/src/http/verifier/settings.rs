//! Which verifier to ask, and how patiently.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use server::{
    ByteSize, Secret, Span,
    outgoing::{BreakerSettings, RetrySettings, Target},
};

use super::ConfigureError;

/// `[verifier]`: the service that scores candidates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifierSettings {
    /// Its address; empty for none.
    pub url: String,
    /// Name or alias of the model to ask for; empty for the active one.
    pub model: String,
    /// API token for it.
    pub token: Secret,
    /// A file that holds the token instead.
    pub token_file: String,
    /// PEM file with certificates to trust beside the bundled ones.
    pub ca_file: String,
    /// How long it may take altogether; then the selection goes on without it and says so.
    pub deadline: Span,
    /// Time to open a connection.
    pub connect_timeout: Span,
    /// Requests at a time, over all selections.
    pub concurrency: usize,
    /// Attempts after the first, as far as the deadline and a budget of a fifth of all requests allow.
    pub retries: u32,
    /// Size of one request; a larger pool is cut into several.
    pub request: ByteSize,
    /// Size of one answer.
    pub response: ByteSize,
    /// Failures in a row after which it is left alone for a while; 0 for never.
    pub failures: u32,
    /// How long it is left alone the first time; doubled each time it still does not answer, up to half a minute.
    pub pause: Span,
}

impl Default for VerifierSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            model: String::new(),
            token: Secret::default(),
            token_file: String::new(),
            ca_file: String::new(),
            deadline: Span::secs(20),
            connect_timeout: Span::secs(2),
            concurrency: 16,
            retries: 2,
            request: ByteSize::mib(32),
            response: ByteSize::mib(16),
            failures: 5,
            pause: Span::secs(1),
        }
    }
}

impl VerifierSettings {
    /// The service as a target of calls.
    pub(super) fn target(&self) -> Result<Target, ConfigureError> {
        let mut token = self.token.clone();
        if !self.token_file.is_empty() {
            let path = PathBuf::from(&self.token_file);
            let read = std::fs::read_to_string(&path);
            token = Secret::new(read.map_err(|source| ConfigureError::TokenFile { path, source })?.trim());
        }
        Ok(Target {
            token,
            ca_file: (!self.ca_file.is_empty()).then(|| PathBuf::from(&self.ca_file)),
            connect_timeout: self.connect_timeout.0,
            timeout: self.deadline.0,
            concurrency: self.concurrency,
            response: self.response,
            retry: RetrySettings { retries: self.retries, ..RetrySettings::default() },
            breaker: BreakerSettings {
                failures: self.failures,
                open_for: self.pause.0,
                ..BreakerSettings::default()
            },
            ..Target::new("verifier", self.url.trim())
        })
    }
}
