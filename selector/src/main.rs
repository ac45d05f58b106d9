//! `entropo-selector`: the selection service by itself, for deployment.

use clap::Parser;
use selector::http::{Settings, start};
use server::{
    ConfigArgs,
    config::{Sources, load},
    serve::stop_signal,
    telemetry,
};
use tokio_util::sync::CancellationToken;

/// Serves selections over HTTP.
#[derive(Debug, Parser)]
#[command(name = "entropo-selector", version, about)]
struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let loaded = load(&Settings::default(), &Sources::process(&args.config))?;
    if args.config.print_config {
        use std::io::Write as _;
        std::io::stdout().write_all(loaded.to_toml().as_bytes())?;
        return Ok(());
    }
    let settings = loaded.config;
    telemetry::init(&settings.log)?;
    let stop = CancellationToken::new();
    let running = start(&settings, None, stop.clone()).await?;
    tokio::spawn(async move {
        stop_signal().await;
        stop.cancel();
    });
    running.wait().await?;
    Ok(())
}
