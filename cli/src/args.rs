//! The command tree. Each command's own flags are with the command.

use clap::{Parser, Subcommand};

use crate::commands::{completions, eval, fit, inspect, select};

/// Picks the best of N coding-agent trajectories for an issue.
#[derive(Debug, Parser)]
#[command(name = "entropo", version, about, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Start with:
  entropo select runs/               the best candidate of every issue under runs/
  entropo inspect FILE               what a file holds

`entropo help COMMAND` has examples and the exit codes.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pick the best candidate of every issue in files or folders, or of a whole pool.
    #[command(after_help = select::EXAMPLES)]
    Select(select::Args),
    /// Measure every policy on labelled pools.
    #[command(after_help = eval::EXAMPLES)]
    Eval(eval::Args),
    /// Learn the ranker of the hybrid policy from labelled pools.
    #[command(after_help = fit::EXAMPLES)]
    Fit(fit::Args),
    /// Say what a file holds, in which format, and what would be stripped from it.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Args),
    /// Print a completion script for a shell.
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Args),
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
