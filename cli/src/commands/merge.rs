//! `entropo merge`: adapters into the weights of the model that they are for.

use std::path::PathBuf;

use anyhow::Result;

use crate::exit::BadInput;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo merge models/base runs/lora/checkpoint-200 models/coder\n  \
       entropo merge models/base peft-folder models/coder        adapters that PEFT wrote"
);

/// Flags of `entropo merge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model that the adapters are for
    #[arg(value_name = "BASE")]
    pub base: PathBuf,
    /// The adapters: a folder in PEFT's layout, such as a checkpoint
    #[arg(value_name = "ADAPTERS")]
    pub adapters: PathBuf,
    /// The folder to write, which must not exist
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
}

/// Merges.
pub fn run(args: &Args) -> Result<()> {
    if !args.adapters.join("adapter_config.json").is_file() {
        let folder = args.adapters.display();
        return Err(BadInput(format!("{folder} holds no adapters (adapter_config.json)")).into());
    }
    super::export::export(&args.adapters, Some(&args.base), &args.out)
}
