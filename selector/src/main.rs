//! `entropo-selector`: the selection service by itself, for deployment.

use std::process::ExitCode;

use clap::Parser;
use selector::http::{Settings, start};
use server::{ProgramArgs, program};

// Many threads parse and drop large strings.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves selections over HTTP.
#[derive(Debug, Parser)]
#[command(name = "entropo-selector", version, about)]
struct Args {
    #[command(flatten)]
    program: ProgramArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let start = async |settings: &Settings, stop| Ok(start(settings, None, stop).await?.wait());
    program::run("entropo-selector", Args::parse().program, start).await
}
