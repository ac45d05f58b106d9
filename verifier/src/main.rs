//! `entropo-verifier`: the verifier service by itself, for deployment.

use std::process::ExitCode;

use clap::Parser;
use server::{ProgramArgs, program};
use verifier::http::{Settings, start};

// A model's passes take and give back buffers of megabytes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Scores trajectories over HTTP.
#[derive(Debug, Parser)]
#[command(name = "entropo-verifier", version, about)]
struct Args {
    #[command(flatten)]
    program: ProgramArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let start = async |settings: &Settings, stop| Ok(start(settings, stop).await?.wait());
    program::run("entropo-verifier", Args::parse().program, start).await
}
