//! `entropo fit`: learns the ranker of the hybrid policy, or the built-in verifier.

mod verifier;

use std::path::PathBuf;

use anyhow::{Context, Result};
use selector::{FitOptions, fit as learn};

use crate::input::labelled::PoolArgs;
use crate::output::atomic;
use crate::output::progress::{Progress, say};
use crate::verifiers::pools;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo fit pools/ --tests tests/ --trajectories runs.tar.xz -o model.json\n  \
       entropo fit pools/ --trajectories runs.tar.xz --issues issues.jsonl --verifier builtin -o model.json\n  \
       entropo fit pools/ --trajectories runs.tar.xz --issues issues.jsonl --learn verifier -o linear.json\n  \
       entropo select runs/ --model model.json                 use it\n  \
       entropo eval pools/ --folds 5                           what such a model is worth, out of fold"
);

/// Flags of `entropo fit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub pools: PoolArgs,
    /// What to learn
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub learn: Learn,
    /// Score the candidates with this verifier first, for the ranker: `builtin` (issues that it was fit on are scored by
    /// its members that have not seen them), the address of a service, or the folder of a model
    #[arg(long, value_name = "VERIFIER")]
    pub verifier: Option<String>,
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

/// What is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Learn {
    /// The ranker of the hybrid policy.
    #[default]
    Ranker,
    /// A linear verifier, as the built-in one.
    Verifier,
}

/// Learns and writes.
pub fn run(args: &Args) -> Result<()> {
    if args.learn == Learn::Verifier {
        return verifier::run(args);
    }
    let pools = pools::scored(&args.pools, args.verifier.as_deref(), true)?;
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
