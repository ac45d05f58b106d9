//! `entropo serve`: one service, as it would be deployed.

use anyhow::Result;
use server::ConfigArgs;

use super::up;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo serve selector --database postgres://me@db/entropo --bind 0.0.0.0:8080\n  \
       entropo serve selector --config /etc/entropo.toml"
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
}

/// Runs until the process is asked to end.
pub fn run(args: Args) -> Result<()> {
    match args.service {
        // As long as the selector is the only service, `up` runs nothing else.
        Service::Selector { config } => up::run(&up::Args { config }),
    }
}
