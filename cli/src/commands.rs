//! The commands: one module each, with `Args`, `EXAMPLES` and `run`.

pub mod bench;
pub mod calibrate;
pub mod completions;
pub mod data;
pub mod demo;
pub mod eval;
pub mod export;
pub mod fit;
pub mod generate;
pub mod ingest;
pub mod inspect;
pub mod merge;
pub mod migrate;
pub mod score;
pub mod select;
pub mod serve;
pub mod test_results;
pub mod token;
pub mod train;
pub mod up;

use crate::args::{Admin, AdminCommand, Cli, Command};

/// Runs a parsed command line.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Bench(args) => bench::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Ingest(args) => ingest::run(&args),
        Command::Up(args) => up::run(&args),
        Command::Serve(args) => serve::run(args),
        Command::Migrate(args) => migrate::run(&args),
        Command::Tests(args) => test_results::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Select(args) => select::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Data(args) => data::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Fit(args) => fit::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// Runs a parsed command line of `entropo-admin`.
pub(crate) fn administer(admin: &Admin) -> anyhow::Result<()> {
    match &admin.command {
        AdminCommand::Migrate(args) => migrate::run(args),
        AdminCommand::Token(args) => token::run(args),
    }
}
