//! Issues whose candidates carry labels, for fitting and measuring only.

use common::Outcome;
use rand_xoshiro::{
    SplitMix64,
    rand_core::{RngCore as _, SeedableRng as _},
};
use rustc_hash::FxHashMap;

use super::python;
use crate::{
    evidence::Evidence,
    pool::{Pool, PreparedPool},
};

/// One issue of a labelled pool. The labels stay beside the candidates; no policy sees them.
#[derive(Debug, Clone)]
pub struct LabelledIssue {
    /// The candidates.
    pub pool: PreparedPool,
    /// What is known of them.
    pub evidence: Evidence,
    /// Whether each resolves the issue; `None` without a label.
    pub resolved: Vec<Option<bool>>,
    /// Each patch as the reference scorer reads it.
    pub(super) changes: Vec<Change>,
}

/// Issues of one file or folder.
#[derive(Debug, Clone, Default)]
pub struct LabelledPool {
    /// The pool's name, for the report.
    pub name: String,
    /// Its issues, in the order of the file.
    pub issues: Vec<LabelledIssue>,
}

/// What the reference scorer keeps of a patch: its changed lines without context and positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// Hash of the changed lines with their files.
    pub(super) key: u64,
    /// How many there are.
    pub(super) lines: u32,
    /// Whether the patch is white space only.
    pub(super) blank: bool,
}

impl LabelledIssue {
    /// Joins outcomes to candidates by id. Outcomes of other candidates are left aside.
    pub fn new(pool: &Pool, evidence: Evidence, outcomes: &[Outcome]) -> Self {
        let labels: FxHashMap<&str, bool> = outcomes
            .iter()
            .filter(|outcome| outcome.instance_id == pool.instance_id || outcome.instance_id.is_empty())
            .filter_map(|outcome| Some((outcome.candidate_id.as_deref()?, outcome.resolved?)))
            .collect();
        Self {
            pool: PreparedPool::new(pool),
            evidence,
            resolved: pool.candidates.iter().map(|c| labels.get(c.candidate_id.as_str()).copied()).collect(),
            changes: pool.candidates.iter().map(|c| Change::of(c.trajectory.patch_text())).collect(),
        }
    }

    /// A pool that was prepared before, with the label of each candidate in the order of the pool.
    pub fn of_prepared(pool: PreparedPool, evidence: Evidence, resolved: Vec<Option<bool>>) -> Self {
        debug_assert_eq!(pool.candidates.len(), resolved.len(), "one label a candidate");
        let changes = pool.candidates.iter().map(|candidate| Change::of(&candidate.patch)).collect();
        Self { pool, evidence, resolved, changes }
    }

    /// Whether a candidate resolves the issue; one without a label counts as not.
    pub fn is_resolved(&self, at: usize) -> bool {
        self.resolved[at] == Some(true)
    }

    /// The same issue with some of its candidates, in the order given.
    #[must_use]
    pub fn subset(&self, keep: &[usize]) -> Self {
        let ids: rustc_hash::FxHashSet<&str> =
            keep.iter().map(|&at| self.pool.candidates[at].candidate_id.as_str()).collect();
        Self {
            pool: PreparedPool {
                instance_id: self.pool.instance_id.clone(),
                issue: self.pool.issue.clone(),
                candidates: keep.iter().map(|&at| self.pool.candidates[at].clone()).collect(),
            },
            evidence: Evidence {
                tests: self
                    .evidence
                    .tests
                    .iter()
                    .filter(|run| run.candidate_id.as_deref().is_none_or(|id| ids.contains(id)))
                    .cloned()
                    .collect(),
                scores: self
                    .evidence
                    .scores
                    .iter()
                    .filter(|score| ids.contains(score.candidate_id.as_str()))
                    .cloned()
                    .collect(),
            },
            resolved: keep.iter().map(|&at| self.resolved[at]).collect(),
            changes: keep.iter().map(|&at| self.changes[at]).collect(),
        }
    }
}

impl Change {
    pub(super) fn of(patch: &str) -> Self {
        let (mut key, mut lines, mut file) = (FNV, 0, "");
        for line in python::lines(patch) {
            if let Some(path) = line.strip_prefix("+++ ") {
                file = path.trim_matches(python::is_space);
            } else if (line.is_empty() || line.starts_with(['+', '-'])) && !line.starts_with("--- ") {
                // An empty line counts too: in Python '' is in every string.
                key = fnv(key, file);
                key = fnv(key, line.trim_end_matches(python::is_space));
                lines += 1;
            }
        }
        Self { key, lines, blank: patch.trim_matches(python::is_space).is_empty() }
    }
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over a text and its end.
pub(crate) fn fnv(hash: u64, text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    step(text.bytes().fold(hash, step), 0xff)
}

/// A hash of a text that is the same on every machine and run.
pub(crate) fn stable_hash(text: &str) -> u64 {
    mix(fnv(FNV, text))
}

/// The first output of SplitMix64 from a seed: a number in which every bit depends on every bit of the seed.
pub(crate) fn mix(seed: u64) -> u64 {
    SplitMix64::seed_from_u64(seed).next_u64()
}
