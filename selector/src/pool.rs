//! The candidates of one issue, as given and as the policies see them.

use std::sync::Arc;

use common::Candidate;
use serde::{Deserialize, Serialize};

use crate::{facts::Facts, test_evidence::Touched};

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
    /// The patch.
    pub patch: String,
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
        Self {
            candidate_id: candidate.candidate_id.clone(),
            facts: Facts::of(&candidate.trajectory),
            touched: Touched::default(),
            patch: candidate.trajectory.patch_text().to_owned(),
        }
    }

    /// 0: the patch changes something; 1: it has text but no readable change; 2: there is no patch.
    pub fn emptiness(&self) -> u8 {
        if self.patch.trim().is_empty() { 2 } else { 0 }
    }
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
