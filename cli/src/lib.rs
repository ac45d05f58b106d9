//! The `entropo` command: what a person types, on top of the same libraries that the services use.
//!
//! A command is a module under [`commands`] with an `Args` (the flags, with their help) and a `run`. What commands
//! share is under [`input`] (files in) and [`output`] (tables, JSON, predictions, progress).

pub mod args;
pub mod commands;
pub mod examples;
pub mod exit;
pub mod input;
pub mod output;
pub mod remote;
pub mod service;
pub mod verifiers;

use std::process::ExitCode;

use clap::Parser;

/// The `entropo` command: parses the command line, runs what it says and turns its result into an exit code.
pub fn main() -> ExitCode {
    run(|command: args::Cli| commands::run(command))
}

/// The `entropo-admin` command, which is small enough for an image of its own: what an operator does to a database.
pub fn admin() -> ExitCode {
    run(|command: args::Admin| commands::administer(&command))
}

fn run<C: Parser>(command: impl FnOnce(C) -> anyhow::Result<()>) -> ExitCode {
    match C::try_parse() {
        Ok(parsed) => exit::report(command(parsed)),
        Err(error) => {
            // Help and version go to stdout with code 0, mistakes to stderr with code 2. A closed pipe is no failure.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE))
        }
    }
}
