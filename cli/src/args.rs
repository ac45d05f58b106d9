//! The command tree. Each command's own flags are with the command.

use clap::{Parser, Subcommand};

use crate::commands::{
    bench, calibrate, completions, data, demo, eval, export, fit, generate, ingest, inspect, merge, migrate,
    score, select, serve, test_results, token, train, up,
};

/// Picks, of the trajectories that coding agents left for an issue, the one most likely to resolve it.
#[derive(Debug, Parser)]
#[command(name = "entropo", bin_name = "entropo", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Start with:
  entropo demo                       the bundled example set, end to end
  entropo select runs/               the best candidate of every issue under runs/
  entropo inspect FILE               what a file holds

`entropo help COMMAND` has examples and the exit codes.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the system on SQLite and pick the best of the bundled example set.
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::Args),
    /// Pick the best candidate of every issue in files or folders, or of a whole pool.
    #[command(after_help = select::EXAMPLES)]
    Select(select::Args),
    /// Say how likely trajectories resolve their issues, and why; or score rows of tokens and texts.
    #[command(after_help = score::EXAMPLES)]
    Score(score::Args),
    /// Measure every policy on labelled pools.
    #[command(after_help = eval::EXAMPLES)]
    Eval(eval::Args),
    /// Learn the ranker of the hybrid policy, or the built-in verifier, from labelled pools.
    #[command(after_help = fit::EXAMPLES)]
    Fit(fit::Args),
    /// Fit the probabilities of a verifier to outcomes.
    #[command(after_help = calibrate::EXAMPLES)]
    Calibrate(calibrate::Args),
    /// Train a policy or a verifier.
    #[command(after_help = train::EXAMPLES)]
    Train(train::Args),
    /// Write a checkpoint as a model folder that others load.
    #[command(after_help = export::EXAMPLES)]
    Export(export::Args),
    /// Merge adapters into the model that they are for.
    #[command(after_help = merge::EXAMPLES)]
    Merge(merge::Args),
    /// Let a model or a checkpoint continue conversations and texts.
    #[command(after_help = generate::EXAMPLES)]
    Generate(generate::Args),
    /// Say what a file holds, in which format, and what would be stripped from it.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Args),
    /// Make rows of training data from labelled runs, and show what of them is trained.
    #[command(after_help = data::EXAMPLES)]
    Data(data::Args),
    /// Store candidates and their outcomes without selecting.
    #[command(after_help = ingest::EXAMPLES)]
    Ingest(ingest::Args),
    /// Turn logs of test runners and JUnit reports into rows of test evidence.
    #[command(after_help = test_results::EXAMPLES)]
    Tests(test_results::Args),
    /// Run every service in one process.
    #[command(after_help = up::EXAMPLES)]
    Up(up::Args),
    /// Run one service.
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::Args),
    /// Bring the database's tables up to date.
    #[command(after_help = migrate::EXAMPLES)]
    Migrate(migrate::Args),
    /// Make, list and revoke API tokens.
    #[command(after_help = token::EXAMPLES)]
    Token(token::Args),
    /// Measure speed and memory, in this process and over HTTP.
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::Args),
    /// Print a completion script for a shell.
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Args),
}

/// What an operator does to a database: the commands `migrate` and `token` of `entropo`, without the rest.
#[derive(Debug, Parser)]
#[command(name = "entropo-admin", version, max_term_width = 100)]
pub struct Admin {
    /// What to do.
    #[command(subcommand)]
    pub command: AdminCommand,
}

/// What to do to a database.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Bring the database's tables up to date.
    Migrate(migrate::Args),
    /// Make, list, rotate and revoke API tokens.
    Token(token::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_exit_codes() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{} has no examples", command.get_name());
            assert!(help.contains("Exit codes:"), "{} does not document its exit codes", command.get_name());
            assert!(help.contains(&format!("entropo {}", command.get_name())), "{}", command.get_name());
        }
    }
}
