//! What requests bring: candidates, files of any format, tests and scores; checked and put into one form.

mod candidate;
mod files;
mod issue;
mod test_run;

pub use candidate::CandidateIn;
pub use files::{FileIn, FileReport};
pub use issue::{named_issue, same_issue, unique_id};
pub use test_run::TestIn;

use common::{Candidate, Outcome, TestRun};

use crate::{ByteSize, Problem};

/// Bounds on what one request may bring.
#[derive(Debug, Clone, PartialEq)]
pub struct IntakeLimits {
    /// Candidates.
    pub candidates: usize,
    /// Size of one patch.
    pub patch: ByteSize,
    /// Turns of one trajectory.
    pub turns: usize,
    /// Test results, over all runs.
    pub test_results: usize,
}

/// A candidate with where in the request it stood, for messages.
#[derive(Debug)]
pub struct Given {
    /// Such as `candidates[3]` or `files[0]`.
    pub field: String,
    /// The candidate; its ids may be empty until [`Intake::check`].
    pub candidate: Candidate,
}

/// A test run of one issue.
#[derive(Debug)]
pub struct GivenRun {
    /// Where it stood.
    pub field: String,
    /// The issue; empty when the request does not say.
    pub instance_id: String,
    /// The run.
    pub run: TestRun,
}

/// Everything that a request brought, in its order.
#[derive(Debug, Default)]
pub struct Intake {
    /// Candidates, also those of files.
    pub candidates: Vec<Given>,
    /// Test runs, also those of files.
    pub tests: Vec<GivenRun>,
    /// Texts of issues, by instance.
    pub issues: Vec<(String, String)>,
    /// Labels that files held. They never reach a selection.
    pub outcomes: Vec<Outcome>,
    /// What the files held.
    pub files: Vec<FileReport>,
}

impl Intake {
    /// Takes native candidates.
    pub fn add_candidates(&mut self, given: Vec<CandidateIn>) -> Result<(), Problem> {
        for (index, candidate) in given.into_iter().enumerate() {
            let field = format!("candidates[{index}]");
            if let Some(name) = candidate.empty_id() {
                return Err(Problem::field(format!("{field}.{name}"), "is empty; leave it out instead"));
            }
            self.candidates.push(Given { field, candidate: candidate.into_candidate() });
        }
        Ok(())
    }

    /// Takes test runs.
    pub fn add_tests(&mut self, given: Vec<TestIn>) -> Result<(), Problem> {
        for (index, test) in given.into_iter().enumerate() {
            let field = format!("tests[{index}]");
            let (instance_id, run) = test.into_run(&field)?;
            self.tests.push(GivenRun { field, instance_id, run });
        }
        Ok(())
    }

    /// Takes files of any format.
    pub fn add_files(&mut self, given: Vec<FileIn>) -> Result<(), Problem> {
        for (index, file) in given.into_iter().enumerate() {
            files::read(self, &format!("files[{index}]"), file)?;
        }
        Ok(())
    }

    /// Gives every candidate the instance of the request where it names none itself, and refuses what is over a
    /// limit or cannot be stored.
    pub fn check(&mut self, instance_id: Option<&str>, limits: &IntakeLimits) -> Result<(), Problem> {
        let results: usize = self.tests.iter().map(|given| given.run.results.len()).sum();
        if results > limits.test_results {
            let message =
                format!("hold {results} results, the limit of one request is {}", limits.test_results);
            return Err(Problem::too_large("tests", message));
        }
        if self.candidates.len() > limits.candidates {
            let message =
                format!("are {}, the limit of one request is {}", self.candidates.len(), limits.candidates);
            return Err(Problem::too_large("candidates", message));
        }
        for given in &mut self.candidates {
            let trajectory = &mut given.candidate.trajectory;
            if trajectory.instance_id.is_empty() {
                instance_id.unwrap_or_default().clone_into(&mut trajectory.instance_id);
            }
            let field = |name: &str| format!("{}.{name}", given.field);
            check_id(&field("instance_id"), &trajectory.instance_id)?;
            let (patch, turns) = (trajectory.patch_text().len(), trajectory.turns.len());
            if patch as u64 > limits.patch.0 {
                let message = format!("has {patch} bytes, the limit is {}", limits.patch);
                return Err(Problem::too_large(field("patch"), message));
            }
            if turns > limits.turns {
                let message = format!("has {turns} turns, the limit is {}", limits.turns);
                return Err(Problem::too_large(field("turns"), message));
            }
            if trajectory.cost.is_some_and(|cost| !cost.is_finite()) {
                return Err(Problem::field(field("cost"), "is not a finite number"));
            }
            if given.candidate.candidate_id.is_empty() {
                given.candidate.candidate_id = given.candidate.trajectory.content_id();
            }
            check_id(&field("candidate_id"), &given.candidate.candidate_id)?;
        }
        Ok(())
    }
}

/// Ids go into the database, logs and URLs.
pub fn check_id(field: &str, id: &str) -> Result<(), Problem> {
    if id.is_empty() {
        return Err(Problem::field(field, "is missing"));
    }
    if id.chars().count() > MAX_ID {
        return Err(Problem::field(field, format!("is longer than {MAX_ID} characters")));
    }
    if id.chars().any(|c| c < ' ' || c == '\x7f') {
        return Err(Problem::field(field, "holds a control character"));
    }
    Ok(())
}

/// Longest id in characters.
pub const MAX_ID: usize = 256;
