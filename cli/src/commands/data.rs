//! `entropo data`: training data.

mod build;
mod inspect;
mod mark;
mod report;
mod sources;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};
use serde::de::DeserializeOwned;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo data build runs/ -o pairs.jsonl                 pairs by the paper's rules, and what was dropped\n  \
       entropo data build runs/ --kind kto -o kto.jsonl        every finished run with its label\n  \
       entropo data build --store --kind verifier -o v.jsonl   the labelled candidates of the store, by issue\n  \
       entropo data build --rows old.json --kind sft -o s.jsonl  rows of other trainers, as another kind\n  \
       entropo data inspect pairs.jsonl --model DIR            what is trained of the rows, marked"
);

/// Flags of `entropo data`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make rows of training data from labelled runs.
    #[command(after_help = build::EXAMPLES)]
    Build(Box<build::Args>),
    /// Show rows as tokens, with those marked that carry a loss.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Args),
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Build(args) => build::run(args),
        Command::Inspect(args) => inspect::run(args),
    }
}

/// Parses a name as configuration files spell it.
fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}
