//! `entropo bench`: speed and memory, in this process, over HTTP and beside plain Python.

mod data;
mod in_process;
mod over_http;
mod process;
mod python;
mod stats;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;

use crate::output::progress::say;
use crate::service;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  cargo run --release -p cli -- bench                    on made-up patches\n  \
       entropo bench --pool verified-leaderboard.jsonl.xz --trajectories trajectories.tar.xz\n  \
       DATABASE_URL=postgres://… entropo bench                PostgreSQL as well as SQLite\n  \
       entropo bench --quick                                  a tenth of the work, to see that it runs"
);

/// Flags of `entropo bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Patches to work on: a pool; made-up ones when left out
    #[arg(long, value_name = "FILE")]
    pub pool: Option<PathBuf>,
    /// Trajectories to post: a tar archive; made-up ones when left out
    #[arg(long, value_name = "FILE")]
    pub trajectories: Option<PathBuf>,
    /// A tenth of the work
    #[arg(long)]
    pub quick: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// One measured figure.
#[derive(Debug, Clone, Serialize)]
struct Figure {
    /// What was measured.
    what: String,
    /// The figure.
    value: f64,
    /// Its unit.
    unit: &'static str,
    /// What it should be; empty where nothing is demanded.
    bar: String,
}

impl Figure {
    fn new(what: impl Into<String>, value: f64, unit: &'static str, bar: impl Into<String>) -> Self {
        Self { what: what.into(), value, unit, bar: bar.into() }
    }
}

/// Measures and prints.
pub fn run(args: &Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scale = if args.quick { 10 } else { 1 };
    let note = |what: &str| say(&format!("measuring {what}"));
    if cfg!(debug_assertions) {
        say("note: this is a debug build; the figures mean something in release only");
    }
    let pool = data::pool_file(args.pool.as_deref(), folder.path(), scale)?;
    let issues = data::issues(&pool)?;
    let mut figures = Vec::new();

    note("a whole pool");
    figures.extend(process::select_pool(
        &pool,
        folder.path(),
        issues.values().map(Vec::len).sum(),
        issues.len(),
    )?);
    note("16 patches in process");
    figures.extend(in_process::sixteen(&issues, 2000 / scale));

    let trajectories = data::trajectories(args.trajectories.as_deref())?;
    let runtime = service::runtime()?;
    let sqlite = format!("sqlite://{}", folder.path().join("bench.db").display());
    let mut databases = vec![("SQLite", sqlite)];
    if let Ok(url) = std::env::var("DATABASE_URL") {
        databases.push(("PostgreSQL", url));
    }
    for (name, url) in databases {
        note(&format!("the service on {name}"));
        let service = process::Service::start(&url)?;
        let load = over_http::Load { issues: &issues, trajectories: &trajectories, scale };
        figures.extend(runtime.block_on(over_http::measure(name, &service.url, &load))?);
    }
    note("plain Python");
    match python::normalise_and_vote(&pool, folder.path()) {
        Ok(seconds) => {
            let ours = figures.first().map_or(f64::NAN, |figure| figure.value);
            figures.push(Figure::new("Python normalise and vote (ast), the same patches", seconds, "s", ""));
            figures.push(Figure::new(
                "Python's time over ours (ours: reading, all features, ranking)",
                seconds / ours,
                "×",
                "",
            ));
        }
        Err(error) => say(&format!("note: no comparison with Python: {error:#}")),
    }
    show(args, &figures)
}

fn show(args: &Args, figures: &[Figure]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, figures)?;
        writeln!(out)?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["what", "measured", "should be"]);
    for figure in figures {
        table.add_row([
            figure.what.clone(),
            format!("{} {}", stats::rounded(figure.value), figure.unit),
            figure.bar.clone(),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}
