//! What training runs leave behind besides their job: what happened, and checkpoints.
//!
//! A run is a job ([`crate::JobStore`]); whatever its worker reports here is fenced by the lease as everything else.

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use crate::{Lease, Result, Tenant, Timestamp};

/// Something that happened, to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRunEvent {
    /// What kind of thing.
    pub kind: String,
    /// The facts.
    pub body: Value,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEvent {
    /// Its number in the run, from 1, without gaps.
    pub seq: i64,
    /// The attempt that reported it.
    pub attempt: u32,
    /// When it was reported.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: String,
    /// The facts.
    pub body: Value,
}

/// A checkpoint to be registered.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCheckpoint {
    /// Optimiser steps that are in it.
    pub step: i64,
    /// Where it is, relative to the run's folder.
    pub path: String,
    /// Whether it is the best of the run so far; earlier ones then are not any more.
    pub best: bool,
    /// The metrics that were last known when it was written.
    pub metrics: Value,
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Optimiser steps that are in it.
    pub step: i64,
    /// The attempt that wrote it.
    pub attempt: u32,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Whether it is the best of the run.
    pub best: bool,
    /// Where it is, relative to the run's folder.
    pub path: String,
    /// The metrics that were last known when it was written.
    pub metrics: Value,
}

/// Events and checkpoints of runs.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Appends events, all or none, in their order; the number of the last one of the run. `Conflict` when the lease
    /// was lost.
    async fn append_events(&self, lease: Lease, events: Vec<NewRunEvent>, now: Timestamp) -> Result<i64>;

    /// Events after the one numbered `after` (0 for all), in their order, at most `limit` (1 to 1,000).
    async fn run_events(&self, tenant: &Tenant, run: Uuid, after: i64, limit: u32) -> Result<Vec<RunEvent>>;

    /// Registers a checkpoint; one of the same step is replaced. `Conflict` when the lease was lost.
    async fn put_checkpoint(&self, lease: Lease, checkpoint: NewCheckpoint, now: Timestamp) -> Result<()>;

    /// Forgets a checkpoint that was deleted; it need not be there. `Conflict` when the lease was lost.
    async fn forget_checkpoint(&self, lease: Lease, step: i64) -> Result<()>;

    /// The checkpoints of a run, by their step.
    async fn checkpoints(&self, tenant: &Tenant, run: Uuid) -> Result<Vec<Checkpoint>>;
}
