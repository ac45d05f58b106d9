//! Storing without a service.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use common::{Candidate, Outcome, TestRun};
use store::{
    ConnectOptions, ContentId, NewCandidate, NewIssue, NewOutcome, NewTestRun, Records, Store, Tenant,
    Timestamp, connect,
};
use uuid::Uuid;

use super::Kept;
use crate::input::group::Issue;
use crate::service::Settings;

/// Opens the configured database.
pub(super) async fn open(settings: &Settings) -> Result<Arc<dyn Store>> {
    connect(&settings.database.address()?, &ConnectOptions::default())
        .await
        .with_context(|| format!("cannot open the database {}", settings.database.redacted()))
}

/// Stores an issue with its candidates, their outcomes and test runs.
pub(super) async fn keep(store: &Arc<dyn Store>, tenant: &Tenant, mut issue: Issue) -> Result<Kept> {
    let now = Timestamp::now();
    let instance_id = issue.pool.instance_id.clone();
    let what = || format!("cannot store the candidates of {instance_id}");
    let text = issue.pool.issue.as_deref().map(str::to_owned);
    let (candidates, ids) = prepare(issue.unpack()).with_context(what)?;
    let runs = test_runs(&instance_id, &ids, std::mem::take(&mut issue.evidence.tests));
    let outcomes: Vec<NewOutcome> = issue
        .details
        .iter()
        .filter_map(|(id, details)| outcome(*ids.get(id)?, details.outcome.as_deref()?))
        .collect();
    let given: Vec<ContentId> = candidates.iter().map(NewCandidate::id).collect();
    let mut known = store.known_candidates(tenant, &given).await.with_context(what)?;
    let kept = Kept {
        candidates: given.len(),
        new: given.into_iter().filter(|id| known.insert(*id)).count(),
        outcomes: outcomes.len(),
        test_runs: runs.len(),
    };
    let issue = NewIssue { instance_id: instance_id.clone(), text };
    let records = Records { tests: runs, outcomes, ..Records::of(issue, candidates) };
    store.put_records(tenant, records, now, None).await.with_context(what)?;
    Ok(kept)
}

/// Ready to be stored, with the content address of each candidate id.
fn prepare(candidates: Vec<Candidate>) -> Result<(Vec<NewCandidate>, BTreeMap<String, ContentId>)> {
    let mut ready = Vec::with_capacity(candidates.len());
    let mut ids = BTreeMap::new();
    for candidate in candidates {
        let new = NewCandidate::prepare(&candidate.trajectory)?;
        ids.insert(candidate.candidate_id, new.id());
        ready.push(new);
    }
    Ok((ready, ids))
}

fn test_runs(instance_id: &str, ids: &BTreeMap<String, ContentId>, runs: Vec<TestRun>) -> Vec<NewTestRun> {
    runs.into_iter()
        .map(|run| NewTestRun {
            instance_id: instance_id.to_owned(),
            content_id: run.candidate_id.as_ref().and_then(|id| ids.get(id).copied()),
            run,
        })
        .collect()
}

/// A label worth storing: what only strips a reference patch says nothing of the candidate.
fn outcome(content_id: ContentId, outcome: &Outcome) -> Option<NewOutcome> {
    if outcome.resolved.is_none() && outcome.reward.is_none() {
        return None;
    }
    let source = if outcome.label_source.is_empty() { "file" } else { &outcome.label_source };
    Some(NewOutcome {
        id: Uuid::now_v7(),
        content_id,
        selection_id: None,
        resolved: outcome.resolved,
        reward: outcome.reward,
        source: source.to_owned(),
        detail: (!outcome.stripped.is_empty()).then(|| serde_json::json!(outcome.stripped)),
    })
}
