//! The service's configuration: the shared tables and its own.

use serde::{Deserialize, Serialize};
use server::config::{Auth, Database, Http, Limits, Log, Shared, Telemetry};

use crate::service::TrainerSettings;

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
    /// What runs may read and where they write.
    pub trainer: TrainerSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: Http { bind: ([127, 0, 0, 1], 8081).into() },
            database: Database::at("sqlite://entropo-data/entropo.db"),
            auth: Auth::default(),
            limits: Limits::default(),
            log: Log::default(),
            telemetry: Telemetry::default(),
            trainer: TrainerSettings::default(),
        }
    }
}

impl server::config::Settings for Settings {
    fn shared(&self) -> Shared<'_> {
        let Self { http, database, auth, limits, log, telemetry, .. } = self;
        Shared { http, database, auth, limits, log, telemetry }
    }
}
