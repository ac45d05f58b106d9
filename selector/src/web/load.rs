//! Reads what a page needs from the store.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use common::Trajectory;
use server::Problem;
use server::auth::Caller;
use store::{SelectionCursor, SelectionFilter, SelectionRecord, Store, StoreError, Tenant};
use uuid::Uuid;

use super::data::{CandidateData, Detail, Listed, Reported};
use super::list_view::{ListQuery, OutcomeFilter};
use super::respond::WebError;

/// Selections on one page of the list.
const LIST_PAGE: u32 = 50;

/// The records that a visitor may see: those of the tenant of their token. Pages get at the store through this only.
#[derive(Debug, Clone)]
pub(super) struct Records {
    pub(super) store: Arc<dyn Store>,
    pub(super) tenant: Tenant,
}

impl FromRequestParts<Arc<dyn Store>> for Records {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, store: &Arc<dyn Store>) -> Result<Self, Problem> {
        let Caller { tenant, .. } = Caller::from_request_parts(parts, store).await?;
        Ok(Self { store: Arc::clone(store), tenant })
    }
}

/// A selection's id from an address. One that cannot be an id names nothing.
pub(super) fn id(text: &str) -> Result<Uuid, WebError> {
    Uuid::try_parse(text).map_err(|_| WebError::not_found("there is no selection with this id"))
}

/// Rows of the list and the cursor of the next ones.
pub(super) async fn list(
    records: &Records,
    query: &ListQuery,
) -> Result<(Vec<Listed>, Option<String>), WebError> {
    let some = |text: &str| Some(text.trim()).filter(|t| !t.is_empty()).map(str::to_owned);
    let outcome = query.outcome().ok_or_else(|| WebError::invalid("there is no such filter by outcome"))?;
    let filter = SelectionFilter {
        instance_id: some(&query.instance_id),
        policy: some(&query.policy),
        has_outcome: match outcome {
            OutcomeFilter::Reported => Some(true),
            OutcomeFilter::NotReported => Some(false),
            _ => None,
        },
        resolved: match outcome {
            OutcomeFilter::Resolved => Some(true),
            OutcomeFilter::NotResolved => Some(false),
            _ => None,
        },
        ..SelectionFilter::default()
    };
    let after = match query.after.as_str() {
        "" => None,
        text => Some(text.parse::<SelectionCursor>()?),
    };
    let page = records.store.selections(&records.tenant, &filter, after, LIST_PAGE).await?;
    let listed = page.items.into_iter().map(|s| Listed {
        id: s.id.to_string(),
        created: s.created_at.to_string(),
        instance_id: s.instance_id,
        policy: s.policy,
        chosen: s.chosen,
        abstained: s.abstained,
        confidence: s.confidence,
        candidates: s.candidate_count as usize,
        resolved: s.resolved,
    });
    Ok((listed.collect(), page.next.map(|c| c.to_string())))
}

/// One selection with everything but the conversations.
pub(super) async fn detail(records: &Records, id: Uuid) -> Result<Detail, WebError> {
    let record = records.store.selection(&records.tenant, id).await?;
    let issue = match records.store.issue(&records.tenant, &record.result.instance_id).await {
        Ok(issue) => issue.text,
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let candidates = candidates(records, &record).await?;
    let tests = records.store.selection_test_runs(&records.tenant, id).await?;
    let outcomes = records.store.selection_outcomes(&records.tenant, id).await?;
    let reported = outcomes.into_iter().filter_map(|(candidate_id, o)| {
        Some(Reported { candidate_id, resolved: o.resolved?, source: o.source })
    });
    Ok(Detail {
        id: record.id.to_string(),
        created: record.created_at.to_string(),
        issue,
        candidates,
        tests,
        outcomes: reported.collect(),
        selection: record.result,
    })
}

async fn candidates(records: &Records, record: &SelectionRecord) -> Result<Vec<CandidateData>, WebError> {
    let ids: Vec<_> = record.members.iter().map(|(_, content)| *content).collect();
    let patches = records.store.candidate_patches(&records.tenant, &ids).await?;
    let data = record.members.iter().zip(patches).map(|((candidate_id, _), (info, patch))| CandidateData {
        candidate_id: candidate_id.clone(),
        patch,
        steps: info.steps,
        turns: info.turns as usize,
        exit: info.exit,
        source: info.source,
    });
    Ok(data.collect())
}

/// The run of one candidate of a selection.
pub(super) async fn trajectory(
    records: &Records,
    id: Uuid,
    candidate_id: &str,
) -> Result<Trajectory, WebError> {
    let record = records.store.selection(&records.tenant, id).await?;
    let content = record.content_id(Some(candidate_id))?;
    Ok(records.store.candidate(&records.tenant, content).await?.trajectory)
}

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::not_found(error.to_string()),
            StoreError::Invalid { .. } => Self::invalid(error.to_string()),
            other => Self::internal(&other),
        }
    }
}
