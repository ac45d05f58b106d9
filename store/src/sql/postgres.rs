//! PostgreSQL.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;

use super::backend::{Backend, Dialect, Durable, state, waited};
use super::gate::Gate;
use super::statement::{Row, Statement, postgres_arguments};
use super::statistics;
use crate::{MigrationState, PoolState, Result, StoreError, migrate};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// What metrics call the pool.
const POOL: &str = "all";

/// How long to wait before a transaction that lost against another is run again.
const RETRIES: [Duration; 4] = [
    Duration::from_millis(2),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(200),
];

/// A pool of connections to PostgreSQL.
#[derive(Debug, Clone)]
pub struct Postgres {
    gate: Gate,
    /// Writes that this process made.
    writes: Arc<AtomicU64>,
}

impl Postgres {
    pub(crate) fn new(gate: Gate) -> Self {
        Self { gate, writes: Arc::default() }
    }

    /// Takes a connection, and notes how long that took.
    async fn connection(&self) -> Result<PoolConnection<sqlx::Postgres>> {
        let asked = Instant::now();
        let connection = self.gate.connection().await;
        waited(POOL, asked);
        connection
    }
}

#[async_trait]
impl Backend for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn read(&self, statement: Statement) -> Result<Vec<Row>> {
        let args = postgres_arguments(&statement.args)?;
        let mut connection = self.connection().await?;
        let rows = sqlx::query_with(statement.sql, args).fetch_all(&mut *connection).await?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    async fn write(&self, statements: Vec<Statement>, durable: Durable) -> Result<Vec<Vec<Row>>> {
        let (gate, writes) = (self.gate.clone(), Arc::clone(&self.writes));
        // Its own task: dropping a future inside a transaction would give the connection back with the transaction
        // open (sqlx 0.9.0), and a caller's future is dropped whenever a client hangs up.
        finish(tokio::spawn(async move {
            let rows = write_with_retries(&gate, statements, durable).await?;
            if statistics::is_due(writes.fetch_add(1, Ordering::Relaxed) + 1) {
                tokio::spawn(async move {
                    if let Err(error) = statistics::gather(&gate).await {
                        tracing::debug!(%error, "no statistics were gathered");
                    }
                });
            }
            Ok(rows)
        }))
        .await
    }

    async fn migrate(&self) -> Result<()> {
        let pool = self.gate.pool().clone();
        finish(tokio::spawn(async move { MIGRATIONS.run(&pool).await.map_err(migrate::error) })).await
    }

    async fn migrations(&self) -> Result<Vec<MigrationState>> {
        let exists = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS present";
        let present = match self.read(Statement::wide(exists)).await?.first() {
            Some(row) => row.get("present")?,
            None => false,
        };
        let applied = if present { self.read(Statement::wide(migrate::APPLIED)).await? } else { Vec::new() };
        migrate::states(&MIGRATIONS, &applied)
    }

    async fn close(&self) {
        self.gate.pool().close().await;
    }

    fn pools(&self) -> Vec<PoolState> {
        vec![state(POOL, self.gate.pool())]
    }
}

/// The result of a task; a panic in it is a defect here and passed on as an error.
pub(super) async fn finish<T>(task: tokio::task::JoinHandle<Result<T>>) -> Result<T> {
    task.await.unwrap_or_else(|error| Err(StoreError::Failed { detail: error.to_string(), source: None }))
}

async fn write_with_retries(
    gate: &Gate,
    mut statements: Vec<Statement>,
    durable: Durable,
) -> Result<Vec<Vec<Row>>> {
    let expectations: Vec<_> = statements.iter_mut().map(|statement| statement.or_else.take()).collect();
    let mut retries = RETRIES.iter();
    let rows = loop {
        match write_once(gate, &statements, &expectations, durable).await {
            Err(Undone::Database(error)) if error.is_serialization_failure() => match retries.next() {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => return Err(error),
            },
            Err(Undone::Database(error)) => return Err(error),
            Err(Undone::Expectation(i)) => {
                return Err(expectations.into_iter().nth(i).flatten().unwrap_or_else(|| {
                    StoreError::Failed { detail: format!("statement {i} has no expectation"), source: None }
                }));
            }
            Ok(rows) => break rows,
        }
    };
    Ok(rows)
}

enum Undone {
    Database(StoreError),
    /// The statement with this number did not return one row.
    Expectation(usize),
}

impl From<sqlx::Error> for Undone {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

async fn write_once(
    gate: &Gate,
    statements: &[Statement],
    expectations: &[Option<StoreError>],
    durable: Durable,
) -> Result<Vec<Vec<Row>>, Undone> {
    let mut all = Vec::with_capacity(statements.len());
    let asked = Instant::now();
    let mut connection = gate.connection().await.map_err(Undone::Database)?;
    waited(POOL, asked);
    let mut transaction = connection
        .begin_with(match durable {
            Durable::Yes => "BEGIN",
            Durable::No => "BEGIN; SET LOCAL synchronous_commit TO off",
        })
        .await?;
    for (i, (statement, expectation)) in statements.iter().zip(expectations).enumerate() {
        let args = postgres_arguments(&statement.args).map_err(Undone::Database)?;
        let rows = sqlx::query_with(statement.sql.clone(), args).fetch_all(&mut *transaction).await?;
        if expectation.is_some() && rows.len() != 1 {
            transaction.rollback().await?;
            return Err(Undone::Expectation(i));
        }
        all.push(rows.into_iter().map(Row::Postgres).collect());
    }
    transaction.commit().await?;
    Ok(all)
}
