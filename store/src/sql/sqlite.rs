//! SQLite: one connection that writes, several that read.

use async_trait::async_trait;
use sqlx::SqlitePool;
use sqlx::migrate::Migrator;

use super::backend::{Backend, Dialect};
use super::postgres::finish;
use super::statement::{Row, Statement, sqlite_arguments};
use crate::{MigrationState, Result, migrate};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// A SQLite database. The writer is a pool of one: writers queue in this process instead of colliding in the file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    writer: SqlitePool,
    /// The writer again for a database in memory, which no second connection can see.
    readers: SqlitePool,
}

impl Sqlite {
    pub(crate) fn new(writer: SqlitePool, readers: SqlitePool) -> Self {
        Self { writer, readers }
    }
}

#[async_trait]
impl Backend for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn read(&self, statement: Statement) -> Result<Vec<Row>> {
        let args = sqlite_arguments(statement.args)?;
        let rows = sqlx::query_with(statement.sql, args).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(Row::Sqlite).collect())
    }

    async fn write(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>> {
        let writer = self.writer.clone();
        finish(tokio::spawn(async move { write(&writer, statements).await })).await
    }

    async fn migrate(&self) -> Result<()> {
        let writer = self.writer.clone();
        finish(tokio::spawn(async move { MIGRATIONS.run(&writer).await.map_err(migrate::error) })).await
    }

    async fn migrations(&self) -> Result<Vec<MigrationState>> {
        let exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
        let present = !self.read(Statement::new(exists)).await?.is_empty();
        let applied = if present { self.read(Statement::new(migrate::APPLIED)).await? } else { Vec::new() };
        migrate::states(&MIGRATIONS, &applied)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn write(writer: &SqlitePool, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>> {
    let mut all = Vec::with_capacity(statements.len());
    // IMMEDIATE takes the write lock at once and waits for it; the default takes it at the first write, and fails
    // without waiting when another process wrote since the first read.
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    for statement in statements {
        let args = sqlite_arguments(statement.args)?;
        let rows = sqlx::query_with(statement.sql, args).fetch_all(&mut *transaction).await?;
        let rows: Vec<Row> = rows.into_iter().map(Row::Sqlite).collect();
        if let Err(error) = Statement::check(statement.or_else, &rows) {
            transaction.rollback().await?;
            return Err(error);
        }
        all.push(rows);
    }
    transaction.commit().await?;
    Ok(all)
}
