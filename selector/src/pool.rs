//! The candidates of one issue, as given and as the policies see them.

use std::sync::Arc;

use common::Candidate;
use patch::{Digest, FileClass, Patch};
use serde::{Deserialize, Serialize};

use crate::{facts::Facts, ranker::Sketch, test_evidence::Touched};

/// The candidates of one issue.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The issue.
    pub instance_id: String,
    /// The text of the issue, where it is at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    /// The candidates; their ids are unique.
    pub candidates: Vec<Candidate>,
}

/// What selection keeps of one candidate: its patch digested, its trajectory reduced to facts.
///
/// Costs about as much as the patch; the conversation is not kept, so that thousands fit in memory.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The candidate.
    pub candidate_id: String,
    /// What the trajectory shows.
    pub facts: Facts,
    /// The tests that the patch touches.
    pub touched: Touched,
    /// The patch as given.
    pub patch: String,
    /// The normalised change.
    pub digest: Digest,
    /// The change as it is written.
    pub sketch: Sketch,
    /// 0: the patch changes something; 1: it has text but no readable change; 2: there is none.
    emptiness: u8,
}

/// A pool ready to be selected from, perhaps many times.
#[derive(Debug, Clone, Default)]
pub struct PreparedPool {
    /// The issue.
    pub instance_id: String,
    /// The text of the issue, where it is at hand.
    pub issue: Option<Arc<str>>,
    /// The candidates, in the order given.
    pub candidates: Vec<Arc<Prepared>>,
}

impl Prepared {
    /// Digests the patch and reads the facts off the trajectory.
    pub fn new(candidate: &Candidate) -> Self {
        let text = candidate.trajectory.patch_text();
        let patch = patch::parse(text);
        let digest = Digest::of(&patch);
        let emptiness = match (digest.is_empty(), text.trim().is_empty()) {
            (_, true) => 2,
            (true, false) => 1,
            (false, false) => 0,
        };
        Self {
            candidate_id: candidate.candidate_id.clone(),
            facts: Facts::of(&candidate.trajectory),
            touched: touched(&patch),
            sketch: Sketch::of(&patch),
            patch: text.to_owned(),
            digest,
            emptiness,
        }
    }

    /// 0: the patch changes something; 1: it has text but no readable change; 2: there is no patch. Candidates above
    /// the lowest of the pool are never chosen.
    pub fn emptiness(&self) -> u8 {
        self.emptiness
    }
}

/// The patch's test files, under their old and new names, with the text of their hunks.
fn touched(patch: &Patch) -> Touched {
    let tests = patch
        .files
        .iter()
        .filter(|file| file.class == FileClass::Test || file.path().ends_with("conftest.py"));
    Touched::new(tests.flat_map(|file| {
        let mut text = String::new();
        for hunk in &file.hunks {
            text.push_str(&hunk.section);
            for line in &hunk.lines {
                text.push('\n');
                text.push_str(&line.text);
            }
            text.push('\n');
        }
        let mut paths: Vec<&String> = [&file.old_path, &file.new_path].into_iter().flatten().collect();
        paths.dedup();
        paths.into_iter().map(|path| (path.clone(), text.clone())).collect::<Vec<_>>()
    }))
}

impl PreparedPool {
    /// Prepares every candidate.
    pub fn new(pool: &Pool) -> Self {
        Self {
            instance_id: pool.instance_id.clone(),
            issue: pool.issue.as_deref().map(Arc::from),
            candidates: pool.candidates.iter().map(|candidate| Arc::new(Prepared::new(candidate))).collect(),
        }
    }
}
