//! Faults, put into real processes of the services over loopback, and what then holds. `docs/chaos.md` says more.
//!
//! `tests/chaos.sh` builds what is needed, starts a throwaway PostgreSQL and runs this.

mod connections;
mod database;
mod disk;
mod http;
mod kills;
mod ledger;
mod load;
mod mock;
mod overload;
mod place;
mod postgres;
mod process;
mod random;
mod report;
mod soak;
mod terminate;
mod training;
mod verifier;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use crate::place::{Context, Database};
use crate::report::Table;

/// Injects faults into real processes of EntroPO's services and says what held.
#[derive(Debug, Parser)]
#[command(after_help = SCENARIOS)]
struct Args {
    /// Scenarios; all but the soak when none is named
    scenarios: Vec<String>,
    /// Fewer faults and seconds; what depends on the machine's speed is shown and does not count
    #[arg(long)]
    quick: bool,
    /// How often a process is killed
    #[arg(long, value_name = "N")]
    kills: Option<usize>,
    /// How long the soak runs
    #[arg(long, value_name = "N", default_value_t = 30.0)]
    minutes: f64,
    /// How long PostgreSQL is stopped
    #[arg(long, value_name = "SECONDS")]
    outage: Option<u64>,
    /// Slow and half-open connections
    #[arg(long, value_name = "N")]
    connections: Option<usize>,
    /// Selections a second of the soak; 70 % of the measured peak when left out
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// What the services keep their records in: `sqlite` or `postgres` (needs DATABASE_URL); both when left out, where a
    /// scenario makes a difference between them
    #[arg(long, value_name = "NAME")]
    database: Option<Database>,
    /// The `entropo` program; beside this one when left out
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the moments of the faults come from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Keep the services' folders with their logs
    #[arg(long)]
    keep: bool,
}

const SCENARIOS: &str =
    "Scenarios: kills, database, verifier, training, disk, overload, connections, terminate, soak";

/// In the order in which they are run.
const ALL: [&str; 8] =
    ["verifier", "terminate", "kills", "database", "training", "disk", "connections", "overload"];

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            report::say(&format!("chaos: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<bool> {
    let chosen: Vec<String> =
        if args.scenarios.is_empty() { ALL.map(str::to_owned).to_vec() } else { args.scenarios.clone() };
    for name in &chosen {
        if name != "soak" && !ALL.contains(&name.as_str()) {
            bail!("there is no scenario `{name}`; {SCENARIOS}");
        }
    }
    let quick = args.quick;
    let context = Context {
        program: place::program(args.program)?,
        postgres: postgres::Postgres::from_environment(),
        database: args.database,
        quick,
        kills: args.kills.unwrap_or(if quick { 12 } else { 200 }),
        soak: Duration::from_secs_f64(args.minutes * 60.0),
        outage: Duration::from_secs(args.outage.unwrap_or(if quick { 3 } else { 30 })),
        connections: args.connections.unwrap_or(if quick { 1500 } else { 10_000 }),
        rate: args.rate,
        seed: args.seed,
        folder: place::Folder::new(args.keep)?,
    };
    if args.database == Some(Database::Postgres) && context.postgres.is_none() {
        bail!("--database postgres needs DATABASE_URL; tests/chaos.sh starts a server and sets it");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let mut table = Table::new(quick);
    for name in &chosen {
        report::say(&format!("chaos: {name}"));
        let ended = runtime.block_on(async {
            match name.as_str() {
                "kills" => kills::run(&context, &mut table).await,
                "database" => database::run(&context, &mut table).await,
                "verifier" => verifier::run(&context, &mut table).await,
                "training" => training::run(&context, &mut table).await,
                "disk" => disk::run(&context, &mut table).await,
                "overload" => overload::run(&context, &mut table).await,
                "connections" => connections::run(&context, &mut table).await,
                "terminate" => terminate::run(&context, &mut table).await,
                _ => soak::run(&context, &mut table).await,
            }
        });
        if let Err(error) = ended {
            table.failed(name, &format!("{error:#}"));
        }
    }
    table.print(args.json)?;
    if !table.holds() {
        context.folder.keep();
    }
    Ok(table.holds())
}
