//! `entropo fit`: learns the ranker of the hybrid policy.

use std::path::PathBuf;

use anyhow::{Context, Result};
use selector::{FitOptions, fit as learn};

use crate::input::labelled::{self, PoolArgs};
use crate::output::atomic;
use crate::output::progress::{Progress, say};

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo fit pools/ --tests tests/ --trajectories runs.tar.xz -o model.json\n  \
       entropo select runs/ --model model.json                 use it\n  \
       entropo eval pools/ --folds 5                           what such a model is worth, out of fold"
);

/// Flags of `entropo fit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub pools: PoolArgs,
    /// Where to write the model; `-` for standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Penalty on half the squared weights of standardised features
    #[arg(long, value_name = "X")]
    pub l2: Option<f64>,
    /// Folds of issues whose out-of-fold scores the probabilities are calibrated on
    #[arg(long, value_name = "N")]
    pub folds: Option<usize>,
}

/// Learns and writes.
pub fn run(args: &Args) -> Result<()> {
    let pools = labelled::read(&args.pools)?;
    let defaults = FitOptions::default();
    let options = FitOptions {
        l2: args.l2.unwrap_or(defaults.l2),
        folds: args.folds.unwrap_or(defaults.folds),
        ..defaults
    };
    let progress = Progress::new("fitting", 0, args.pools.quiet);
    let model = learn(pools.iter().flat_map(|pool| &pool.issues), &options).context("cannot fit")?;
    progress.finish();
    atomic::write(&args.output, |out| Ok(out.write_all(model.to_json().as_bytes())?))?;
    if !args.pools.quiet {
        say(&format!(
            "model {}: {} features from {} issues, of which {} have candidates that disagree",
            model.version,
            model.features.len(),
            model.training.issues,
            model.training.disagreeing
        ));
    }
    Ok(())
}
