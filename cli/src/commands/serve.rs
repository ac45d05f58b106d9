//! `entropo serve`: one service, as it would be deployed.

use anyhow::Result;
use server::ConfigArgs;

use crate::output::progress::say;
use crate::service::{self, Settings};

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo serve selector --database postgres://me@db/entropo --bind 0.0.0.0:8080\n  \
       entropo serve selector --config /etc/entropo.toml\n  \
       entropo serve trainer --set trainer.data_roots=/data --set trainer.model_roots=/models\n  \
       entropo serve verifier --bind 0.0.0.0:8082\n  \
       entropo serve verifier --set openai.url=http://gpu:8000 --set models.active=openai"
);

/// Flags of `entropo serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which service
    #[command(subcommand)]
    pub service: Service,
}

/// The services.
#[derive(Debug, clap::Subcommand)]
pub enum Service {
    /// Picks the best of N candidates over HTTP, and serves the web page.
    Selector {
        /// Its configuration
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Trains policies and verifiers over HTTP.
    Trainer {
        /// Its configuration
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Scores candidates over HTTP with a learned verifier.
    Verifier {
        /// Its configuration
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Runs until the process is asked to end.
pub fn run(args: Args) -> Result<()> {
    match args.service {
        Service::Selector { config } => selector(&config),
        Service::Trainer { config } => trainer(&config),
        Service::Verifier { config } => verifier(&config),
    }
}

fn selector(config: &ConfigArgs) -> Result<()> {
    let Some(settings) = service::settings(config, &Settings::default())? else { return Ok(()) };
    service::run(async {
        let running = service::start_selector(&settings, None, service::until_asked()).await?;
        let (url, database) = (service::url(running.addr), settings.database.redacted());
        say(&format!("selector at {url} on {database}; Ctrl-C stops it"));
        Ok(running.wait().await?)
    })
}

fn trainer(config: &ConfigArgs) -> Result<()> {
    let Some(settings) = service::settings(config, &Settings::of_trainer())? else { return Ok(()) };
    service::run(async {
        let running = service::start_trainer(&settings, service::until_asked()).await?;
        let (url, workers) = (service::url(running.addr), settings.trainer.workers);
        say(&format!("trainer at {url} with {workers} workers; Ctrl-C stops it"));
        Ok(running.wait().await?)
    })
}

fn verifier(config: &ConfigArgs) -> Result<()> {
    let Some(settings) = service::settings(config, &Settings::of_verifier())? else { return Ok(()) };
    service::run(async {
        let running = service::start_verifier(&settings, service::until_asked()).await?;
        let (url, model) =
            (service::url(running.addr), running.service.registry.table().aliases.active.clone());
        say(&format!("verifier at {url} with the model `{model}`; Ctrl-C stops it"));
        Ok(running.wait().await?)
    })
}
