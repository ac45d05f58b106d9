//! Selections: what was asked, which candidates stood, and the answer.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use common::{Selection, TestRun, VerifierScore};
use uuid::Uuid;

use super::candidates::NewCandidate;
use super::idempotency::Completion;
use super::issues::NewIssue;
use crate::{ContentId, Result, StoreError, Tenant, Timestamp};

/// A selection to be stored, with everything it rests on.
#[derive(Debug, Clone)]
pub struct NewSelection {
    /// Its id: a UUID of version 7, made by the caller.
    pub id: Uuid,
    /// When it was made.
    pub created_at: Timestamp,
    /// The issue.
    pub issue: NewIssue,
    /// The candidates; their ids are unique.
    pub members: Vec<NewMember>,
    /// Test evidence, joined to members by candidate id; `None` there is the unpatched code.
    pub tests: Vec<TestRun>,
    /// Verifiers' scores, joined to members by candidate id.
    pub scores: Vec<VerifierScore>,
    /// The request without candidates and tests: policy, options, client.
    pub request: serde_json::Value,
    /// The answer.
    pub result: Selection,
}

/// A candidate of a selection to be stored.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// Its id among the candidates of the selection.
    pub candidate_id: String,
    /// What it is.
    pub content: Member,
}

/// The content of a member.
#[derive(Debug, Clone)]
pub enum Member {
    /// A trajectory that came with the request; stored if it is not there already.
    New(Box<NewCandidate>),
    /// A candidate of the same issue that was stored before.
    Known(ContentId),
}

impl Member {
    /// The content address.
    pub fn id(&self) -> ContentId {
        match self {
            Self::New(candidate) => candidate.id,
            Self::Known(id) => *id,
        }
    }
}

/// A stored selection.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectionRecord {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub created_at: Timestamp,
    /// The request without candidates and tests.
    pub request: serde_json::Value,
    /// The answer.
    pub result: Selection,
    /// Id and content of every candidate, in the order of the request.
    pub members: Vec<(String, ContentId)>,
}

impl SelectionRecord {
    /// The content of a candidate of this selection; of the chosen one with `None`.
    pub fn content_id(&self, candidate_id: Option<&str>) -> Result<ContentId> {
        let Some(wanted) = candidate_id.or(self.result.chosen.as_deref()) else {
            return Err(StoreError::invalid("candidate_id", "name a candidate: this selection chose none"));
        };
        let found = self.members.iter().find(|(id, _)| id == wanted);
        found.map(|(_, content)| *content).ok_or_else(|| StoreError::not_found("candidate", wanted))
    }
}

/// A line of the list of selections.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectionSummary {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub created_at: Timestamp,
    /// The issue.
    pub instance_id: String,
    /// The policy that decided.
    pub policy: String,
    /// The chosen candidate's id; `None` when the policy abstained.
    pub chosen: Option<String>,
    /// Calibrated probability that the pick resolves the issue, where the policy gives one.
    pub confidence: Option<f64>,
    /// Whether the policy abstained.
    pub abstained: bool,
    /// Number of candidates.
    pub candidate_count: u32,
    /// The latest outcome of the chosen candidate, whoever reported it.
    pub resolved: Option<bool>,
}

/// Which selections to list. Conditions that are `None` let everything pass; the others must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelectionFilter {
    /// Of this issue.
    pub instance_id: Option<String>,
    /// By this policy.
    pub policy: Option<String>,
    /// Made at this time or later.
    pub created_from: Option<Timestamp>,
    /// Made before this time.
    pub created_before: Option<Timestamp>,
    /// Whether an outcome is known for at least one of the candidates.
    pub has_outcome: Option<bool>,
    /// Whether the latest outcome of the chosen candidate is this.
    pub resolved: Option<bool>,
}

/// Where a page of selections ended. Its text form is what a client carries; it holds no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SelectionCursor {
    /// Time of the last line.
    pub created_at: Timestamp,
    /// Id of the last line.
    pub id: Uuid,
}

impl fmt::Display for SelectionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.created_at.0, self.id.simple())
    }
}

impl FromStr for SelectionCursor {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let invalid = || StoreError::invalid("cursor", "is not one that this service gave out");
        if text.len() != 48 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(invalid());
        }
        let created_at = u64::from_str_radix(&text[..16], 16).map_err(|_| invalid())?;
        let id = Uuid::try_parse(&text[16..]).map_err(|_| invalid())?;
        Ok(Self { created_at: Timestamp(created_at.cast_signed()), id })
    }
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The lines.
    pub items: Vec<T>,
    /// Where to read on; `None` at the end.
    pub next: Option<C>,
}

/// Selections.
#[async_trait]
pub trait SelectionStore: Send + Sync {
    /// Stores a selection with its issue, candidates, tests and scores, and the answer to an idempotent request if
    /// there is one: all of it or nothing. `Conflict` when the id is taken or the claim was lost; `NotFound` when a
    /// known member is not stored.
    async fn record_selection(
        &self,
        tenant: &Tenant,
        selection: NewSelection,
        completion: Option<Completion>,
    ) -> Result<()>;

    /// One selection, or `NotFound`.
    async fn selection(&self, tenant: &Tenant, id: Uuid) -> Result<SelectionRecord>;

    /// Test evidence that came with a selection, by its candidate ids, in the order of the request.
    async fn selection_test_runs(&self, tenant: &Tenant, id: Uuid) -> Result<Vec<TestRun>>;

    /// Selections, newest first, after `after`, at most `limit` (1 to 1,000).
    async fn selections(
        &self,
        tenant: &Tenant,
        filter: &SelectionFilter,
        after: Option<SelectionCursor>,
        limit: u32,
    ) -> Result<Page<SelectionSummary, SelectionCursor>>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_round_trip(micros in any::<i64>(), id in any::<u128>()) {
            let cursor = SelectionCursor { created_at: Timestamp(micros), id: Uuid::from_u128(id) };
            prop_assert_eq!(cursor.to_string().parse::<SelectionCursor>().unwrap(), cursor);
        }

        #[test]
        fn foreign_cursors_are_refused_without_panic(text in "\\PC{0,60}") {
            let _ = text.parse::<SelectionCursor>();
        }
    }

    #[test]
    fn a_cursor_has_one_spelling() {
        let cursor = SelectionCursor { created_at: Timestamp(1), id: Uuid::from_u128(0xabc) };
        assert!(cursor.to_string().to_uppercase().parse::<SelectionCursor>().is_err());
    }
}
