//! The trait that callers program against, by kind of record, and its plain data.

pub(crate) mod candidates;
pub(crate) mod idempotency;
pub(crate) mod issues;
pub(crate) mod jobs;
pub(crate) mod outcomes;
pub(crate) mod runs;
pub(crate) mod selections;
pub(crate) mod settings;
pub(crate) mod tokens;

use std::fmt;

use async_trait::async_trait;

use crate::{MigrationState, Result, Timestamp};

/// Everything a service asks of the store. Object safe: services hold an `Arc<dyn Store>`, which coerces to
/// `Arc<dyn IdempotencyStore>` and the other parts where less is needed.
pub trait Store:
    issues::IssueStore
    + candidates::CandidateStore
    + selections::SelectionStore
    + outcomes::OutcomeStore
    + idempotency::IdempotencyStore
    + tokens::TokenStore
    + jobs::JobStore
    + runs::RunStore
    + settings::SettingStore
    + Maintenance
    + fmt::Debug
    + Send
    + Sync
    + 'static
{
}

/// What operating a store takes.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Answers when the database does: one round trip on a reading connection.
    async fn ping(&self) -> Result<()>;

    /// Applies the migrations that are missing, and tells the state of all of them.
    async fn migrate(&self) -> Result<Vec<MigrationState>>;

    /// Every migration this program knows, with whether it was applied here.
    async fn migrations(&self) -> Result<Vec<MigrationState>>;

    /// Deletes what has expired by `now`: answers kept for idempotency keys. Call it every few minutes.
    async fn purge(&self, now: Timestamp) -> Result<Purged>;

    /// Waits for the connections to finish and closes them; later calls fail.
    async fn close(&self);

    /// The pools of connections as they are just now.
    fn pools(&self) -> Vec<PoolState>;
}

/// A pool of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// What it is for: `all` on PostgreSQL, `readers` and `writer` on SQLite.
    pub name: &'static str,
    /// Open connections.
    pub open: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
    /// How many there may be.
    pub max: u32,
}

/// What [`Maintenance::purge`] deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Idempotency keys.
    pub idempotency_keys: u64,
}
