//! A service as a program of its own: configuration, telemetry, start, and stop when it is asked to.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use tokio_util::sync::CancellationToken;

use crate::{
    ConfigArgs,
    config::{Settings, Sources, load},
    health,
    launch::StartError,
    serve::stop_signal,
    telemetry,
};

/// The flags of a service's program.
#[derive(Debug, clap::Args)]
pub struct ProgramArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask the service that runs on this machine with this configuration whether it is ready, and stop: 0 when it is
    #[arg(long)]
    health: bool,
}

/// Runs a service until the process is asked to stop; `start` gives what to wait for after the token is cancelled.
/// What goes wrong is one line on the standard error, after `name`.
pub async fn run<S: Settings, W: Future<Output = io::Result<()>>>(
    name: &'static str,
    args: ProgramArgs,
    start: impl AsyncFnOnce(&S, CancellationToken) -> Result<W, StartError>,
) -> ExitCode {
    match try_run(name, &args, start).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: a stack says nothing to whoever mistyped a key.
            let _ = writeln!(io::stderr(), "{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn try_run<S: Settings, W: Future<Output = io::Result<()>>>(
    name: &'static str,
    args: &ProgramArgs,
    start: impl AsyncFnOnce(&S, CancellationToken) -> Result<W, StartError>,
) -> anyhow::Result<()> {
    let loaded = load(&S::default(), &Sources::process(&args.config))?;
    if args.config.print_config {
        io::stdout().write_all(loaded.to_toml().as_bytes())?;
        return Ok(());
    }
    let settings = loaded.config;
    let shared = settings.shared();
    if args.health {
        writeln!(io::stdout(), "{}", health::ask(shared.http.bind)?)?;
        return Ok(());
    }
    telemetry::init(shared.log, shared.telemetry, name)?;
    let stop = CancellationToken::new();
    let running = start(&settings, stop.clone()).await?;
    tokio::spawn(async move {
        stop_signal().await;
        stop.cancel();
    });
    let ended = running.await;
    telemetry::shutdown().await;
    Ok(ended?)
}
