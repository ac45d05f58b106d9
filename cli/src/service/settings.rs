//! The configuration of all services in one: a file may hold the keys of any of them, whichever is started.

use std::net::SocketAddr;

use selector::http::{SelectionSettings, VerifierSettings};
use serde::{Deserialize, Serialize};
use server::config::{Auth, Database, Http, Limits, Log, Telemetry};
use trainer::service::TrainerSettings;
use verifier::{models::ModelSettings, openai, pipeline::PipelineSettings};

/// Everything that can be configured; docs/configuration.md lists the keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the service listens; under `entropo up` the selector.
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
    /// Who scores candidates for the selector.
    pub verifier: VerifierSettings,
    /// How much the verifier scores at a time.
    pub scoring: PipelineSettings,
    /// The verifier's models.
    pub models: ModelSettings,
    /// A model on an OpenAI-compatible server.
    pub openai: openai::Settings,
    /// What runs of the trainer may read and where they write.
    pub trainer: TrainerSettings,
    /// How the services stand together.
    pub up: Up,
}

/// `[up]`: what `entropo up` starts besides the selector.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Up {
    /// Address of the verifier; empty for the selector's with the port plus two, `off` for no verifier.
    pub verifier: String,
    /// Address of the trainer; empty for the selector's with the port plus one, `off` for no trainer.
    pub trainer: String,
}

impl Default for Settings {
    fn default() -> Self {
        let selector = selector::http::Settings::default();
        let verifier = verifier::http::Settings::default();
        Self {
            http: selector.http,
            database: selector.database,
            auth: selector.auth,
            limits: selector.limits,
            log: selector.log,
            telemetry: selector.telemetry,
            selection: selector.selection,
            verifier: selector.verifier,
            scoring: verifier.scoring,
            models: verifier.models,
            openai: verifier.openai,
            trainer: TrainerSettings::default(),
            up: Up::default(),
        }
    }
}

impl Settings {
    /// The defaults of `entropo serve verifier`.
    pub fn of_verifier() -> Self {
        Self { http: verifier::http::Settings::default().http, ..Self::default() }
    }

    /// The defaults of `entropo serve trainer`.
    pub fn of_trainer() -> Self {
        Self { http: trainer::http::Settings::default().http, ..Self::default() }
    }

    /// The selector's part.
    pub fn selector(&self) -> selector::http::Settings {
        selector::http::Settings {
            http: self.http.clone(),
            database: self.database.clone(),
            auth: self.auth.clone(),
            limits: self.limits.clone(),
            log: self.log.clone(),
            telemetry: self.telemetry.clone(),
            selection: self.selection.clone(),
            verifier: self.verifier.clone(),
        }
    }

    /// The verifier's part.
    pub fn verifier(&self) -> verifier::http::Settings {
        verifier::http::Settings {
            http: self.http.clone(),
            database: self.database.clone(),
            auth: self.auth.clone(),
            limits: self.limits.clone(),
            log: self.log.clone(),
            telemetry: self.telemetry.clone(),
            scoring: self.scoring.clone(),
            models: self.models.clone(),
            openai: self.openai.clone(),
        }
    }

    /// The trainer's part.
    pub fn trainer(&self) -> trainer::http::Settings {
        trainer::http::Settings {
            http: self.http.clone(),
            database: self.database.clone(),
            auth: self.auth.clone(),
            limits: self.limits.clone(),
            log: self.log.clone(),
            telemetry: self.telemetry.clone(),
            trainer: self.trainer.clone(),
        }
    }

    /// Where the verifier listens under `entropo up`; `None` when there is to be none.
    pub fn verifier_beside(&self) -> Result<Option<SocketAddr>, String> {
        self.beside("up.verifier", &self.up.verifier, 2)
    }

    /// Where the trainer listens under `entropo up`; `None` when there is to be none.
    pub fn trainer_beside(&self) -> Result<Option<SocketAddr>, String> {
        self.beside("up.trainer", &self.up.trainer, 1)
    }

    fn beside(&self, key: &str, given: &str, offset: u16) -> Result<Option<SocketAddr>, String> {
        let beside = self.http.bind;
        match given {
            "off" => Ok(None),
            // Port 0 takes any free one, for all.
            "" if beside.port() == 0 => Ok(Some(beside)),
            "" => match beside.port().checked_add(offset) {
                Some(port) => Ok(Some(SocketAddr::new(beside.ip(), port))),
                None => Err(format!("{key}: there is no port {offset} above that of http.bind; name an address")),
            },
            given => given.parse().map(Some).map_err(|_| {
                format!("{key}: `{given}` is no address such as `127.0.0.1:8082`; leave it empty, or `off` for none")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use server::config::{Sources, load};

    use super::*;

    /// The page's files: what they say is the default, no key is missing, and tables have them all.
    #[test]
    fn the_documented_files_hold_every_key_with_its_default() {
        let page = include_str!("../../../docs/configuration.md");
        let rows: Vec<&str> = [page, include_str!("../../../docs/verifier-openai.md")]
            .into_iter()
            .flat_map(str::lines)
            .filter(|line| line.starts_with("| `"))
            .collect();
        let files: String =
            page.split("```toml\n").skip(1).filter_map(|block| Some(block.split_once("```")?.0)).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entropo.toml");
        std::fs::write(&path, files).unwrap();
        let sources = Sources { file: Some(path), ..Sources::default() };
        let loaded = load(&Settings::default(), &sources).unwrap();
        assert_eq!(loaded.config, Settings::default());
        let (printed, mut table) = (loaded.to_toml(), "");
        for line in printed.lines() {
            if let Some(name) = line.strip_prefix('[') {
                table = name.trim_end_matches(']');
            }
            let Some((key, value)) = line.split_once(" = ") else { continue };
            let name = format!("`{table}.{key}`");
            assert!(rows.iter().any(|row| row.contains(&name)), "no table has {name}");
            // What stands beside the three services has no file.
            let documented = ["openai", "up"].contains(&table) || !value.contains("# default");
            assert!(documented, "{table}.{key} is missing from the page's files");
        }
    }

    #[test]
    fn the_others_listen_beside_the_selector() {
        let beside = |bind: &str, up: &str| {
            let http = Http { bind: bind.parse().unwrap() };
            let up = Up { verifier: up.to_owned(), trainer: up.to_owned() };
            let settings = Settings { http, up, ..Settings::default() };
            (settings.verifier_beside(), settings.trainer_beside())
        };
        let at = |addr: &str| Ok(Some(addr.parse().unwrap()));
        assert_eq!(beside("127.0.0.1:8080", ""), (at("127.0.0.1:8082"), at("127.0.0.1:8081")));
        assert_eq!(beside("127.0.0.1:0", ""), (at("127.0.0.1:0"), at("127.0.0.1:0")));
        assert_eq!(beside("0.0.0.0:80", "127.0.0.1:9").0, at("127.0.0.1:9"));
        assert_eq!(beside("0.0.0.0:80", "off"), (Ok(None), Ok(None)));
        assert!(beside("127.0.0.1:65535", "").1.is_err() && beside("127.0.0.1:1", "here").0.is_err());
        assert_eq!(Settings::of_trainer().http.bind.port(), 8081);
        assert_eq!(Settings::of_verifier().http.bind.port(), 8082);
    }
}
