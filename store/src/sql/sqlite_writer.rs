//! The one that writes to a SQLite database.
//!
//! Writes queue here. Those that wait while a commit is being synced to the disk go into the next transaction
//! together, each behind a savepoint of its own: one sync acknowledges them all, and a write that fails takes nothing
//! else with it.
//!
//! A transaction goes back and forth between its task and the library's thread for every statement, and nobody else
//! writes meanwhile. So the task has a thread of its own: among the tasks of a busy runtime it would wait for its turn
//! each time.

use std::time::Instant;
use std::{io, thread};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, SqlitePool};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use super::backend::{Durable, waited};
use super::postgres::finish;
use super::statement::{Row, Statement, sqlite_arguments};
use crate::{Durability, Result, StoreError};

/// Writes in one transaction at most: bounds how long the first of them waits.
const MAX_BATCH: usize = 64;
/// Writes that may wait before callers do.
const QUEUE: usize = 1024;

type Rows = Vec<Vec<Row>>;

/// Somebody's write.
struct Request {
    statements: Vec<Statement>,
    durable: Durable,
    asked: Instant,
    reply: oneshot::Sender<Result<Rows>>,
}

/// Hands writes to the thread that does them. It ends with the last of its handles.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Request>,
}

impl Writer {
    pub(super) fn start(pool: SqlitePool, durability: Durability) -> Result<Self> {
        let failed = |error: io::Error| {
            let detail = format!("the thread that writes to the database cannot start: {error}");
            StoreError::Unavailable { detail, source: None }
        };
        let (queue, requests) = mpsc::channel(QUEUE);
        let runtime = Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let run = move || runtime.block_on(work(pool, durability, requests));
        thread::Builder::new().name("sqlite-writer".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { queue })
    }

    /// Queues a write and waits for it. It happens also when the caller stops waiting.
    pub(super) async fn write(&self, statements: Vec<Statement>, durable: Durable) -> Result<Rows> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .send(Request { statements, durable, asked: Instant::now(), reply })
            .await
            .map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable { detail: "the store is closed".to_owned(), source: None }
}

async fn work(pool: SqlitePool, durability: Durability, mut requests: mpsc::Receiver<Request>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while requests.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let mut replies = Vec::with_capacity(batch.len());
        let mut writes = Vec::with_capacity(batch.len());
        let mut sync = false;
        for request in batch.drain(..) {
            waited("writer", request.asked);
            sync |= request.durable == Durable::Yes;
            writes.push(request.statements);
            replies.push(request.reply);
        }
        // The default of the connection is what `durability` says.
        let relax = durability == Durability::PowerLoss && !sync;
        // Its own task, so that a panic in it is one batch's error and not the end of all writing.
        let written = finish(tokio::spawn(write(pool.clone(), writes, relax))).await;
        let results = match written {
            Ok(results) => results,
            Err(error) => all_failed(error, replies.len()),
        };
        for (reply, result) in replies.into_iter().zip(results) {
            // A caller that no longer waits is no error.
            let _ = reply.send(result);
        }
    }
}

/// The same failure for each write of a transaction that could not begin or be committed.
fn all_failed(error: StoreError, count: usize) -> Vec<Result<Rows>> {
    let again = |error: &StoreError| match error {
        StoreError::Corrupt { what, detail } => {
            StoreError::Corrupt { what: what.clone(), detail: detail.clone() }
        }
        StoreError::Unavailable { detail, .. } => {
            StoreError::Unavailable { detail: detail.clone(), source: None }
        }
        other => StoreError::Failed { detail: other.to_string(), source: None },
    };
    let mut results: Vec<Result<Rows>> = (1..count).map(|_| Err(again(&error))).collect();
    results.push(Err(error));
    results
}

/// One transaction; what became of each write in it.
async fn write(pool: SqlitePool, writes: Vec<Vec<Statement>>, relax: bool) -> Result<Vec<Result<Rows>>> {
    let mut connection = pool.acquire().await?;
    if !relax {
        return transaction(&mut connection, writes).await;
    }
    execute(&mut connection, "PRAGMA synchronous = NORMAL").await?;
    let results = transaction(&mut connection, writes).await;
    // A connection that stays relaxed would break the promise of every later write.
    if let Err(error) = execute(&mut connection, "PRAGMA synchronous = FULL").await {
        discard(connection).await;
        tracing::warn!(%error, "a connection to the database was given up");
    }
    results
}

async fn discard(connection: PoolConnection<sqlx::Sqlite>) {
    // It is given up either way.
    let _ = connection.close().await;
}

async fn transaction(
    connection: &mut SqliteConnection,
    writes: Vec<Vec<Statement>>,
) -> Result<Vec<Result<Rows>>> {
    let mut results = Vec::with_capacity(writes.len());
    // IMMEDIATE takes the write lock at once and waits for it; the default takes it at the first write, and fails
    // without waiting when another process wrote since the first read.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for statements in writes {
        execute(&mut transaction, "SAVEPOINT one").await?;
        let result = run(&mut transaction, statements).await;
        if result.is_err() {
            // Fails when SQLite itself has rolled the transaction back (disk full, out of memory): then all fails.
            execute(&mut transaction, "ROLLBACK TO one").await?;
        }
        execute(&mut transaction, "RELEASE one").await?;
        results.push(result);
    }
    transaction.commit().await?;
    Ok(results)
}

async fn run(connection: &mut SqliteConnection, statements: Vec<Statement>) -> Result<Rows> {
    let mut all = Vec::with_capacity(statements.len());
    for statement in statements {
        let args = sqlite_arguments(statement.args)?;
        let rows = sqlx::query_with(statement.sql, args).fetch_all(&mut *connection).await?;
        let rows: Vec<Row> = rows.into_iter().map(Row::Sqlite).collect();
        Statement::check(statement.or_else, &rows)?;
        all.push(rows);
    }
    Ok(all)
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<()> {
    sqlx::query(sql).execute(connection).await.map(drop).map_err(StoreError::from)
}
