//! `entropo select`: the best candidate of every issue.

mod local;
mod pool;
mod result;
mod through_service;

use std::path::PathBuf;

use anyhow::Result;

use crate::exit::Usage;
use crate::input::gather::EvidenceFiles;
use crate::input::shared_args::{PolicyArgs, ReadArgs, RemoteArgs};
use crate::output::preds;
use crate::verifiers::VerifierArgs;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo select runs/                                     every issue under runs/, as tables\n  \
       entropo select runs/ --tests tests.jsonl --json           with test evidence, as JSON\n  \
       entropo select a.traj b.traj.json output.jsonl.gz         files of any format, compressed or not\n  \
       entropo select runs/ --preds preds.json                   the winners as SWE-bench predictions\n  \
       entropo select runs/ --policy majority --min-confidence 0.5\n  \
       entropo select runs/ --verifier http://127.0.0.1:8082     with the scores of a running verifier\n  \
       entropo select runs/ --no-verifier                        without scores of a verifier\n  \
       entropo select runs/ --server http://127.0.0.1:8080       through a running service\n  \
       entropo select --pool pool.jsonl.xz --trajectories runs.tar.xz --picks picks.jsonl"
);

/// Flags of `entropo select`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders to read: trajectories, predictions, test rows, issue texts, in any known format
    #[arg(value_name = "PATH", required_unless_present = "pool")]
    pub paths: Vec<PathBuf>,
    /// Test evidence: JSON lines with instance_id, candidate_id (null: the unpatched code), kind, suite, passed,
    /// failed, missing; may be repeated
    #[arg(long, value_name = "FILE")]
    pub tests: Vec<PathBuf>,
    /// Verifier scores: JSON lines with instance_id, candidate_id, probability; may be repeated
    #[arg(long, value_name = "FILE")]
    pub scores: Vec<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub policy: PolicyArgs,
    /// Print the selections as a JSON array instead of tables
    #[arg(long, conflicts_with = "picks", help_heading = "Output")]
    pub json: bool,
    /// Write the winners as SWE-bench predictions (.json or .jsonl)
    #[arg(long, value_name = "FILE", value_parser = preds::check_name, help_heading = "Output")]
    pub preds: Option<PathBuf>,
    /// Pick for a whole pool: JSON lines with instance_id, candidate_id, patch; labels in it are ignored
    #[arg(long, value_name = "FILE", requires = "picks", conflicts_with_all = ["paths", "json"], help_heading = "Whole pools")]
    pub pool: Option<PathBuf>,
    /// Where the trajectories that the pool's rows name are: a folder, or a tar archive, compressed or not
    #[arg(long, value_name = "PATH", requires = "pool", help_heading = "Whole pools")]
    pub trajectories: Option<PathBuf>,
    /// Write one line `{instance_id, candidate_id, probability}` an issue; candidate_id null where nothing is picked
    #[arg(long, value_name = "FILE", requires = "pool", help_heading = "Whole pools")]
    pub picks: Option<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub verifier: VerifierArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub read: ReadArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub remote: RemoteArgs,
}

/// Selects.
pub fn run(args: &Args) -> Result<()> {
    if let (Some(pool), Some(picks)) = (&args.pool, &args.picks) {
        // A service named by ENTROPO_SERVER is for candidates of one's own; a pool is always picked here.
        return pool::run(args, pool, picks);
    }
    match &args.remote.server {
        Some(_) if args.policy.model.is_some() => {
            Err(Usage("--model cannot be sent to a service: the service has its own".to_owned()).into())
        }
        Some(url) => through_service::run(args, url),
        None => local::run(args),
    }
}

impl Args {
    fn evidence(&self) -> EvidenceFiles<'_> {
        EvidenceFiles { tests: &self.tests, scores: &self.scores, issues: &[] }
    }
}
