//! Candidates (trajectories by content), what tests said of them, and verifiers' scores.

use std::collections::BTreeSet;

use async_trait::async_trait;
use common::{ExitStatus, SourceFormat, TestRun, Trajectory, VerifierScore};

use super::idempotency::Completion;
use super::issues::NewIssue;
use super::outcomes::NewOutcome;
use crate::{ContentId, Result, StoreError, Tenant, Timestamp, blob};

/// A trajectory made ready for storing: serialised once, hashed and compressed.
///
/// [`prepare`](Self::prepare) is the only CPU-heavy part of storing a candidate; do it off the async threads, next to
/// whatever else is computed from the trajectory.
#[derive(Debug, Clone)]
pub struct NewCandidate {
    pub(crate) id: ContentId,
    pub(crate) instance_id: String,
    pub(crate) source: SourceFormat,
    pub(crate) exit: ExitStatus,
    pub(crate) steps: Option<u32>,
    pub(crate) turns: usize,
    pub(crate) bytes: usize,
    pub(crate) prompt_id: Option<String>,
    pub(crate) patch: Option<Vec<u8>>,
    pub(crate) payload: Vec<u8>,
}

impl NewCandidate {
    /// Makes `trajectory` ready. Its `instance_id` must be set: it is part of the content and links the issue.
    pub fn prepare(trajectory: &Trajectory) -> Result<Self> {
        check_key("instance_id", &trajectory.instance_id)?;
        let json = serde_json::to_vec(trajectory).map_err(|error| {
            StoreError::invalid("trajectory", format!("cannot be written as JSON: {error}"))
        })?;
        Ok(Self {
            id: ContentId::of(&json),
            instance_id: trajectory.instance_id.clone(),
            source: trajectory.source,
            exit: trajectory.exit,
            steps: trajectory.steps,
            turns: trajectory.turns.len(),
            bytes: json.len(),
            prompt_id: trajectory.prompt_id(),
            patch: trajectory.patch.as_deref().map(|patch| blob::encode(patch.as_bytes())),
            payload: blob::encode(&json),
        })
    }

    /// Its content address: equal to [`Trajectory::content_id`].
    pub fn id(&self) -> ContentId {
        self.id
    }

    /// The issue it belongs to.
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }
}

/// A stored candidate without its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateInfo {
    /// Its content address.
    pub id: ContentId,
    /// The issue it belongs to.
    pub instance_id: String,
    /// The format it was read from.
    pub source: SourceFormat,
    /// How the run ended.
    pub exit: ExitStatus,
    /// Actions the agent took, where known.
    pub steps: Option<u32>,
    /// Length of the conversation in turns.
    pub turns: u32,
    /// Size of its JSON in bytes, before compression.
    pub bytes: u64,
    /// When it was first stored.
    pub created_at: Timestamp,
}

/// A stored candidate with its conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCandidate {
    /// What it is.
    pub info: CandidateInfo,
    /// The run.
    pub trajectory: Trajectory,
}

/// What a suite said, joined to stored records.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTestRun {
    /// The issue.
    pub instance_id: String,
    /// The candidate; `None` for the unpatched code. The `candidate_id` in `run` is only a name beside it.
    pub content_id: Option<ContentId>,
    /// The results.
    pub run: TestRun,
}

/// What one request brings.
#[derive(Debug, Default)]
pub struct Records {
    /// Issues and their candidates.
    pub candidates: Vec<(NewIssue, Vec<NewCandidate>)>,
    /// What suites said of these candidates, or of ones that are stored.
    pub tests: Vec<NewTestRun>,
    /// What became of these candidates, or of ones that are stored.
    pub outcomes: Vec<NewOutcome>,
}

impl Records {
    /// Candidates of one issue.
    pub fn of(issue: NewIssue, candidates: Vec<NewCandidate>) -> Self {
        Self { candidates: vec![(issue, candidates)], ..Self::default() }
    }
}

/// A verifier's score of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredScore {
    /// The candidate.
    pub content_id: ContentId,
    /// The model revision that made it.
    pub revision: String,
    /// Probability in [0, 1] that the candidate resolves the issue; `None` when the verifier could not say.
    pub probability: Option<f64>,
    /// The raw logit, where the verifier gave one.
    pub logit: Option<f64>,
}

/// Candidates, test runs and scores.
#[async_trait]
pub trait CandidateStore: Send + Sync {
    /// Stores everything that a request brings in one transaction, with the answer to it if it is an idempotent one.
    /// A candidate that is there already stays as it is.
    async fn put_records(
        &self,
        tenant: &Tenant,
        records: Records,
        now: Timestamp,
        completion: Option<Completion>,
    ) -> Result<()>;

    /// Which of `ids` are stored.
    async fn known_candidates(&self, tenant: &Tenant, ids: &[ContentId]) -> Result<BTreeSet<ContentId>>;

    /// One candidate, or `NotFound`.
    async fn candidate(&self, tenant: &Tenant, id: ContentId) -> Result<StoredCandidate>;

    /// Candidates in the order asked for; `NotFound` names the first that is missing.
    async fn candidates(&self, tenant: &Tenant, ids: &[ContentId]) -> Result<Vec<StoredCandidate>>;

    /// Candidates with their patches but without their conversations, in the order asked for; `NotFound` names the
    /// first that is missing. A patch is `None` when the run has none.
    async fn candidate_patches(
        &self,
        tenant: &Tenant,
        ids: &[ContentId],
    ) -> Result<Vec<(CandidateInfo, Option<String>)>>;

    /// The candidates of an issue by content id, after `after`, at most `limit`.
    async fn candidates_of_issue(
        &self,
        tenant: &Tenant,
        instance_id: &str,
        after: Option<ContentId>,
        limit: u32,
    ) -> Result<Vec<CandidateInfo>>;

    /// Stores test runs of known issues and candidates. The same run twice is a rerun, and kept twice.
    async fn put_test_runs(&self, tenant: &Tenant, runs: Vec<NewTestRun>, now: Timestamp) -> Result<()>;

    /// What suites said of one candidate, or with `None` of the issue's unpatched code; oldest first.
    async fn test_runs(
        &self,
        tenant: &Tenant,
        instance_id: &str,
        content_id: Option<ContentId>,
    ) -> Result<Vec<TestRun>>;

    /// Stores scores; a later score of the same candidate by the same revision replaces the earlier one.
    async fn put_scores(&self, tenant: &Tenant, scores: Vec<StoredScore>, now: Timestamp) -> Result<()>;

    /// The scores that `revision` gave to `ids`, by content id; those without one are left out.
    async fn scores(&self, tenant: &Tenant, ids: &[ContentId], revision: &str) -> Result<Vec<StoredScore>>;
}

/// Keys go into text columns, and PostgreSQL's cannot hold NUL; empty ones are mistakes.
pub(crate) fn check_key(field: &'static str, key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(StoreError::invalid(field, "must not be empty"));
    }
    check_text(field, key)?;
    if key.len() > 1024 {
        return Err(StoreError::invalid(field, "must not be longer than 1,024 bytes"));
    }
    Ok(())
}

/// Text columns cannot hold NUL on PostgreSQL.
pub(crate) fn check_text(field: &'static str, text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(StoreError::invalid(field, "must not contain the character U+0000"));
    }
    Ok(())
}

/// Numbers from outside: JSON has no others, and NaN never sorts.
pub(crate) fn check_finite(field: &'static str, number: Option<f64>) -> Result<()> {
    match number {
        Some(number) if !number.is_finite() => Err(StoreError::invalid(field, "must be a finite number")),
        _ => Ok(()),
    }
}

impl StoredScore {
    /// A verifier's score, joined to the candidate's content.
    pub fn new(content_id: ContentId, score: &VerifierScore) -> Self {
        Self {
            content_id,
            revision: score.revision.clone(),
            probability: score.probability,
            logit: score.logit,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_text("revision", &self.revision)?;
        check_finite("probability", self.probability)?;
        check_finite("logit", self.logit)
    }
}

#[cfg(test)]
mod tests {
    use common::{Role, Turn};

    use super::*;

    fn run(turns: &[(Role, &str)]) -> Trajectory {
        Trajectory {
            instance_id: "a__b-1".to_owned(),
            turns: turns
                .iter()
                .map(|&(role, content)| Turn { role, content: content.to_owned(), ..Turn::default() })
                .collect(),
            ..Trajectory::default()
        }
    }

    #[test]
    fn prepared_id_is_the_content_id() {
        let trajectory = run(&[(Role::System, "be good"), (Role::User, "fix\0 it")]);
        assert_eq!(NewCandidate::prepare(&trajectory).unwrap().id().to_string(), trajectory.content_id());
    }

    #[test]
    fn the_prompt_ends_with_the_first_user_turn() {
        let one = run(&[(Role::System, "s"), (Role::User, "u"), (Role::Assistant, "a")]).prompt_id();
        let other = run(&[(Role::System, "s"), (Role::User, "u"), (Role::Assistant, "b")]).prompt_id();
        assert!(one.is_some());
        assert_eq!(one, other);
        assert_ne!(one, run(&[(Role::System, "su"), (Role::User, "")]).prompt_id());
        assert_ne!(one, run(&[(Role::User, "s"), (Role::User, "u")]).prompt_id());
        assert_eq!(run(&[(Role::System, "s")]).prompt_id(), None);
    }

    #[test]
    fn a_candidate_without_issue_is_refused() {
        let error = NewCandidate::prepare(&Trajectory::default()).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: "instance_id", .. }), "{error}");
    }
}
