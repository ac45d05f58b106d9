//! The store in SQL, written once for both databases.
//!
//! A [`Backend`] runs [`Statement`]s with `$1` placeholders: reads one by one, writes as a list that happens in full
//! or not at all. No operation needs to read inside a transaction and then decide, so lists are all there is; a
//! whole list can be run again when PostgreSQL asks for it, and no transaction is ever held open by a caller.

mod backend;
mod candidates;
pub(crate) mod gate;
mod idempotency;
mod insert;
mod issues;
mod jobs;
mod maintenance;
mod outcomes;
pub(crate) mod postgres;
mod rows;
mod runs;
mod selections;
mod settings;
pub(crate) mod sqlite;
mod sqlite_writer;
mod statement;
mod statistics;
mod tokens;

use backend::Durable;
pub(crate) use backend::{Backend, Dialect};
pub(crate) use statement::Row;
use statement::Statement;

use crate::{Result, Store};

/// A store in PostgreSQL.
pub type PgStore = SqlStore<postgres::Postgres>;
/// A store in a SQLite file, or in memory.
pub type SqliteStore = SqlStore<sqlite::Sqlite>;

/// A store in a SQL database. See [`PgStore`] and [`SqliteStore`].
#[derive(Debug)]
pub struct SqlStore<B> {
    pub(crate) backend: B,
}

impl<B: Backend> Store for SqlStore<B> {}

impl<B: Backend> SqlStore<B> {
    async fn read(&self, statement: Statement) -> Result<Vec<Row>> {
        self.backend.read(statement).await
    }

    /// The row that a read by primary key finds.
    async fn read_one(&self, statement: Statement) -> Result<Option<Row>> {
        Ok(self.backend.read(statement).await?.into_iter().next())
    }

    /// Runs statements, all or none; the rows that each returns.
    async fn write(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>> {
        self.backend.write(statements, Durable::Yes).await
    }

    /// Runs one statement; the rows that it returns.
    async fn write_one(&self, statement: Statement) -> Result<Vec<Row>> {
        Ok(self.write(vec![statement]).await?.pop().unwrap_or_default())
    }

    /// Runs one statement whose effect may be undone by a loss of power without harm.
    async fn write_relaxed(&self, statement: Statement) -> Result<Vec<Row>> {
        Ok(self.backend.write(vec![statement], Durable::No).await?.pop().unwrap_or_default())
    }

    fn dialect(&self) -> Dialect {
        self.backend.dialect()
    }
}
