//! What differs between the databases.

use std::fmt;
use std::time::Instant;

use async_trait::async_trait;
use metrics::histogram;

use super::statement::{Row, Statement};
use crate::{MigrationState, PoolState, Result};

/// Which SQL a backend speaks, where the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    Sqlite,
}

impl Dialect {
    /// A subquery of the strings of the JSON list in parameter `n`. One parameter, so one prepared statement for lists
    /// of any length.
    pub(crate) fn list(self, n: usize) -> String {
        match self {
            Self::Postgres => format!("(SELECT jsonb_array_elements_text(${n}::jsonb))"),
            Self::Sqlite => format!("(SELECT value FROM json_each(${n}))"),
        }
    }

    /// Locks the rows that a claim selects and passes over those that others hold. SQLite has one writer anyway.
    pub(crate) fn skip_locked(self) -> &'static str {
        match self {
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
            Self::Sqlite => "",
        }
    }
}

/// Whether a write must outlast a loss of power. All outlast the death of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// It is acknowledged once it is on the disk, where the database is set up so.
    Yes,
    /// Nobody misses it: a claim whose work was lost too, a time of last use. Saves the wait for the disk.
    No,
}

/// Runs statements on one kind of database.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    #[doc(hidden)]
    fn dialect(&self) -> Dialect;

    /// Runs a statement that changes nothing.
    async fn read(&self, statement: Statement) -> Result<Vec<Row>>;

    /// Runs statements that change something, all or none; the rows that each returned. Goes on to the end when the
    /// caller loses interest.
    async fn write(&self, statements: Vec<Statement>, durable: Durable) -> Result<Vec<Vec<Row>>>;

    /// Applies missing migrations.
    async fn migrate(&self) -> Result<()>;

    /// The state of every known migration.
    async fn migrations(&self) -> Result<Vec<MigrationState>>;

    /// Closes all connections.
    async fn close(&self);

    /// The pools as they are just now.
    fn pools(&self) -> Vec<PoolState>;
}

/// A pool as it is just now.
pub(super) fn state<DB: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<DB>) -> PoolState {
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    PoolState { name, open: pool.size(), idle, max: pool.options().get_max_connections() }
}

/// Takes a connection, and notes how long that took.
pub(super) async fn acquire<DB: sqlx::Database>(
    name: &'static str,
    pool: &sqlx::Pool<DB>,
) -> Result<sqlx::pool::PoolConnection<DB>, sqlx::Error> {
    let asked = Instant::now();
    let connection = pool.acquire().await;
    waited(name, asked);
    connection
}

/// Notes that somebody who asked for a connection at this time has it now.
pub(super) fn waited(name: &'static str, asked: Instant) {
    histogram!("store_wait_seconds", "pool" => name).record(asked.elapsed());
}
