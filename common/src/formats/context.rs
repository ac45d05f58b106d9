//! What a reader is told, what it hands over and what it reports.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Candidate, Outcome, SourceFormat, TestRun};

/// What a reader should know besides the bytes.
#[derive(Debug, Clone, Default)]
pub struct ReadContext {
    /// The file's path as text, for messages, and for instance and candidate ids where the content has none.
    /// Best relative to the folder the user named; empty when there is no file.
    pub name: String,
    /// Read everything as this format instead of detecting it.
    pub format: Option<SourceFormat>,
    /// Stop at the first problem instead of reporting it and going on.
    pub strict: bool,
    /// Bounds on memory.
    pub limits: Limits,
}

impl ReadContext {
    /// A context for a file of this name, with everything else at its default.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// Bounds on what one record may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest line of a JSON-lines file, in bytes after decompression; a longer one is skipped and reported.
    pub line_bytes: usize,
    /// Largest document that is not in JSON lines, in bytes after decompression; it is held whole.
    pub document_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line_bytes: 256 << 20, document_bytes: 1 << 30 }
    }
}

/// One thing found in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A candidate, with what was stripped from it.
    Candidate(Box<CandidateRecord>),
    /// A label without a candidate, from a report.
    Outcome(Outcome),
    /// What a suite said of a candidate or of the unpatched code.
    TestRun {
        /// The issue.
        instance_id: String,
        /// The run.
        run: TestRun,
    },
    /// The text of an issue.
    Issue {
        /// The issue.
        instance_id: String,
        /// Its text.
        text: String,
    },
}

/// A candidate as read.
#[derive(Debug, Clone, PartialEq)]
pub struct CandidateRecord {
    /// The candidate; without labels.
    pub candidate: Candidate,
    /// Labels and reference material that its record held; never for selection.
    pub outcome: Option<Outcome>,
    /// Where a pool row says that the candidate's trajectory file is, relative to the pool's archive.
    pub trajectory_path: Option<String>,
    /// Whether the scaffold itself chose this attempt among its retries; null where it did not choose.
    /// The scaffold's opinion, not a label.
    pub scaffold_choice: Option<bool>,
}

/// Something that could not be read, or was read with a doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The file's name, as given.
    pub file: String,
    /// Line, from 1; null when the problem is of the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong, in words.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.file.is_empty() || self.line.is_some() {
            f.write_str(" ")?;
        }
        f.write_str(&self.reason)
    }
}

/// Why reading a file ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The reader failed.
    #[error("{file}: cannot read: {source}")]
    Io {
        /// The file's name, as given.
        file: String,
        /// The failure.
        source: std::io::Error,
    },
    /// Strict reading met a problem.
    #[error("{0}")]
    Strict(Problem),
}

/// What a file held, in numbers, and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ReadReport {
    /// Records by the format that they were read as.
    #[schema(value_type = Object)]
    pub formats: BTreeMap<SourceFormat, u64>,
    /// Candidates handed over.
    pub candidates: u64,
    /// Labels: those of candidates and those alone.
    pub outcomes: u64,
    /// Test runs handed over.
    pub test_runs: u64,
    /// Issue texts handed over.
    pub issues: u64,
    /// The first [`ReadReport::MAX_PROBLEMS`] problems, in file order.
    pub problems: Vec<Problem>,
    /// Problems beyond those kept.
    pub problems_omitted: u64,
    /// True when the callback asked to stop.
    pub stopped: bool,
}

impl ReadReport {
    /// How many problems a report keeps in full; the rest are counted.
    pub const MAX_PROBLEMS: usize = 1000;

    /// True when the file held something and nothing was wrong with it.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.candidates + self.outcomes + self.test_runs + self.issues > 0
    }

    pub(super) fn add_problem(&mut self, problem: Problem) {
        if self.problems.len() < Self::MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.problems_omitted += 1;
        }
    }
}
