//! `entropo score`: what a verifier thinks of trajectories, or with `--raw` what a model says of rows.

mod raw;
mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use common::{Candidate, SourceFormat};
use rayon::prelude::*;
use serde::Serialize;
use verifier::linear::Linear;
use verifier::native::{self, Native};
use verifier::{Backend, Example, PrepareOptions, Prepared, RawScore};

use crate::exit::BadInput;
use crate::input::gather::{self, EvidenceFiles};
use crate::input::group::Issue;
use crate::input::load::Options;
use crate::output::progress::Progress;
use crate::verifiers;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo score runs/                                      with the built-in model, one table an issue\n  \
       entropo score runs/ issues.jsonl --json > scores.jsonl    with issue texts; rows for `select --scores`\n  \
       entropo score runs/ --model models/critic                 with a model in a Hugging Face folder\n  \
       entropo score runs/ --model linear.json                   with what `entropo fit --learn verifier` wrote\n  \
       entropo score runs/ --verifier http://127.0.0.1:8082      with a running service\n  \
       entropo score --raw --model DIR --input rows.jsonl        tokens, logits, scores of each row\n  \
       entropo score --raw --model DIR --input rows.jsonl --logits last --top 5\n  \
       entropo score --raw --model DIR --input rows.jsonl --judge      probability of YES\n  \
       entropo score --raw --model DIR --input - --generate 64 --temperature 0.7 --top-p 0.8 --seed 1\n\n\
     A row has `input_ids`, or `text`, or `messages` (with `tools`, `add_generation_prompt`, `chat_template_kwargs`);\n\
     docs/score.md describes every field of rows and results."
);

/// Facts that are named as reasons.
const REASONS: usize = 4;

/// Rows of a native model that go into one batch.
const BATCH: usize = 16;

/// Flags of `entropo score`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders to read: trajectories, predictions, issue texts, in any known format
    #[arg(value_name = "PATH", required_unless_present = "raw", conflicts_with = "raw")]
    pub paths: Vec<PathBuf>,
    /// Score with a running verifier service, such as http://127.0.0.1:8082
    #[arg(long, value_name = "URL", env = "ENTROPO_VERIFIER_URL")]
    pub verifier: Option<String>,
    /// API token for the verifier service
    #[arg(long, value_name = "TOKEN", env = "ENTROPO_VERIFIER_TOKEN", hide_env_values = true)]
    pub verifier_token: Option<String>,
    /// Print JSON lines, which `entropo select --scores` reads, with the score after every turn
    #[arg(long)]
    pub json: bool,
    /// Read every file as this format instead of telling it by its content
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<SourceFormat>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub raw: raw::RawArgs,
}

/// One scored candidate.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
struct Row {
    instance_id: String,
    candidate_id: String,
    /// Probability that it resolves the issue.
    probability: Option<f64>,
    logit: Option<f64>,
    /// Standard error of the logit.
    #[serde(skip_serializing_if = "Option::is_none")]
    spread: Option<f64>,
    /// The probability at the end of every turn of the assistant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    turns: Vec<f64>,
    /// The facts that weigh most, with what each adds to the logit; of linear models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<(String, f64)>,
    /// Why there is no score.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    revision: String,
}

/// Reads, scores, prints.
pub fn run(args: &Args) -> Result<()> {
    if args.raw.raw {
        return raw::run(&args.raw);
    }
    let quiet = args.raw.quiet;
    let options = Options { format: args.format, strict: args.raw.strict, whole: true, ..Options::default() };
    let gathered = gather::from_paths(&args.paths, &EvidenceFiles::default(), options, quiet)?;
    let mut issues = gathered.issues;
    // The service is asked only where no model of this machine is named.
    let rows = match (&args.raw.model, &args.verifier) {
        (None, Some(url)) => {
            let scorer = verifiers::service(url, args.verifier_token.as_deref())?;
            let notes = verifiers::score_all(&mut issues, &scorer, quiet)?;
            if let Some(note) = notes.values().flatten().next()
                && issues.values().all(|issue| issue.evidence.scores.is_empty())
            {
                bail!("no candidate was scored: {}", note.detail);
            }
            issues.values().flat_map(from_evidence).collect()
        }
        (model, _) => {
            let model = Model::open(model.as_deref())?;
            let progress = Progress::new("scoring", issues.len(), quiet);
            let mut rows = Vec::new();
            for issue in issues.values() {
                rows.extend(model.score(issue)?);
                progress.step();
            }
            progress.finish();
            rows
        }
    };
    show::print(&rows, args.json)
}

/// What a service said of an issue's candidates.
fn from_evidence(issue: &Issue) -> Vec<Row> {
    let score_of = |id: &str| issue.evidence.scores.iter().find(|score| score.candidate_id == id);
    let row = |id: &str| {
        let score = score_of(id);
        Row {
            instance_id: issue.pool.instance_id.clone(),
            candidate_id: id.to_owned(),
            probability: score.and_then(|score| score.probability),
            logit: score.and_then(|score| score.logit),
            spread: score.and_then(|score| score.spread),
            reason: score.is_none().then(|| "the service gave none".to_owned()),
            revision: score.map(|score| score.revision.clone()).unwrap_or_default(),
            ..Row::default()
        }
    };
    issue.pool.candidates.iter().map(|candidate| row(&candidate.candidate_id)).collect()
}

/// A model in this process.
struct Model {
    backend: Arc<dyn Backend>,
    /// The same, where it is linear and can say why.
    linear: Option<Linear>,
    runtime: tokio::runtime::Runtime,
}

impl Model {
    fn open(path: Option<&Path>) -> Result<Self> {
        let linear = match path {
            None => Some(Linear::built_in()),
            Some(path) if path.is_dir() => None,
            Some(path) => Some(read_linear(path)?),
        };
        let backend: Arc<dyn Backend> = match (&linear, path) {
            (Some(linear), _) => Arc::new(linear.clone()),
            (None, path) => {
                Arc::new(Native::load(path.unwrap_or(Path::new(".")), &native::Options::default())?)
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the async runtime")?;
        Ok(Self { backend, linear, runtime })
    }

    fn score(&self, issue: &Issue) -> Result<Vec<Row>> {
        let text: Arc<str> = issue.pool.issue.clone().unwrap_or_default();
        let candidates: Vec<Candidate> = issue.whole().collect();
        let options = PrepareOptions { max_tokens: None, condense: true };
        let prepared: Vec<(Row, Option<Arc<Prepared>>)> = candidates
            .into_par_iter()
            .map(|candidate| {
                let example = Example { issue: Arc::clone(&text), candidate: Arc::new(candidate) };
                let mut row = Row {
                    instance_id: issue.pool.instance_id.clone(),
                    candidate_id: example.candidate.candidate_id.clone(),
                    revision: self.backend.info().revision.clone(),
                    ..Row::default()
                };
                if let Some(linear) = &self.linear {
                    row.reasons = linear.reasons(&example, REASONS);
                }
                match self.backend.prepare(&example, options) {
                    Ok(prepared) => (row, Some(Arc::new(prepared))),
                    Err(error) => (Row { reason: Some(error.to_string()), ..row }, None),
                }
            })
            .collect();
        let batch: Vec<Arc<Prepared>> =
            prepared.iter().filter_map(|(_, prepared)| prepared.clone()).collect();
        let mut scores = Vec::with_capacity(batch.len());
        for part in batch.chunks(BATCH) {
            scores.extend(self.runtime.block_on(self.backend.score(part))?);
        }
        let mut scores = scores.into_iter();
        Ok(prepared
            .into_iter()
            .map(|(row, prepared)| match prepared.and_then(|_| scores.next()) {
                Some(score) => self.filled(row, score),
                None => row,
            })
            .collect())
    }

    fn filled(&self, row: Row, score: RawScore) -> Row {
        let probability = |logit: f64| self.backend.probability(logit).value;
        Row {
            probability: score.logit.map(probability),
            logit: score.logit,
            spread: score.spread,
            turns: score.turn_logits.iter().map(|&logit| probability(logit)).collect(),
            reason: score.reason,
            ..row
        }
    }
}

/// A linear verifier from its file.
fn read_linear(path: &Path) -> Result<Linear> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Linear::from_json(&bytes).map_err(|error| BadInput(format!("{}: {error}", path.display())).into())
}
