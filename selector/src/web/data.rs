//! What a page is made of: plain data, loaded by `load` and turned into HTML by the view modules.

use common::{ExitStatus, Selection, SourceFormat, TestRun};

/// One stored selection with everything its page shows, conversations apart.
#[derive(Debug, Clone)]
pub(super) struct Detail {
    /// The selection's id.
    pub(super) id: String,
    /// When it was made: RFC 3339 in UTC.
    pub(super) created: String,
    /// The result.
    pub(super) selection: Selection,
    /// The text of the issue.
    pub(super) issue: Option<String>,
    /// The candidates, in any order; joined to the ranking by id.
    pub(super) candidates: Vec<CandidateData>,
    /// Test runs that the selection saw.
    pub(super) tests: Vec<TestRun>,
    /// What was reported since, the latest for each candidate.
    pub(super) outcomes: Vec<Reported>,
}

/// What is shown of a candidate without its conversation.
#[derive(Debug, Clone, Default)]
pub(super) struct CandidateData {
    /// The candidate.
    pub(super) candidate_id: String,
    /// Its patch; `None` when its file held none.
    pub(super) patch: Option<String>,
    /// Actions that the agent took.
    pub(super) steps: Option<u32>,
    /// Turns of the conversation; 0 for a patch without a trajectory.
    pub(super) turns: usize,
    /// How the run ended.
    pub(super) exit: ExitStatus,
    /// The format it was read from.
    pub(super) source: SourceFormat,
}

/// A reported outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reported {
    /// The candidate.
    pub(super) candidate_id: String,
    /// Whether it resolves the issue.
    pub(super) resolved: bool,
    /// Who says so.
    pub(super) source: String,
}

/// One row of the list of selections.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    /// The selection's id.
    pub(super) id: String,
    /// When it was made: RFC 3339 in UTC.
    pub(super) created: String,
    /// The issue.
    pub(super) instance_id: String,
    /// The policy that decided.
    pub(super) policy: String,
    /// The pick.
    pub(super) chosen: Option<String>,
    /// Whether it abstained.
    pub(super) abstained: bool,
    /// Probability that the pick resolves the issue.
    pub(super) confidence: Option<f64>,
    /// How many candidates there were.
    pub(super) candidates: usize,
    /// Whether the pick resolved the issue, where that was reported.
    pub(super) resolved: Option<bool>,
}

impl Detail {
    /// The candidate of this id.
    pub(super) fn candidate(&self, id: &str) -> Option<&CandidateData> {
        self.candidates.iter().find(|c| c.candidate_id == id)
    }

    /// The latest report on a candidate.
    pub(super) fn outcome(&self, id: &str) -> Option<&Reported> {
        self.outcomes.iter().find(|o| o.candidate_id == id)
    }
}
