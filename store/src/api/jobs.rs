//! A queue of long work: training runs, batches to score.
//!
//! A worker claims a job for the length of a lease and sends a heartbeat at a third of it. A worker that dies stops
//! doing so; [`JobStore::reap`] then hands the job to another, until its attempts are used up. The number of the
//! attempt is the fence: whatever a worker reports under an attempt that is no longer the current one is refused, so
//! a worker that was only slow cannot overwrite its successor's work.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::idempotency::Completion;
use crate::{NewRunEvent, Result, Tenant, Timestamp};

/// A job to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Whose work it is.
    pub tenant: Tenant,
    /// Its id: a UUID of version 7, made by the caller.
    pub id: Uuid,
    /// What kind of work it is; workers claim by kind.
    pub kind: String,
    /// What the worker needs to know.
    pub payload: serde_json::Value,
    /// Not to be started before this time; jobs of a kind start in the order of this time, then of their ids.
    pub run_after: Timestamp,
    /// How often it may be started; at least 1.
    pub max_attempts: u32,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting for a worker.
    Queued,
    /// A worker holds a lease on it.
    Running,
    /// Ended well.
    Done,
    /// Ended with an error that another attempt would not cure.
    Failed,
    /// Every attempt ended with an error or with the worker's death.
    Dead,
    /// Cancelled before or while it ran.
    Cancelled,
}

impl JobState {
    /// Whether it will not change any more.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// A stored job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// Whose work it is.
    pub tenant: Tenant,
    /// What kind of work it is.
    pub kind: String,
    /// What the worker needs to know.
    pub payload: serde_json::Value,
    /// Where it stands.
    pub state: JobState,
    /// How often it was started.
    pub attempts: u32,
    /// How often it may be started.
    pub max_attempts: u32,
    /// Not to be started before this time.
    pub run_after: Timestamp,
    /// Until when the current worker holds it.
    pub lease_until: Option<Timestamp>,
    /// The worker of the latest attempt.
    pub worker: Option<String>,
    /// Whether somebody asked for it to stop.
    pub cancel_requested: bool,
    /// What the worker last said of its progress.
    pub progress: Option<serde_json::Value>,
    /// What it made; set once it is done.
    pub result: Option<serde_json::Value>,
    /// Why the latest attempt failed.
    pub error: Option<String>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When its latest attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// The right to report about a job: the job and the attempt that is the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub id: Uuid,
    /// The attempt.
    pub attempt: u32,
}

impl Job {
    /// The lease of the worker that just claimed this job.
    pub const fn lease(&self) -> Lease {
        Lease { id: self.id, attempt: self.attempts }
    }
}

/// How an attempt at a job ends.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Well, with what it made.
    Done(serde_json::Value),
    /// With an error that another attempt would not cure.
    Failed(String),
    /// With an error that may pass: queued again for a later time, or dead when the attempts are used up.
    Retry {
        /// What went wrong.
        error: String,
        /// When the next attempt may begin.
        at: Timestamp,
    },
    /// As it was asked to.
    Cancelled,
    /// Unfinished, to be claimed again at once: the attempt does not count. Cancelled when that was asked for.
    GivenBack,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Until when the lease now runs.
    pub lease_until: Timestamp,
    /// Whether the worker should stop and report the job as cancelled.
    pub cancel_requested: bool,
}

/// The length of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WaitingJobs {
    /// Jobs that wait for a worker.
    pub queued: u64,
    /// Jobs that a worker holds.
    pub running: u64,
}

/// The queue.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Queues a job; `Conflict` when its id is taken. With a completion the answer to the request that asked for it is
    /// stored with it, or neither is: `Conflict` when that claim was lost.
    async fn enqueue(&self, job: NewJob, completion: Option<Completion>, now: Timestamp) -> Result<()>;

    /// Takes up to `limit` jobs of a kind that are due, of any tenant, for `lease`. No job goes to two callers.
    async fn claim_jobs(
        &self,
        kind: &str,
        worker: &str,
        limit: u32,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<Job>>;

    /// Extends a lease to `now + extend` and notes the progress, where given. `Conflict` when the lease was lost.
    async fn heartbeat(
        &self,
        lease: Lease,
        progress: Option<serde_json::Value>,
        now: Timestamp,
        extend: Duration,
    ) -> Result<Heartbeat>;

    /// Ends an attempt; the state the job now has. The last event of a run is stored with it, or neither is: who dies
    /// in between has not said that it is over. `Conflict` when the lease was lost.
    async fn end_job(
        &self,
        lease: Lease,
        end: End,
        last: Option<NewRunEvent>,
        now: Timestamp,
    ) -> Result<JobState>;

    /// Cancels a job: at once when it is queued; a running one is asked to stop. The state it now has; a job that
    /// has ended stays as it is. `NotFound` when there is none.
    async fn cancel_job(&self, tenant: &Tenant, id: Uuid, now: Timestamp) -> Result<JobState>;

    /// Queues a job again that was cancelled, failed or is dead, for `attempts` more attempts. `Conflict` when it is
    /// none of these, `NotFound` when there is none.
    async fn resume_job(&self, tenant: &Tenant, id: Uuid, attempts: u32, now: Timestamp) -> Result<()>;

    /// Takes expired leases back: queued again, cancelled if that was asked for, or dead when the attempts are used
    /// up. How many there were.
    async fn reap(&self, now: Timestamp) -> Result<u64>;

    /// How many jobs of a kind are queued and running.
    async fn waiting_jobs(&self, kind: &str) -> Result<WaitingJobs>;

    /// One job, or `NotFound`.
    async fn job(&self, tenant: &Tenant, id: Uuid) -> Result<Job>;

    /// Jobs, newest first, of a kind and state where given, after the job `after`, at most `limit` (1 to 1,000).
    async fn jobs(
        &self,
        tenant: &Tenant,
        kind: Option<&str>,
        state: Option<JobState>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Job>>;
}
