//! The service's configuration: the shared tables and its own.

use serde::{Deserialize, Serialize};
use server::{
    ByteSize, Span,
    config::{Auth, Database, Http, Limits, Log, Shared, Telemetry},
    intake::IntakeLimits,
};

use super::VerifierSettings;

/// Everything that can be configured; docs/configuration.md lists the keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the service listens.
    pub http: Http,
    /// Where the records are.
    pub database: Database,
    /// Who may call.
    pub auth: Auth,
    /// What a request may cost.
    pub limits: Limits,
    /// What is logged.
    pub log: Log,
    /// Where traces go.
    pub telemetry: Telemetry,
    /// What a selection may cost.
    pub selection: SelectionSettings,
    /// Who scores candidates.
    pub verifier: VerifierSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: Http { bind: ([127, 0, 0, 1], 8080).into() },
            database: Database::at("sqlite://entropo-data/entropo.db"),
            auth: Auth::default(),
            limits: Limits::default(),
            log: Log::default(),
            telemetry: Telemetry::default(),
            selection: SelectionSettings::default(),
            verifier: VerifierSettings::default(),
        }
    }
}

impl server::config::Settings for Settings {
    fn shared(&self) -> Shared<'_> {
        let Self { http, database, auth, limits, log, telemetry, .. } = self;
        Shared { http, database, auth, limits, log, telemetry }
    }
}

/// `[selection]`: bounds on a selection and how it is worked on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionSettings {
    /// Candidates in one request.
    pub candidates: usize,
    /// Size of one patch.
    pub patch: ByteSize,
    /// Turns of one trajectory.
    pub turns: usize,
    /// Test results in one request, over all runs.
    pub test_results: usize,
    /// Selections computed at a time; 0 for the number of cores.
    pub workers: usize,
    /// How long the answer to an idempotent request is kept.
    pub idempotency_ttl: Span,
}

impl SelectionSettings {
    /// The bounds on what a request brings.
    pub(super) fn intake(&self) -> IntakeLimits {
        IntakeLimits {
            candidates: self.candidates,
            patch: self.patch,
            turns: self.turns,
            test_results: self.test_results,
        }
    }
}

impl Default for SelectionSettings {
    fn default() -> Self {
        Self {
            candidates: 1024,
            patch: ByteSize::mib(4),
            turns: 10_000,
            test_results: 1_000_000,
            workers: 0,
            idempotency_ttl: Span::secs(24 * 3600),
        }
    }
}
