//! `entropo-verifier`: the verifier service by itself, for deployment.

use std::{io::Write as _, process::ExitCode};

use clap::Parser;
use server::{
    ConfigArgs,
    config::{Sources, load},
    health,
    serve::stop_signal,
    telemetry,
};
use tokio_util::sync::CancellationToken;
use verifier::http::{Settings, start};

// A model's passes take and give back buffers of megabytes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Scores trajectories over HTTP.
#[derive(Debug, Parser)]
#[command(name = "entropo-verifier", version, about)]
struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask the service that runs on this machine with this configuration whether it is ready, and stop: 0 when it is
    #[arg(long)]
    health: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: a stack says nothing to whoever mistyped a key.
            let _ = writeln!(std::io::stderr(), "entropo-verifier: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let loaded = load(&Settings::default(), &Sources::process(&args.config))?;
    if args.config.print_config {
        std::io::stdout().write_all(loaded.to_toml().as_bytes())?;
        return Ok(());
    }
    let settings = loaded.config;
    if args.health {
        writeln!(std::io::stdout(), "{}", health::ask(settings.http.bind)?)?;
        return Ok(());
    }
    telemetry::init(&settings.log, &settings.telemetry, "entropo-verifier")?;
    let stop = CancellationToken::new();
    let running = start(&settings, stop.clone()).await?;
    tokio::spawn(async move {
        stop_signal().await;
        stop.cancel();
    });
    let ended = running.wait().await;
    telemetry::shutdown().await;
    Ok(ended?)
}
