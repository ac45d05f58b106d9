//! `entropo completions`: a completion script for a shell.

use std::io::Write;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo completions bash > ~/.local/share/bash-completion/completions/entropo\n  \
       entropo completions zsh > ~/.zfunc/_entropo\n  \
       entropo completions fish > ~/.config/fish/completions/entropo.fish"
);

/// Flags of `entropo completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    pub shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::Cli::command(), "entropo", &mut script);
    Ok(std::io::stdout().lock().write_all(&script)?)
}
