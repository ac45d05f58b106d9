//! `entropo train`: one run, here and now.

mod report;
mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use trainer::{
    config::{RunConfig, Set},
    engine::Native,
    run::{Engine, FolderLock, Reason},
};

use self::watch::Watch;
use crate::exit::{BadInput, Interrupted, Usage};
use crate::output::progress::say;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo train run.toml --dry-run                           what it would do: rows, tokens, steps, memory\n  \
       entropo train run.toml                                     into runs/run, with progress\n  \
       entropo train run.toml --resume                            goes on from the newest checkpoint in runs/run\n  \
       entropo train run.toml --set training.steps=20 --set objective.alpha=0.12 --out runs/b\n\n\
     Ctrl-C writes a checkpoint and ends with exit code 130; a second one ends at once.\n\
     docs/train.md has every field of a run."
);

/// Flags of `entropo train`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// The run: a TOML file
    #[arg(value_name = "RUN.toml")]
    pub run: PathBuf,
    /// A field over the file's, such as `training.learning_rate=1e-5`; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<Set>,
    /// Folder for checkpoints and metrics; `runs/` and the file's name otherwise
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print what would be done and the whole configuration, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Go on from the newest checkpoint in the folder
    #[arg(long)]
    pub resume: bool,
    /// Print the plan or the result as JSON
    #[arg(long)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}

/// Trains.
pub fn run(args: &Args) -> Result<()> {
    let config = RunConfig::load(&args.run, &args.set)?;
    let watch = Watch::new(args.quiet);
    if args.dry_run {
        let plan = Native.plan(&config, &watch).map_err(bad)?;
        watch.finish();
        return report::plan(&plan, &config, args.json);
    }
    let out = args.out.clone().unwrap_or_else(|| folder(&args.run));
    if !args.resume && has_checkpoints(&out)? {
        let message = format!(
            "{} holds a run already: go on with it (--resume), or choose another folder (--out)",
            out.display()
        );
        return Err(Usage(message).into());
    }
    let _held = FolderLock::take(&out)?;
    watch.listen()?;
    let trained = Native.train(&config, &out, &watch);
    watch.finish();
    let summary = match trained {
        Ok(summary) => summary,
        Err(_) if watch.was_asked() => return Err(interrupted(args, &out, 0)),
        Err(error) => return Err(bad(error)),
    };
    report::summary(&summary, &out, args.json)?;
    if summary.reason == Reason::Stopped {
        return Err(interrupted(args, &out, summary.step));
    }
    if let (false, Some(checkpoint)) = (args.quiet || args.json, &summary.checkpoint) {
        say(&format!("the model is in {}", out.join(checkpoint).display()));
    }
    Ok(())
}

/// What the data or the configuration is at fault for ends the program as other bad inputs do.
fn bad(error: trainer::run::RunError) -> anyhow::Error {
    match error {
        trainer::run::RunError::Refused(reason) => BadInput(reason).into(),
        error => error.into(),
    }
}

fn interrupted(args: &Args, out: &Path, step: u64) -> anyhow::Error {
    let at = if step > 0 { format!("stopped after step {step}") } else { "stopped".to_owned() };
    let (run, out) = (args.run.display(), out.display());
    Interrupted(format!("{at}; `entropo train {run} --out {out} --resume` goes on")).into()
}

/// Where a run goes that is not told: `runs/` and the name of its file.
fn folder(run: &Path) -> PathBuf {
    Path::new("runs").join(run.file_stem().unwrap_or(run.as_os_str()))
}

fn has_checkpoints(out: &Path) -> Result<bool> {
    let entries = match std::fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", out.display())),
    };
    Ok(entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("checkpoint-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_where_its_name_says() {
        assert_eq!(folder(Path::new("conf/first.toml")), Path::new("runs/first"));
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_checkpoints(&dir.path().join("none")).unwrap());
        assert!(!has_checkpoints(dir.path()).unwrap());
        std::fs::create_dir(dir.path().join("checkpoint-10")).unwrap();
        assert!(has_checkpoints(dir.path()).unwrap());
    }
}
