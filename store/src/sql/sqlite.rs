//! SQLite: one connection that writes, several that read.

use async_trait::async_trait;
use sqlx::SqlitePool;
use sqlx::migrate::Migrator;

use super::backend::{Backend, Dialect, Durable, acquire, state};
use super::postgres::finish;
use super::sqlite_writer::Writer;
use super::statement::{Row, Statement, sqlite_arguments};
use crate::{Durability, MigrationState, PoolState, Result, migrate};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// A SQLite database. The writer is a pool of one: writers queue in this process instead of colliding in the file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    queue: Writer,
    writer: SqlitePool,
    /// The writer again for a database in memory, which no second connection can see.
    readers: SqlitePool,
}

impl Sqlite {
    pub(crate) fn new(writer: SqlitePool, readers: SqlitePool, durability: Durability) -> Result<Self> {
        Ok(Self { queue: Writer::start(writer.clone(), durability)?, writer, readers })
    }
}

#[async_trait]
impl Backend for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn read(&self, statement: Statement) -> Result<Vec<Row>> {
        let args = sqlite_arguments(statement.args)?;
        let mut connection = acquire("readers", &self.readers).await?;
        let rows = sqlx::query_with(statement.sql, args).fetch_all(&mut *connection).await?;
        Ok(rows.into_iter().map(Row::Sqlite).collect())
    }

    async fn write(&self, statements: Vec<Statement>, durable: Durable) -> Result<Vec<Vec<Row>>> {
        self.queue.write(statements, durable).await
    }

    async fn migrate(&self) -> Result<()> {
        let writer = self.writer.clone();
        finish(tokio::spawn(async move { MIGRATIONS.run(&writer).await.map_err(migrate::error) })).await
    }

    async fn migrations(&self) -> Result<Vec<MigrationState>> {
        let exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
        let present = !self.read(Statement::wide(exists)).await?.is_empty();
        let applied = if present { self.read(Statement::wide(migrate::APPLIED)).await? } else { Vec::new() };
        migrate::states(&MIGRATIONS, &applied)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    fn pools(&self) -> Vec<PoolState> {
        vec![state("readers", &self.readers), state("writer", &self.writer)]
    }
}
