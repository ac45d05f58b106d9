//! What differs between the databases.

use std::fmt;

use async_trait::async_trait;

use super::statement::{Row, Statement};
use crate::{MigrationState, Result};

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
}
