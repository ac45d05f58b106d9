//! The flags that every service has.

use std::path::PathBuf;

use clap::Args;

use super::Override;

/// Configuration flags; they win over `ENTROPO_*` variables, which win over the TOML file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    /// TOML file; `entropo.toml` in the current folder is read when it is there
    #[arg(long, env = "ENTROPO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on [key http.bind, variable ENTROPO_HTTP_BIND]
    #[arg(long, value_name = "ADDR:PORT")]
    pub bind: Option<String>,
    /// `sqlite://PATH`, `sqlite::memory:` or `postgres://…` [key database.url, variable ENTROPO_DATABASE_URL]
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Whether requests need a token: auto, off or required [key auth.mode, variable ENTROPO_AUTH_MODE]
    #[arg(long, value_name = "MODE")]
    pub auth: Option<String>,
    /// auto, text or json [key log.format, variable ENTROPO_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Level or directives such as `info,sqlx=warn` [key log.level, variable ENTROPO_LOG_LEVEL]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Any other key, such as `limits.concurrency=64`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the configuration that results, with the source of each value and secrets hidden, and stop
    #[arg(long)]
    pub print_config: bool,
}

impl ConfigArgs {
    /// The values given as flags; later ones win.
    pub fn overrides(&self) -> Vec<Override> {
        let named = [
            ("http.bind", "--bind", &self.bind),
            ("database.url", "--database", &self.database),
            ("auth.mode", "--auth", &self.auth),
            ("log.format", "--log-format", &self.log_format),
            ("log.level", "--log-level", &self.log_level),
        ];
        let set = self.set.iter().map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Override {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                origin: format!("--set {key}"),
            }
        });
        named
            .into_iter()
            .filter_map(|(key, flag, value)| {
                let value = value.clone()?;
                Some(Override { key: key.to_owned(), value, origin: flag.to_owned() })
            })
            .chain(set)
            .collect()
    }
}
