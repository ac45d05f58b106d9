//! The service's configuration: the shared tables and its own.

use serde::{Deserialize, Serialize};
use server::config::{Auth, Database, Http, Limits, Log, Telemetry};

use crate::{models::ModelSettings, openai, pipeline::PipelineSettings};

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
    /// How much is scored at a time.
    pub scoring: PipelineSettings,
    /// Which models there are.
    pub models: ModelSettings,
    /// A model on an OpenAI-compatible server.
    pub openai: openai::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http: Http { bind: ([127, 0, 0, 1], 8082).into() },
            database: Database::at("sqlite://entropo-data/entropo.db"),
            auth: Auth::default(),
            limits: Limits::default(),
            log: Log::default(),
            telemetry: Telemetry::default(),
            scoring: PipelineSettings::default(),
            models: ModelSettings::default(),
            openai: openai::Settings::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use server::config::{Sources, load};

    use super::*;

    #[test]
    fn the_documented_file_holds_every_own_key_with_its_default() {
        let page = include_str!("../../../docs/configuration.md");
        let file = page.split("```toml\n").find(|block| block.starts_with("[scoring]")).unwrap();
        let (file, _) = file.split_once("```").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entropo.toml");
        std::fs::write(&path, file).unwrap();
        let sources = Sources { file: Some(path), ..Sources::default() };
        let loaded = load(&Settings::default(), &sources).unwrap();
        assert_eq!(loaded.config, Settings::default());
        let printed = loaded.to_toml();
        for table in ["scoring", "models"] {
            let (_, keys) = printed.split_once(&format!("[{table}]\n")).unwrap();
            for line in keys.lines().take_while(|line| !line.is_empty()) {
                let (key, value) = line.split_once(" = ").unwrap();
                assert!(!value.contains("# default"), "{table}.{key} is missing from the page's file");
                assert!(page.contains(&format!("| `{table}.{key}` |")), "the table lacks {table}.{key}");
            }
        }
    }
}
