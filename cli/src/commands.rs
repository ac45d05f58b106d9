//! The commands: one module each, with `Args`, `EXAMPLES` and `run`.

pub mod completions;
pub mod eval;
pub mod fit;
pub mod inspect;
pub mod select;

use crate::args::{Cli, Command};

/// Runs a parsed command line.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Select(args) => select::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Fit(args) => fit::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}
