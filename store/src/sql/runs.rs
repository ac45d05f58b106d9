//! Events and checkpoints of training runs in SQL.

use async_trait::async_trait;
use uuid::Uuid;

use super::backend::Durable;
use super::jobs::held;
use super::rows::json;
use super::statement::Statement;
use super::{Backend, SqlStore};
use crate::api::candidates::check_key;
use crate::{
    Checkpoint, Lease, NewCheckpoint, NewRunEvent, Result, RunEvent, RunStore, StoreError, Tenant, Timestamp,
};

/// Fails the whole write unless the lease holds. It locks the job's row, so that the numbers of events have no gaps and
/// no two writers take the same one.
fn fence(lease: Lease) -> Statement {
    held("attempts = attempts", "id", lease)
}

/// Appends an event; the job's row must be locked, as [`fence`] does it.
pub(super) fn append(lease: Lease, event: NewRunEvent, now: Timestamp) -> Result<Statement> {
    check_key("kind", &event.kind)?;
    let sql = "INSERT INTO run_events (run_id, seq, attempt, at, kind, body)
        SELECT CAST($1 AS TEXT), COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5 FROM run_events WHERE run_id = $1
        RETURNING seq";
    let statement = Statement::wide(sql).bind(lease.id).bind(lease.attempt).bind(now);
    Ok(statement.bind(event.kind).bind(json("body", &event.body)?))
}

#[async_trait]
impl<B: Backend> RunStore for SqlStore<B> {
    async fn append_events(&self, lease: Lease, events: Vec<NewRunEvent>, now: Timestamp) -> Result<i64> {
        let mut statements = vec![fence(lease)];
        for event in events {
            statements.push(append(lease, event, now)?);
        }
        let last = "SELECT COALESCE(MAX(seq), 0) AS seq FROM run_events WHERE run_id = $1";
        statements.push(Statement::wide(last).bind(lease.id));
        let rows = self.backend.write(statements, Durable::No).await?;
        match rows.last().and_then(|rows| rows.first()) {
            Some(row) => row.get("seq"),
            None => Err(StoreError::not_found("job", lease.id)),
        }
    }

    async fn run_events(&self, tenant: &Tenant, run: Uuid, after: i64, limit: u32) -> Result<Vec<RunEvent>> {
        let sql =
            "SELECT e.seq, e.attempt, e.at, e.kind, e.body FROM run_events e JOIN jobs j ON j.id = e.run_id
            WHERE j.tenant = $1 AND e.run_id = $2 AND e.seq > $3 ORDER BY e.seq LIMIT $4";
        let read = Statement::of(tenant, sql).bind(run).bind(after).bind(limit.clamp(1, 1000));
        let rows = self.read(read).await?;
        rows.iter()
            .map(|row| {
                Ok(RunEvent {
                    seq: row.get("seq")?,
                    attempt: row.number("attempt")?,
                    at: row.time("at")?,
                    kind: row.get("kind")?,
                    body: row.json("body")?,
                })
            })
            .collect()
    }

    async fn put_checkpoint(&self, lease: Lease, checkpoint: NewCheckpoint, now: Timestamp) -> Result<()> {
        check_key("path", &checkpoint.path)?;
        let mut statements = vec![fence(lease)];
        if checkpoint.best {
            let others = "UPDATE checkpoints SET best = $2 WHERE run_id = $1";
            statements.push(Statement::wide(others).bind(lease.id).bind(false));
        }
        let put = "INSERT INTO checkpoints (run_id, step, attempt, created_at, best, path, metrics)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (run_id, step) DO UPDATE SET attempt = excluded.attempt,
                created_at = excluded.created_at, best = excluded.best, path = excluded.path,
                metrics = excluded.metrics";
        let put = Statement::wide(put).bind(lease.id).bind(checkpoint.step).bind(lease.attempt).bind(now);
        let metrics = json("metrics", &checkpoint.metrics)?;
        statements.push(put.bind(checkpoint.best).bind(checkpoint.path).bind(metrics));
        self.write(statements).await.map(drop)
    }

    async fn forget_checkpoint(&self, lease: Lease, step: i64) -> Result<()> {
        let sql = "DELETE FROM checkpoints WHERE run_id = $1 AND step = $2";
        self.write(vec![fence(lease), Statement::wide(sql).bind(lease.id).bind(step)]).await.map(drop)
    }

    async fn checkpoints(&self, tenant: &Tenant, run: Uuid) -> Result<Vec<Checkpoint>> {
        let sql = "SELECT c.step, c.attempt, c.created_at, c.best, c.path, c.metrics
            FROM checkpoints c JOIN jobs j ON j.id = c.run_id WHERE j.tenant = $1 AND c.run_id = $2 ORDER BY c.step";
        let rows = self.read(Statement::of(tenant, sql).bind(run)).await?;
        rows.iter()
            .map(|row| {
                Ok(Checkpoint {
                    step: row.get("step")?,
                    attempt: row.number("attempt")?,
                    created_at: row.time("created_at")?,
                    best: row.get("best")?,
                    path: row.get("path")?,
                    metrics: row.json("metrics")?,
                })
            })
            .collect()
    }
}
