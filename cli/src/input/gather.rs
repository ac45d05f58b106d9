//! The whole way from paths to issues that are ready to be selected from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::formats::{self, Problem};
use common::{SourceFormat, VerifierScore};
use serde::Deserialize;

use super::attach;
use super::group::{self, Grouped, Issue};
use super::load::{self, Contents, Labels, Options};
use super::walk::{self, InputFile};
use crate::exit::BadInput;
use crate::output::progress::Progress;

/// Files of evidence named on the command line.
#[derive(Debug, Clone, Default)]
pub struct EvidenceFiles<'a> {
    /// Rows of test results.
    pub tests: &'a [PathBuf],
    /// Rows of verifier scores.
    pub scores: &'a [PathBuf],
    /// Texts of issues.
    pub issues: &'a [PathBuf],
}

/// What the paths held.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The issues in the order of their ids.
    pub issues: BTreeMap<String, Issue>,
    /// How many files were read.
    pub files: usize,
}

/// Reads files and folders of candidates, with their evidence.
pub fn from_paths(
    paths: &[PathBuf],
    evidence: &EvidenceFiles<'_>,
    options: Options,
    quiet: bool,
) -> Result<Gathered> {
    let files = walk::files(paths)?;
    let progress = Progress::new("reading", files.len(), quiet);
    let contents = load::load(&files, options, &progress)?;
    let grouped = grouped(&files, contents, evidence, options, &progress)?;
    progress.finish();
    if grouped.issues.is_empty() {
        bail!(BadInput(format!(
            "no candidate in {} files; `entropo inspect FILE` says what a file holds",
            files.len()
        )));
    }
    Ok(Gathered { issues: grouped.issues, files: files.len() })
}

/// A pool to read and the test rows for it.
#[derive(Debug, Clone)]
pub struct PoolFiles<'a> {
    /// The pool.
    pub pool: &'a Path,
    /// Its evidence.
    pub evidence: EvidenceFiles<'a>,
}

/// Reads pools, with their evidence and the trajectories that their rows name; in the order given.
pub fn from_pools(
    files: &[PoolFiles<'_>],
    trajectories: Option<&Path>,
    options: Options,
    quiet: bool,
) -> Result<Vec<BTreeMap<String, Issue>>> {
    let mut pools = files
        .iter()
        .map(|files| Ok(from_paths(&[files.pool.to_owned()], &files.evidence, options, quiet)?.issues))
        .collect::<Result<Vec<_>>>()?;
    if let Some(source) = trajectories {
        let progress = Progress::new("trajectories", 0, quiet);
        let attached = attach::attach(&mut pools, source)?;
        refuse_or_report(&attached.problems, options, &progress)?;
        if attached.absent > 0 {
            progress.note(&format!(
                "note: {} of {} trajectories that the pool names are not in {}",
                attached.absent,
                attached.absent + attached.found,
                source.display()
            ));
        }
        progress.finish();
    }
    Ok(pools)
}

fn grouped(
    files: &[InputFile],
    mut contents: Contents,
    evidence: &EvidenceFiles<'_>,
    options: Options,
    progress: &Progress,
) -> Result<Grouped> {
    refuse_or_report(&contents.problems, options, progress)?;
    for path in evidence.tests {
        let rows = test_rows(path, options, progress)?;
        contents.tests.extend(rows);
    }
    for path in evidence.issues {
        let texts = issue_rows(path, options, progress)?;
        contents.issues.extend(texts);
    }
    let mut scores = Vec::new();
    for path in evidence.scores {
        scores.extend(score_rows(path)?);
    }
    if contents.labels_set_aside > 0 && options.labels == Labels::Drop {
        progress.note(&format!(
            "note: {} labels were set aside; selection never sees them",
            contents.labels_set_aside
        ));
    }
    let grouped = group::group(files, contents, scores);
    for note in &grouped.notes {
        progress.note(&format!("note: {note}"));
    }
    Ok(grouped)
}

fn refuse_or_report(problems: &[Problem], options: Options, progress: &Progress) -> Result<()> {
    match problems.first() {
        Some(first) if options.strict => bail!(BadInput(first.to_string())),
        _ => load::report_problems(problems, progress),
    }
    Ok(())
}

/// The test runs of a `--tests` file.
fn test_rows(path: &Path, options: Options, progress: &Progress) -> Result<Vec<(String, common::TestRun)>> {
    let file = InputFile { path: path.to_owned(), name: path.display().to_string(), named: true };
    let options = Options { format: None::<SourceFormat>, ..options };
    let contents = load::load(&[file], options, progress)?;
    refuse_or_report(&contents.problems, options, progress)?;
    if contents.tests.is_empty() {
        bail!(BadInput(format!(
            "{}: no test rows; a row has instance_id, candidate_id, kind, suite, passed, failed and missing",
            path.display()
        )));
    }
    Ok(contents.tests)
}

/// The texts of a file of issues.
fn issue_rows(path: &Path, options: Options, progress: &Progress) -> Result<Vec<(String, String)>> {
    let file = InputFile { path: path.to_owned(), name: path.display().to_string(), named: true };
    let contents = load::load(&[file], Options { format: None, ..options }, progress)?;
    refuse_or_report(&contents.problems, options, progress)?;
    if contents.issues.is_empty() {
        bail!(BadInput(format!(
            "{}: no texts of issues; a row has instance_id and problem_statement",
            path.display()
        )));
    }
    Ok(contents.issues)
}

#[derive(Deserialize)]
struct ScoreRow {
    instance_id: String,
    #[serde(flatten)]
    score: ScoreFields,
}

#[derive(Deserialize)]
struct ScoreFields {
    candidate_id: String,
    probability: Option<f64>,
    #[serde(default)]
    logit: Option<f64>,
    #[serde(default)]
    spread: Option<f64>,
    #[serde(default)]
    revision: String,
}

/// The verifier scores of a `--scores` file; every line counts, so a bad one is an error.
fn score_rows(path: &Path) -> Result<Vec<(String, VerifierScore)>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let reader = formats::decompress(BufReader::new(file))
        .with_context(|| format!("cannot read {}", path.display()))?;
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let row: ScoreRow = serde_json::from_str(&line).map_err(|error| {
            BadInput(format!(
                "{}:{number}: not a score ({error}); a row has instance_id, candidate_id and probability",
                path.display()
            ))
        })?;
        let ScoreFields { candidate_id, probability, logit, spread, revision } = row.score;
        let score = VerifierScore { candidate_id, probability, logit, spread, revision };
        rows.push((row.instance_id, score));
    }
    Ok(rows)
}
