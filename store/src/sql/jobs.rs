//! The job queue in SQL.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::rows::{json, word};
use super::runs::append;
use super::statement::{Row, Statement, Value};
use super::{Backend, SqlStore, idempotency};
use crate::api::candidates::check_key;
use crate::{
    Completion, End, Heartbeat, Job, JobState, JobStore, Lease, NewJob, NewRunEvent, Result, StoreError,
    Tenant, Timestamp, WaitingJobs,
};

const COLUMNS: &str =
    "id, tenant, kind, payload, state, attempts, max_attempts, run_after, lease_until, worker,
    cancel_requested, progress, result, error, created_at, updated_at, started_at, finished_at";

/// Whoever reports must still hold the job: parameters 1 and 2 are its id and attempt.
const HELD: &str = "WHERE id = $1 AND attempts = $2 AND state = 'running'";

fn job(row: &Row) -> Result<Job> {
    Ok(Job {
        id: row.uuid("id")?,
        tenant: row.tenant("tenant")?,
        kind: row.get("kind")?,
        payload: row.json("payload")?,
        state: row.word("state")?,
        attempts: row.number("attempts")?,
        max_attempts: row.number("max_attempts")?,
        run_after: row.time("run_after")?,
        lease_until: row.time_opt("lease_until")?,
        worker: row.get("worker")?,
        cancel_requested: row.get("cancel_requested")?,
        progress: row.json_opt("progress")?,
        result: row.json_opt("result")?,
        error: row.get("error")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        started_at: row.time_opt("started_at")?,
        finished_at: row.time_opt("finished_at")?,
    })
}

/// An update by the holder of a lease; parameters go on at 3.
pub(super) fn held(set: &str, returning: &str, lease: Lease) -> Statement {
    let lost = StoreError::Conflict {
        what: "job",
        id: lease.id.to_string(),
        detail: format!("attempt {} no longer holds it", lease.attempt),
    };
    Statement::wide_built(format!("UPDATE jobs SET {set} {HELD} RETURNING {returning}"))
        .bind(lease.id)
        .bind(lease.attempt)
        .or_else(lost)
}

/// The update that ends an attempt; it returns the new state.
fn ending(lease: Lease, end: End, now: Timestamp) -> Result<Statement> {
    // NUL cannot be stored, and this text comes from wherever the work failed.
    let text = |error: String| error.replace('\0', "\u{fffd}");
    Ok(match end {
        End::Done(result) => {
            let set = "state = 'done', lease_until = NULL, error = NULL, result = $4, updated_at = $3, finished_at = $3";
            held(set, "state", lease).bind(now).bind(json("result", &result)?)
        }
        End::Failed(error) => {
            let set = "state = 'failed', lease_until = NULL, error = $4, updated_at = $3, finished_at = $3";
            held(set, "state", lease).bind(now).bind(text(error))
        }
        End::Retry { error, at } => {
            let set = "state = CASE WHEN cancel_requested THEN 'cancelled'
                    WHEN attempts >= max_attempts THEN 'dead' ELSE 'queued' END,
                finished_at = CASE WHEN cancel_requested OR attempts >= max_attempts THEN $3 END,
                lease_until = NULL, error = $4, updated_at = $3, run_after = $5";
            held(set, "state", lease).bind(now).bind(text(error)).bind(at)
        }
        End::Cancelled => {
            let set = "state = 'cancelled', lease_until = NULL, updated_at = $3, finished_at = $3";
            held(set, "state", lease).bind(now)
        }
        End::GivenBack => {
            let set = "state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,
                finished_at = CASE WHEN cancel_requested THEN $3 END,
                max_attempts = max_attempts + 1, lease_until = NULL, updated_at = $3, run_after = $3";
            held(set, "state", lease).bind(now)
        }
    })
}

#[async_trait]
impl<B: Backend> JobStore for SqlStore<B> {
    async fn enqueue(&self, job: NewJob, completion: Option<Completion>, now: Timestamp) -> Result<()> {
        check_key("kind", &job.kind)?;
        if job.max_attempts == 0 {
            return Err(StoreError::invalid("max_attempts", "must be at least 1"));
        }
        let taken = StoreError::Conflict {
            what: "job",
            id: job.id.to_string(),
            detail: "a job with this id exists already".to_owned(),
        };
        let sql =
            "INSERT INTO jobs (tenant, id, kind, payload, state, attempts, max_attempts, run_after, cancel_requested,
                created_at, updated_at)
            VALUES ($1, $2, $3, $4, 'queued', 0, $5, $6, $7, $8, $8) ON CONFLICT (id) DO NOTHING RETURNING id";
        let insert = Statement::of(&job.tenant, sql)
            .bind(job.id)
            .bind(job.kind)
            .bind(json("payload", &job.payload)?)
            .bind(job.max_attempts)
            .bind(job.run_after)
            .bind(false)
            .bind(now)
            .or_else(taken);
        let mut statements = vec![insert];
        if let Some(completion) = completion {
            statements.push(idempotency::complete(completion)?);
        }
        self.write(statements).await.map(drop)
    }

    async fn claim_jobs(
        &self,
        kind: &str,
        worker: &str,
        limit: u32,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<Job>> {
        check_key("worker", worker)?;
        let lock = self.dialect().skip_locked();
        let claim = Statement::wide_built(format!(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, worker = $2, lease_until = $3,
                started_at = $4, updated_at = $4
            WHERE id IN (SELECT id FROM jobs WHERE state = 'queued' AND kind = $1 AND run_after <= $4
                ORDER BY run_after, id LIMIT $5 {lock})
            RETURNING {COLUMNS}"
        ))
        .bind(kind)
        .bind(worker)
        .bind(now.plus(lease))
        .bind(now)
        .bind(limit);
        let mut jobs: Vec<Job> = self.write_one(claim).await?.iter().map(job).collect::<Result<_>>()?;
        jobs.sort_by_key(|job| (job.run_after, job.id));
        Ok(jobs)
    }

    async fn heartbeat(
        &self,
        lease: Lease,
        progress: Option<serde_json::Value>,
        now: Timestamp,
        extend: Duration,
    ) -> Result<Heartbeat> {
        let progress = progress.as_ref().map(|progress| json("progress", progress)).transpose()?;
        let set = "lease_until = $3, updated_at = $4, progress = COALESCE($5, progress)";
        let beat =
            held(set, "lease_until, cancel_requested", lease).bind(now.plus(extend)).bind(now).bind(progress);
        match self.write_relaxed(beat).await?.first() {
            Some(row) => Ok(Heartbeat {
                lease_until: row.time("lease_until")?,
                cancel_requested: row.get("cancel_requested")?,
            }),
            None => Err(StoreError::not_found("job", lease.id)),
        }
    }

    async fn end_job(
        &self,
        lease: Lease,
        end: End,
        last: Option<NewRunEvent>,
        now: Timestamp,
    ) -> Result<JobState> {
        let mut statements = vec![ending(lease, end, now)?];
        if let Some(event) = last {
            statements.push(append(lease, event, now)?);
        }
        let rows = self.write(statements).await?;
        match rows.first().and_then(|rows| rows.first()) {
            Some(row) => row.word("state"),
            None => Err(StoreError::not_found("job", lease.id)),
        }
    }

    async fn cancel_job(&self, tenant: &Tenant, id: Uuid, now: Timestamp) -> Result<JobState> {
        let sql = "UPDATE jobs SET
                finished_at = CASE WHEN state = 'queued' THEN $3 ELSE finished_at END,
                cancel_requested = CASE WHEN state IN ('queued', 'running') THEN $4 ELSE cancel_requested END,
                updated_at = CASE WHEN state IN ('queued', 'running') THEN $3 ELSE updated_at END,
                state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
            WHERE tenant = $1 AND id = $2 RETURNING state";
        let missing = StoreError::not_found("job", id);
        let cancel = Statement::of(tenant, sql).bind(id).bind(now).bind(true).or_else(missing);
        match self.write_one(cancel).await?.first() {
            Some(row) => row.word("state"),
            None => Err(StoreError::not_found("job", id)),
        }
    }

    async fn resume_job(&self, tenant: &Tenant, id: Uuid, attempts: u32, now: Timestamp) -> Result<()> {
        let state = self.job(tenant, id).await?.state;
        let detail =
            format!("it is {}, and only a job that ended without being done can go on", word(&state)?);
        let wrong = StoreError::Conflict { what: "job", id: id.to_string(), detail };
        let sql = "UPDATE jobs SET state = 'queued', cancel_requested = $5, max_attempts = attempts + $3,
                finished_at = NULL, updated_at = $4, run_after = $4
            WHERE tenant = $1 AND id = $2 AND state IN ('cancelled', 'failed', 'dead') RETURNING id";
        let resume = Statement::of(tenant, sql).bind(id).bind(attempts.max(1)).bind(now).bind(false);
        self.write_one(resume.or_else(wrong)).await.map(drop)
    }

    async fn reap(&self, now: Timestamp) -> Result<u64> {
        let lock = self.dialect().skip_locked();
        let reap = Statement::wide_built(format!(
            "UPDATE jobs SET
                state = CASE WHEN cancel_requested THEN 'cancelled'
                    WHEN attempts >= max_attempts THEN 'dead' ELSE 'queued' END,
                finished_at = CASE WHEN cancel_requested OR attempts >= max_attempts THEN $1 END,
                error = 'the worker stopped sending heartbeats', lease_until = NULL, updated_at = $1
            WHERE id IN (SELECT id FROM jobs WHERE state = 'running' AND lease_until <= $1 ORDER BY id {lock})
            RETURNING id"
        ))
        .bind(now);
        Ok(self.write_one(reap).await?.len() as u64)
    }

    async fn waiting_jobs(&self, kind: &str) -> Result<WaitingJobs> {
        let sql = "SELECT state, count(*) AS number FROM jobs
            WHERE kind = $1 AND state IN ('queued', 'running') GROUP BY state";
        let mut waiting = WaitingJobs::default();
        for row in self.read(Statement::wide(sql).bind(kind)).await? {
            let number = row.get::<i64>("number")?.unsigned_abs();
            match row.get::<String>("state")?.as_str() {
                "queued" => waiting.queued = number,
                _ => waiting.running = number,
            }
        }
        Ok(waiting)
    }

    async fn job(&self, tenant: &Tenant, id: Uuid) -> Result<Job> {
        let read =
            Statement::of_built(tenant, format!("SELECT {COLUMNS} FROM jobs WHERE tenant = $1 AND id = $2"))
                .bind(id);
        let row = self.read_one(read).await?;
        job(&row.ok_or_else(|| StoreError::not_found("job", id))?)
    }

    async fn jobs(
        &self,
        tenant: &Tenant,
        kind: Option<&str>,
        state: Option<JobState>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Job>> {
        let mut conditions = vec!["tenant = $1".to_owned()];
        let mut args: Vec<Value> = vec![tenant.into()];
        if let Some(kind) = kind {
            args.push(kind.into());
            conditions.push(format!("kind = ${}", args.len()));
        }
        if let Some(state) = state {
            args.push(word(&state)?.into());
            conditions.push(format!("state = ${}", args.len()));
        }
        if let Some(after) = after {
            args.push(after.into());
            let from =
                format!("(SELECT created_at, id FROM jobs WHERE tenant = $1 AND id = ${})", args.len());
            conditions.push(format!("(created_at, id) < {from}"));
        }
        let mut statement = Statement::wide_built(format!(
            "SELECT {COLUMNS} FROM jobs WHERE {} ORDER BY created_at DESC, id DESC LIMIT ${}",
            conditions.join(" AND "),
            args.len() + 1
        ));
        statement.args = args;
        self.read(statement.bind(limit.clamp(1, 1000))).await?.iter().map(job).collect()
    }
}
