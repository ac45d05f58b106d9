//! `entropo export`: a checkpoint as a model folder for others, or a run for another trainer.

use std::path::PathBuf;

use anyhow::Result;
use trainer::{
    config::{RunConfig, Set},
    run::{RunError, Unwatched},
};

use crate::exit::{BadInput, Usage};
use crate::output::progress::say;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo export runs/run/checkpoint-200 models/coder       a folder that transformers and vLLM load\n  \
       entropo export runs/lora/checkpoint-200 models/coder      adapters are merged into their base\n  \
       entropo export runs/lora/checkpoint-200 models/coder --base models/base\n  \
       entropo export --engine trl run.toml --out run-for-trl    the run for TRL and Accelerate (docs/scale.md)"
);

/// Flags of `entropo export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The checkpoint's folder; with --engine the run, a TOML file
    #[arg(value_name = "CHECKPOINT|RUN.toml")]
    pub source: PathBuf,
    /// The folder to write, which must not exist
    #[arg(value_name = "OUT", required_unless_present = "to", conflicts_with = "to")]
    pub out: Option<PathBuf>,
    /// The same as OUT
    #[arg(long = "out", value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// The model that adapters are for, where it is not where the checkpoint says
    #[arg(long, value_name = "DIR")]
    pub base: Option<PathBuf>,
    /// Write the run for another trainer: rows as tokens with masks, configuration, objectives
    #[arg(long, value_enum, value_name = "ENGINE", conflicts_with = "base")]
    pub engine: Option<Engine>,
    /// A field over the run's, such as `training.learning_rate=1e-5`; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE", requires = "engine")]
    pub set: Vec<Set>,
}

/// Trainers that runs are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// TRL on Accelerate: data parallel, FSDP or DeepSpeed
    Trl,
}

/// Writes the folder.
pub fn run(args: &Args) -> Result<()> {
    let Some(out) = args.out.as_deref().or(args.to.as_deref()) else {
        return Err(Usage("name the folder to write: OUT, or --out DIR".to_owned()).into());
    };
    match args.engine {
        None => export(&args.source, args.base.as_deref(), out),
        Some(Engine::Trl) => {
            let config = RunConfig::load(&args.source, &args.set)?;
            let done = trainer::export::trl(&config, out, &Unwatched).map_err(bad)?;
            let dropped =
                if done.dropped > 0 { format!(" ({} dropped)", done.dropped) } else { String::new() };
            say(&format!(
                "{} rows{dropped}, {} to evaluate on, {} steps; {} says how to start",
                done.rows,
                done.eval_rows,
                done.steps,
                out.join("README.md").display()
            ));
            Ok(())
        }
    }
}

fn bad(error: RunError) -> anyhow::Error {
    match error {
        RunError::Refused(reason) => BadInput(reason).into(),
        error => error.into(),
    }
}

/// The same for commands with other flags.
pub(super) fn export(
    checkpoint: &std::path::Path,
    base: Option<&std::path::Path>,
    out: &std::path::Path,
) -> Result<()> {
    trainer::export::export(checkpoint, base, out).map_err(bad)?;
    say(&format!("the model is in {}", out.display()));
    Ok(())
}
