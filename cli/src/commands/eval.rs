//! `entropo eval`: what every policy is worth on labelled pools.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use selector::eval::{EvalOptions, evaluate};
use selector::{FitOptions, Policy};

use crate::input::labelled::PoolArgs;
use crate::input::shared_args::read_model;
use crate::output::progress::Progress;
use crate::verifiers::pools;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo eval pool.jsonl.xz                                   every policy; hybrid out of fold, 5 folds\n  \
       entropo eval pools/ --tests tests/ --trajectories runs.tar.xz  several pools with all evidence\n  \
       entropo eval pool.jsonl.xz --sample 16 --seeds 10              16 random candidates an issue, 10 times\n  \
       entropo eval pools/ --verifier builtin --issues issues.jsonl    with the scores of the built-in verifier\n  \
       entropo eval pool.jsonl.xz --policy hybrid --folds 0           the built-in model as it is\n\n\
     The table: share of issues resolved by a random pick, by simple baselines, by each policy and by the oracle;\n\
     gap closed is (policy - random) / (oracle - random), with a 95 % interval from 2,000 resamples of issues."
);

/// Flags of `entropo eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub pools: PoolArgs,
    /// Measure the hybrid policy out of fold: each part of the issues is picked by a model fit on the others; 0 uses the
    /// model as it is, which flatters it on pools that it was fit on
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub folds: usize,
    /// Draw this many candidates of each issue at random instead of taking all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: Option<u32>,
    /// How often to draw; the figures are means over the draws
    #[arg(long, default_value_t = 1, value_name = "N", requires = "sample")]
    pub seeds: u64,
    /// Measure only this policy; may be repeated
    #[arg(long, value_name = "POLICY")]
    pub policy: Vec<Policy>,
    /// Parameters of the hybrid policy for --folds 0
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Score the candidates with this verifier first: `builtin`, the address of a service, or the folder of a model.
    /// Issues that the built-in one was fit on are scored by its members that have not seen them, unless --folds is 0
    #[arg(long, value_name = "VERIFIER")]
    pub verifier: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Measures and prints.
pub fn run(args: &Args) -> Result<()> {
    let pools = pools::scored(&args.pools, args.verifier.as_deref(), args.folds > 1)?;
    let options = EvalOptions {
        folds: args.folds,
        sample: args.sample.map(|sample| sample as usize),
        seeds: args.seeds,
        policies: if args.policy.is_empty() { Policy::ALL.to_vec() } else { args.policy.clone() },
        fit: FitOptions::default(),
        model: args.model.as_deref().map(read_model).transpose()?,
    };
    let progress = Progress::new("measuring", 0, args.pools.quiet);
    let report = evaluate(&pools, &options).context("cannot measure")?;
    progress.finish();
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(())
}
