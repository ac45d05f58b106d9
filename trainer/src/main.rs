//! `entropo-trainer`: the trainer service by itself, for deployment.

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
use server::{ProgramArgs, program};
use trainer::{
    engine::Native,
    http::{Settings, start},
};

// A step takes and gives back buffers of megabytes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains policies and verifiers over HTTP.
#[derive(Debug, Parser)]
#[command(name = "entropo-trainer", version, about)]
struct Args {
    #[command(flatten)]
    program: ProgramArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let start = async |settings: &Settings, stop| Ok(start(settings, Arc::new(Native), stop).await?.wait());
    program::run("entropo-trainer", Args::parse().program, start).await
}
