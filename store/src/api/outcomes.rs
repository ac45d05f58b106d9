//! Outcomes: whether candidates turned out to resolve their issue. Selection never sees them; preference data does.

use std::collections::VecDeque;

use async_trait::async_trait;
use common::ExitStatus;
use futures_util::Stream;
use uuid::Uuid;

use super::candidates::{check_finite, check_key};
use super::idempotency::Completion;
use crate::{ContentId, Result, StoreError, Tenant, Timestamp};

/// An outcome to be stored. The latest report about a candidate counts; earlier ones are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOutcome {
    /// Its id: a UUID of version 7, made by the caller. Among reports of the same time the highest id is the latest.
    pub id: Uuid,
    /// The candidate.
    pub content_id: ContentId,
    /// The selection that it was reported for, if any.
    pub selection_id: Option<Uuid>,
    /// Whether the issue counts as resolved.
    pub resolved: Option<bool>,
    /// A finer reward, where there is one.
    pub reward: Option<f64>,
    /// Where it comes from: a field's path in a file, or who reported it; not empty.
    pub source: String,
    /// What else was stripped from the file with it.
    pub detail: Option<serde_json::Value>,
}

impl NewOutcome {
    pub(crate) fn check(&self) -> Result<()> {
        check_key("source", &self.source)?;
        check_finite("reward", self.reward)?;
        if self.resolved.is_none() && self.reward.is_none() {
            return Err(StoreError::invalid(
                "resolved",
                "give resolved or a reward: an outcome needs one of them",
            ));
        }
        Ok(())
    }
}

/// A stored outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedOutcome {
    /// Its id.
    pub id: Uuid,
    /// The candidate.
    pub content_id: ContentId,
    /// The selection that it was reported for, if any.
    pub selection_id: Option<Uuid>,
    /// Whether the issue counts as resolved.
    pub resolved: Option<bool>,
    /// A finer reward, where there is one.
    pub reward: Option<f64>,
    /// Where it comes from.
    pub source: String,
    /// When it was reported.
    pub reported_at: Timestamp,
}

/// A candidate with its latest outcome, without the conversation: enough to plan preference pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledCandidate {
    /// The issue.
    pub instance_id: String,
    /// The candidate.
    pub content_id: ContentId,
    /// Whether the issue counts as resolved.
    pub resolved: Option<bool>,
    /// A finer reward, where there is one.
    pub reward: Option<f64>,
    /// Where the label comes from.
    pub source: String,
    /// How the run ended.
    pub exit: ExitStatus,
    /// Length of the conversation in turns; 0 for a patch without one.
    pub turns: u32,
    /// Equal for runs with the same system and first user message; `None` without one.
    pub prompt_id: Option<String>,
    /// Size of the trajectory's JSON in bytes.
    pub bytes: u64,
}

/// Where a page of labelled candidates ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelCursor {
    /// Issue of the last line.
    pub instance_id: String,
    /// Candidate of the last line.
    pub content_id: ContentId,
}

/// Outcomes.
#[async_trait]
pub trait OutcomeStore: Send + Sync {
    /// Stores outcomes of stored candidates, in one transaction with the answer to an idempotent request if there is
    /// one. `NotFound` when a candidate or selection is not stored.
    async fn put_outcomes(
        &self,
        tenant: &Tenant,
        outcomes: Vec<NewOutcome>,
        now: Timestamp,
        completion: Option<Completion>,
    ) -> Result<()>;

    /// Every report about a candidate, latest first.
    async fn outcomes(&self, tenant: &Tenant, content_id: ContentId) -> Result<Vec<RecordedOutcome>>;

    /// The latest outcome of each candidate of a selection, by the selection's candidate ids; those without are left
    /// out.
    async fn selection_outcomes(
        &self,
        tenant: &Tenant,
        selection_id: Uuid,
    ) -> Result<Vec<(String, RecordedOutcome)>>;

    /// Candidates that have an outcome, by issue and then content id, after `after`, at most `limit`.
    async fn labelled(
        &self,
        tenant: &Tenant,
        after: Option<&LabelCursor>,
        limit: u32,
    ) -> Result<Vec<LabelledCandidate>>;
}

/// The labelled candidates of one issue.
#[derive(Debug, Clone, PartialEq)]
pub struct IssueLabels {
    /// The issue.
    pub instance_id: String,
    /// Its labelled candidates, by content id; at least one.
    pub candidates: Vec<LabelledCandidate>,
}

/// How many rows are read at once.
const PAGE: u32 = 512;

/// Everything labelled, issue by issue in the order of their identifiers.
///
/// Memory is bounded by one page and one issue's rows (about 200 bytes a candidate); conversations are not read.
pub fn labelled_issues<'a>(
    store: &'a dyn OutcomeStore,
    tenant: &'a Tenant,
) -> impl Stream<Item = Result<IssueLabels>> + Send + 'a {
    struct State<'a> {
        store: &'a dyn OutcomeStore,
        tenant: &'a Tenant,
        rows: VecDeque<LabelledCandidate>,
        /// Where the last page ended; `None` before the first.
        after: Option<LabelCursor>,
        exhausted: bool,
    }
    let state = State { store, tenant, rows: VecDeque::new(), after: None, exhausted: false };
    futures_util::stream::try_unfold(state, |mut state| async move {
        let mut issue: Option<IssueLabels> = None;
        loop {
            let Some(row) = state.rows.pop_front() else {
                if state.exhausted {
                    return Ok(issue.map(|issue| (issue, state)));
                }
                state.rows = state.store.labelled(state.tenant, state.after.as_ref(), PAGE).await?.into();
                state.exhausted = state.rows.len() < PAGE as usize;
                if let Some(last) = state.rows.back() {
                    let (instance_id, content_id) = (last.instance_id.clone(), last.content_id);
                    state.after = Some(LabelCursor { instance_id, content_id });
                }
                continue;
            };
            match &mut issue {
                Some(issue) if issue.instance_id == row.instance_id => issue.candidates.push(row),
                Some(_) => {
                    state.rows.push_front(row);
                    return Ok(issue.map(|issue| (issue, state)));
                }
                None => {
                    issue = Some(IssueLabels { instance_id: row.instance_id.clone(), candidates: vec![row] });
                }
            }
        }
    })
}
