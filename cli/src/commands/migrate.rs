//! `entropo migrate`: the database's tables.

use std::io::Write;

use anyhow::{Context, Result};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use server::ConfigArgs;
use store::{ConnectOptions, Migration, MigrationState, OnPending, connect};

use crate::service::{self, Settings};

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo migrate                                        SQLite in ./entropo-data\n  \
       entropo migrate --database postgres://me@localhost/entropo\n  \
       entropo migrate --status                               only say what is applied"
);

/// Flags of `entropo migrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Change nothing; list the migrations and whether they are applied
    #[arg(long)]
    pub status: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub config: ConfigArgs,
}

/// Applies what is missing, or lists.
pub fn run(args: &Args) -> Result<()> {
    let Some(settings) = service::settings(&args.config, &Settings::default())? else { return Ok(()) };
    let states = service::runtime()?.block_on(async {
        let options = ConnectOptions { on_pending: OnPending::Ignore, ..ConnectOptions::default() };
        let store = connect(&settings.database.address()?, &options)
            .await
            .with_context(|| format!("cannot open the database {}", settings.database.redacted()))?;
        let states = if args.status { store.migrations().await } else { store.migrate().await };
        store.close().await;
        states.context("cannot migrate")
    })?;
    Ok(std::io::stdout().lock().write_all(list(&states).as_bytes())?)
}

fn list(states: &[MigrationState]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["migration", "what", "state"]);
    for migration in states {
        let state = match migration.state {
            Migration::Pending => "pending",
            Migration::Applied => "applied",
            Migration::Changed => "applied with another text: made by a different build",
            Migration::Unknown => "applied and unknown here: made by a newer version",
        };
        table.add_row([&migration.version.to_string(), migration.description.as_str(), state]);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_said() {
        let state =
            |version, state| MigrationState { version, description: format!("step {version}"), state };
        let text =
            list(&[state(1, Migration::Applied), state(2, Migration::Pending), state(9, Migration::Unknown)]);
        for part in ["step 1", "applied", "pending", "newer version"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
