//! The service's configuration: the shared tables and its own.

use serde::{Deserialize, Serialize};
use server::config::{Auth, Database, Http, Limits, Log, Telemetry};

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

#[cfg(test)]
mod tests {
    use server::config::{Sources, load};

    use super::*;

    #[test]
    fn the_documented_file_holds_every_own_key_with_its_default() {
        let page = include_str!("../../../docs/configuration.md");
        let file = page.split("```toml\n").find(|block| block.starts_with("[trainer]")).expect("a file");
        let (file, _) = file.split_once("```").expect("an end");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("entropo.toml");
        std::fs::write(&path, file).expect("written");
        let sources = Sources { file: Some(path), ..Sources::default() };
        let loaded = load(&Settings::default(), &sources).expect("loads");
        assert_eq!(loaded.config, Settings::default());
        let printed = loaded.to_toml();
        let (_, keys) = printed.split_once("[trainer]\n").expect("the table");
        for line in keys.lines().take_while(|line| !line.is_empty()) {
            let (key, value) = line.split_once(" = ").expect("a key");
            assert!(!value.contains("# default"), "trainer.{key} is missing from the page's file");
            assert!(page.contains(&format!("| `trainer.{key}` |")), "the table lacks trainer.{key}");
        }
    }
}
