//! Reads files of any format, in parallel and in bounded memory, and keeps what selection needs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;

use anyhow::{Context, Result};
use common::formats::{self, CandidateRecord, Problem, ReadContext, ReadError, ReadReport, Record};
use common::{Candidate, ExitStatus, Outcome, SourceFormat, TestRun};
use rayon::prelude::*;
use selector::Prepared;

use super::walk::InputFile;
use crate::exit::BadInput;
use crate::output::progress::Progress;

/// How many candidates of one file are held whole before they are reduced, in parallel, to what is kept.
const BATCH: usize = 64;

/// What to read, and what to keep of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Read every file as this format instead of detecting it.
    pub format: Option<SourceFormat>,
    /// Stop at the first problem.
    pub strict: bool,
    /// Keep the whole candidate (to send it to a service), not only what selection needs.
    pub whole: bool,
    /// What to keep of labels. For measuring, fitting and storing; never for selecting.
    pub labels: Labels,
}

/// What to keep of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Labels {
    /// Nothing: they are counted and dropped.
    #[default]
    Drop,
    /// Whether the candidate resolved its issue.
    Resolved,
    /// Everything that was stripped, reference patches too.
    Everything,
}

/// A candidate kept whole, as compressed JSON: conversations shrink about tenfold, so that thousands fit in memory.
#[derive(Debug)]
pub struct Packed(Vec<u8>);

impl Packed {
    pub(super) fn of(candidate: &Candidate) -> Self {
        let json =
            serde_json::to_vec(candidate).expect("a candidate is serialisable: string keys, finite numbers");
        Self(zstd::bulk::compress(&json, 1).expect("compressing into memory does not fail"))
    }

    /// The candidate.
    pub fn unpack(&self) -> Candidate {
        let json = zstd::stream::decode_all(self.0.as_slice()).expect("what was packed here unpacks");
        serde_json::from_slice(&json).expect("what was packed here is a candidate")
    }
}

/// A candidate as read from a file.
#[derive(Debug)]
pub struct Entry {
    /// The issue.
    pub instance_id: String,
    /// The text of the issue, where the candidate's file has it.
    pub issue: Option<String>,
    /// What selection needs.
    pub prepared: Prepared,
    /// How the run ended, as the record itself says; kept for pool rows whose trajectory is attached later.
    pub exit: ExitStatus,
    /// Actions taken, as the record itself says.
    pub steps: Option<u32>,
    /// The format of the record.
    pub format: SourceFormat,
    /// The content address, for candidates with a conversation: the same run in two files is one candidate.
    pub content: Option<String>,
    /// Where the pool says that the trajectory file is.
    pub trajectory_path: Option<String>,
    /// The label, when labels were asked for.
    pub outcome: Option<Box<Outcome>>,
    /// The candidate itself, when whole candidates were asked for.
    pub whole: Option<Packed>,
    /// The file that it is from, as an index into the list that was read.
    pub file: usize,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Contents {
    /// Candidates, in the order of files and lines.
    pub entries: Vec<Entry>,
    /// Test runs by issue.
    pub tests: Vec<(String, TestRun)>,
    /// Texts of issues.
    pub issues: Vec<(String, String)>,
    /// Labels that were seen and set aside.
    pub labels_set_aside: u64,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// Reads every file. Problems of single lines are collected; under `strict` the first one is the error.
pub fn load(files: &[InputFile], options: Options, progress: &Progress) -> Result<Contents> {
    let parts: Vec<Contents> = files
        .par_iter()
        .enumerate()
        .map(|(index, file)| {
            let contents = read_file(index, file, options);
            progress.step();
            contents
        })
        .collect::<Result<_>>()?;
    let mut all = Contents::default();
    for part in parts {
        all.entries.extend(part.entries);
        all.tests.extend(part.tests);
        all.issues.extend(part.issues);
        all.labels_set_aside += part.labels_set_aside;
        all.problems.extend(part.problems);
    }
    Ok(all)
}

/// Opens a file, whatever its compression, and hands every record to `sink`.
pub fn records(file: &InputFile, options: Options, sink: &mut dyn FnMut(Record)) -> Result<ReadReport> {
    let opened = File::open(&file.path).with_context(|| format!("cannot open {}", file.path.display()))?;
    let reader = BufReader::with_capacity(1 << 16, opened);
    let context = ReadContext {
        name: file.name.clone(),
        format: options.format,
        strict: options.strict,
        ..ReadContext::default()
    };
    let mut sink = |record| {
        sink(record);
        std::ops::ControlFlow::Continue(())
    };
    formats::read(reader, &context, &mut sink).map_err(|error| match error {
        ReadError::Strict(problem) => anyhow::Error::new(BadInput(problem.to_string())),
        error @ ReadError::Io { .. } => error.into(),
    })
}

fn read_file(index: usize, file: &InputFile, options: Options) -> Result<Contents> {
    let mut contents = Contents::default();
    let mut batch = Vec::with_capacity(BATCH);
    let report = records(file, options, &mut |record| match record {
        Record::Candidate(candidate) => {
            batch.push(*candidate);
            if batch.len() == BATCH {
                reduce(index, &mut batch, options, &mut contents);
            }
        }
        Record::Outcome(_) => contents.labels_set_aside += 1,
        Record::TestRun { instance_id, run } => contents.tests.push((instance_id, run)),
        Record::Issue { instance_id, text } => contents.issues.push((instance_id, text)),
    })?;
    reduce(index, &mut batch, options, &mut contents);
    contents.problems = report.problems;
    Ok(contents)
}

fn reduce(file: usize, batch: &mut Vec<CandidateRecord>, options: Options, contents: &mut Contents) {
    contents.labels_set_aside += batch.iter().filter(|record| record.outcome.is_some()).count() as u64;
    let batch = std::mem::replace(batch, Vec::with_capacity(BATCH));
    contents.entries.par_extend(batch.into_par_iter().map(|record| entry(file, record, options)));
}

fn entry(file: usize, record: CandidateRecord, options: Options) -> Entry {
    let CandidateRecord { candidate, outcome, trajectory_path, .. } = record;
    let run = &candidate.trajectory;
    Entry {
        instance_id: run.instance_id.clone(),
        issue: run.issue.clone(),
        prepared: Prepared::new(&candidate),
        exit: run.exit,
        steps: run.steps,
        format: run.source,
        content: (!run.turns.is_empty()).then(|| run.content_id()),
        trajectory_path,
        outcome: outcome.and_then(|outcome| kept(outcome, options.labels)),
        whole: options.whole.then(|| Packed::of(&candidate)),
        file,
    }
}

fn kept(outcome: Outcome, labels: Labels) -> Option<Box<Outcome>> {
    match labels {
        Labels::Drop => None,
        Labels::Resolved => Some(Box::new(Outcome { stripped: BTreeMap::new(), ..outcome })),
        Labels::Everything => Some(Box::new(outcome)),
    }
}

/// Tells the person what could not be read; the first few in full.
pub fn report_problems(problems: &[Problem], progress: &Progress) {
    const SHOWN: usize = 10;
    for problem in problems.iter().take(SHOWN) {
        progress.warn(&format!("warning: {problem}"));
    }
    if problems.len() > SHOWN {
        progress
            .warn(&format!("warning: {} more problems; --strict stops at the first", problems.len() - SHOWN));
    }
}
