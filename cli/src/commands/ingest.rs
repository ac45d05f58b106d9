//! `entropo ingest`: keeps candidates and outcomes without selecting.

mod local;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use common::{Outcome, TestRun};
use serde::Serialize;
use server::ConfigArgs;

use crate::exit::Usage;
use crate::input::gather::{self, EvidenceFiles};
use crate::input::group::Issue;
use crate::input::load::{Labels, Options};
use crate::input::shared_args::{ReadArgs, RemoteArgs};
use crate::output::progress::Progress;
use crate::remote::Client;
use crate::service::{self, Settings};

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo ingest runs/                                   into SQLite in ./entropo-data\n  \
       entropo ingest runs/ --database postgres://me@localhost/entropo\n  \
       entropo ingest output.swebench_eval.jsonl              labels in files become outcomes\n  \
       entropo ingest runs/ --server http://127.0.0.1:8080    through a running service"
);

/// Flags of `entropo ingest`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders to read, in any known format
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Test evidence in files of its own; may be repeated
    #[arg(long, value_name = "FILE")]
    pub tests: Vec<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub read: ReadArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub remote: RemoteArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub config: ConfigArgs,
}

/// What was kept.
#[derive(Debug, Default, Clone, Copy)]
struct Kept {
    candidates: usize,
    new: usize,
    outcomes: usize,
    test_runs: usize,
}

impl std::ops::AddAssign for Kept {
    fn add_assign(&mut self, other: Self) {
        self.candidates += other.candidates;
        self.new += other.new;
        self.outcomes += other.outcomes;
        self.test_runs += other.test_runs;
    }
}

/// Reads, groups, stores.
pub fn run(args: &Args) -> Result<()> {
    if args.remote.server.is_some() && args.config.database.is_some() {
        return Err(Usage(
            "give --server or --database, not both: a service has its own database".to_owned(),
        )
        .into());
    }
    let Some(settings) = service::settings(&args.config, &Settings::default())? else { return Ok(()) };
    let options = Options { whole: true, labels: Labels::Everything, ..args.read.options() };
    let evidence = EvidenceFiles { tests: &args.tests, ..EvidenceFiles::default() };
    let issues = gather::from_paths(&args.paths, &evidence, options, args.read.quiet)?.issues;
    let count = issues.len();
    let progress = Progress::new("storing", count, args.read.quiet);
    let kept = service::runtime()?.block_on(async {
        let mut kept = Kept::default();
        if let Some(url) = &args.remote.server {
            let client = Client::new(url, args.remote.token.as_deref())?.acting_for(&args.remote.tenant);
            for issue in issues.into_values() {
                kept += send(&client, issue).await?;
                progress.step();
            }
        } else {
            let store = local::open(&settings).await?;
            for issue in issues.into_values() {
                kept += local::keep(&store, &args.remote.tenant, issue).await?;
                progress.step();
            }
            store.close().await;
        }
        anyhow::Ok(kept)
    })?;
    progress.finish();
    writeln!(
        std::io::stdout(),
        "{} candidates of {count} issues ({} new), {} outcomes, {} test runs",
        kept.candidates,
        kept.new,
        kept.outcomes,
        kept.test_runs
    )?;
    Ok(())
}

/// Body of `POST /v1/candidates`.
#[derive(Serialize)]
struct Upload {
    instance_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    issue: Option<String>,
    files: Vec<File>,
    tests: Vec<TestRun>,
}

/// A file of that body. Labelled candidates travel as files: the service strips labels off files only.
#[derive(Serialize)]
struct File {
    name: &'static str,
    content: String,
}

#[derive(serde::Deserialize)]
struct Reply {
    candidates: Vec<ReplyCandidate>,
    outcomes: usize,
}

#[derive(serde::Deserialize)]
struct ReplyCandidate {
    new: bool,
}

async fn send(client: &Client, mut issue: Issue) -> Result<Kept> {
    let mut lines = String::new();
    for candidate in issue.unpack() {
        let outcome =
            issue.details.get(&candidate.candidate_id).and_then(|details| details.outcome.as_deref());
        lines.push_str(&labelled_line(&candidate, outcome)?);
        lines.push('\n');
    }
    let tests = std::mem::take(&mut issue.evidence.tests);
    let test_runs = tests.len();
    let upload = Upload {
        instance_id: issue.pool.instance_id.clone(),
        issue: issue.pool.issue.as_deref().map(str::to_owned),
        files: vec![File { name: "candidates.jsonl", content: lines }],
        tests,
    };
    let reply: Reply = client.post("v1/candidates", &upload).await?.json().await?;
    Ok(Kept {
        candidates: reply.candidates.len(),
        new: reply.candidates.iter().filter(|candidate| candidate.new).count(),
        outcomes: reply.outcomes,
        test_runs,
    })
}

/// A candidate in EntroPO's own format with its label beside it, as the readers know to strip it.
fn labelled_line(candidate: &common::Candidate, outcome: Option<&Outcome>) -> Result<String> {
    let mut row = serde_json::to_value(candidate)?;
    if let (Some(row), Some(outcome)) = (row.as_object_mut(), outcome) {
        if let Some(resolved) = outcome.resolved {
            row.insert("resolved".to_owned(), resolved.into());
        }
        if let Some(reward) = outcome.reward {
            row.insert("reward".to_owned(), reward.into());
        }
    }
    Ok(row.to_string())
}

#[cfg(test)]
mod tests {
    use common::formats::{self, ReadContext, Record};

    use super::*;

    #[test]
    fn a_labelled_line_reads_as_candidate_and_outcome() {
        let candidate = common::Candidate {
            candidate_id: "x".into(),
            trajectory: common::Trajectory {
                instance_id: "a__b-1".into(),
                patch: Some("diff".into()),
                ..common::Trajectory::default()
            },
        };
        let outcome = Outcome { resolved: Some(true), ..Outcome::default() };
        let line = labelled_line(&candidate, Some(&outcome)).unwrap();
        let mut read = Vec::new();
        formats::read(line.as_bytes(), &ReadContext::named("candidates.jsonl"), &mut |record| {
            read.push(record);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        let [Record::Candidate(record)] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!(record.candidate, candidate);
        assert_eq!(record.outcome.as_ref().and_then(|outcome| outcome.resolved), Some(true));
    }
}
