//! `entropo export`: a checkpoint as a model folder for others.

use std::path::PathBuf;

use anyhow::Result;
use trainer::run::RunError;

use crate::exit::BadInput;
use crate::output::progress::say;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo export runs/run/checkpoint-200 models/coder       a folder that transformers and vLLM load\n  \
       entropo export runs/lora/checkpoint-200 models/coder      adapters are merged into their base\n  \
       entropo export runs/lora/checkpoint-200 models/coder --base models/base"
);

/// Flags of `entropo export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The checkpoint's folder
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: PathBuf,
    /// The folder to write, which must not exist
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
    /// The model that adapters are for, where it is not where the checkpoint says
    #[arg(long, value_name = "DIR")]
    pub base: Option<PathBuf>,
}

/// Writes the folder.
pub fn run(args: &Args) -> Result<()> {
    export(&args.checkpoint, args.base.as_deref(), &args.out)
}

/// The same for commands with other flags.
pub(super) fn export(
    checkpoint: &std::path::Path,
    base: Option<&std::path::Path>,
    out: &std::path::Path,
) -> Result<()> {
    trainer::export::export(checkpoint, base, out).map_err(|error| match error {
        RunError::Refused(reason) => BadInput(reason).into(),
        error => anyhow::Error::from(error),
    })?;
    say(&format!("the model is in {}", out.display()));
    Ok(())
}
