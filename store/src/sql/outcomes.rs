//! Outcomes in SQL: a history, and the latest of each candidate beside it.

use async_trait::async_trait;
use uuid::Uuid;

use super::insert::insert;
use super::rows::json;
use super::statement::{Row, Statement, Value};
use super::{Backend, SqlStore, candidates, idempotency};
use crate::{
    Completion, ContentId, LabelCursor, LabelledCandidate, NewOutcome, OutcomeStore, RecordedOutcome, Result,
    StoreError, Tenant, Timestamp, blob,
};

const COLUMNS: &str = "o.id, o.content_id, o.selection_id, o.resolved, o.reward, o.source, o.reported_at";

/// A history, and the latest of each candidate beside it.
pub(super) fn put(tenant: &Tenant, outcomes: &[NewOutcome], now: Timestamp) -> Result<Vec<Statement>> {
    let mut rows = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        outcome.check()?;
        let detail = outcome.detail.as_ref().map(|detail| json("detail", detail)).transpose()?;
        rows.push(vec![
            Value::from(outcome.id),
            outcome.content_id.into(),
            outcome.selection_id.into(),
            outcome.resolved.into(),
            outcome.reward.into(),
            outcome.source.as_str().into(),
            now.into(),
            detail.map(|detail| blob::encode(detail.as_bytes())).into(),
        ]);
    }
    let head = "INSERT INTO outcomes (tenant, id, content_id, selection_id, resolved, reward, source, reported_at, detail)";
    let mut statements = insert(tenant, head, rows, "");

    // One statement a label: PostgreSQL refuses to update a row twice in one, and a request may report twice on a
    // candidate. Sorted, so that two requests lock labels in the same order.
    let mut sorted: Vec<&NewOutcome> = outcomes.iter().collect();
    sorted.sort_by_key(|outcome| (outcome.content_id, outcome.id));
    let upsert =
        "INSERT INTO labels (tenant, content_id, instance_id, outcome_id, resolved, reward, source, reported_at)
        SELECT c.tenant, c.id, c.instance_id, o.id, o.resolved, o.reward, o.source, o.reported_at
        FROM outcomes o JOIN candidates c ON c.tenant = o.tenant AND c.id = o.content_id
        WHERE o.tenant = $1 AND o.id = $2
        ON CONFLICT (tenant, content_id) DO UPDATE SET outcome_id = excluded.outcome_id, resolved = excluded.resolved,
            reward = excluded.reward, source = excluded.source, reported_at = excluded.reported_at
        WHERE (labels.reported_at, labels.outcome_id) < (excluded.reported_at, excluded.outcome_id)";
    statements.extend(sorted.into_iter().map(|outcome| Statement::of(tenant, upsert).bind(outcome.id)));
    Ok(statements)
}

/// Outcomes are of candidates that are stored.
pub(super) async fn check_known<B: Backend>(
    store: &SqlStore<B>,
    tenant: &Tenant,
    mut ids: Vec<ContentId>,
) -> Result<()> {
    ids.sort_unstable();
    ids.dedup();
    let known = candidates::known(store, tenant, &ids).await?;
    match ids.iter().find(|id| !known.contains_key(id)) {
        Some(missing) => Err(StoreError::not_found("candidate", missing)),
        None => Ok(()),
    }
}

fn outcome(row: &Row) -> Result<RecordedOutcome> {
    Ok(RecordedOutcome {
        id: row.uuid("id")?,
        content_id: row.content_id("content_id")?,
        selection_id: row.uuid_opt("selection_id")?,
        resolved: row.get("resolved")?,
        reward: row.get("reward")?,
        source: row.get("source")?,
        reported_at: row.time("reported_at")?,
    })
}

fn labelled(row: &Row) -> Result<LabelledCandidate> {
    Ok(LabelledCandidate {
        instance_id: row.get("instance_id")?,
        content_id: row.content_id("content_id")?,
        resolved: row.get("resolved")?,
        reward: row.get("reward")?,
        source: row.get("source")?,
        exit: row.word("exit")?,
        turns: row.number("turns")?,
        prompt_id: row.get("prompt_id")?,
        bytes: row.number("bytes")?,
    })
}

#[async_trait]
impl<B: Backend> OutcomeStore for SqlStore<B> {
    async fn put_outcomes(
        &self,
        tenant: &Tenant,
        outcomes: Vec<NewOutcome>,
        now: Timestamp,
        completion: Option<Completion>,
    ) -> Result<()> {
        let mut statements = put(tenant, &outcomes, now)?;
        check_known(self, tenant, outcomes.iter().map(|outcome| outcome.content_id).collect()).await?;
        statements.extend(completion.map(idempotency::complete).transpose()?);
        self.write(statements).await.map(drop)
    }

    async fn outcomes(&self, tenant: &Tenant, content_id: ContentId) -> Result<Vec<RecordedOutcome>> {
        let read = Statement::of_built(
            tenant,
            format!(
                "SELECT {COLUMNS} FROM outcomes o WHERE o.tenant = $1 AND o.content_id = $2
            ORDER BY o.reported_at DESC, o.id DESC"
            ),
        )
        .bind(content_id);
        self.read(read).await?.iter().map(outcome).collect()
    }

    async fn selection_outcomes(
        &self,
        tenant: &Tenant,
        selection_id: Uuid,
    ) -> Result<Vec<(String, RecordedOutcome)>> {
        let read = Statement::of_built(
            tenant,
            format!(
                "SELECT c.candidate_id, {COLUMNS} FROM selection_candidates c
            JOIN labels l ON l.tenant = c.tenant AND l.content_id = c.content_id
            JOIN outcomes o ON o.tenant = l.tenant AND o.id = l.outcome_id
            WHERE c.tenant = $1 AND c.selection_id = $2 ORDER BY c.position"
            ),
        )
        .bind(selection_id);
        let rows = self.read(read).await?;
        rows.iter().map(|row| Ok((row.get("candidate_id")?, outcome(row)?))).collect()
    }

    async fn labelled(
        &self,
        tenant: &Tenant,
        after: Option<&LabelCursor>,
        limit: u32,
    ) -> Result<Vec<LabelledCandidate>> {
        let condition = if after.is_some() { "AND (l.instance_id, l.content_id) > ($3, $4)" } else { "" };
        let mut read = Statement::of_built(tenant, format!(
            "SELECT l.instance_id, l.content_id, l.resolved, l.reward, l.source, c.exit, c.turns, c.prompt_id, c.bytes
            FROM labels l JOIN candidates c ON c.tenant = l.tenant AND c.id = l.content_id
            WHERE l.tenant = $1 {condition} ORDER BY l.instance_id, l.content_id LIMIT $2"
        ))
        .bind(limit);
        if let Some(after) = after {
            read = read.bind(after.instance_id.as_str()).bind(after.content_id);
        }
        self.read(read).await?.iter().map(labelled).collect()
    }
}
