//! Opening a store by its URL.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::sql::gate::Gate;
use crate::sql::postgres::Postgres;
use crate::sql::sqlite::Sqlite;
use crate::sql::{Backend, SqlStore};
use crate::{PgStore, Result, SqliteStore, Store, StoreError, migrate};

/// How to open a store.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Connections to PostgreSQL, or readers of a SQLite file (which has one writer besides).
    pub max_connections: u32,
    /// How long a call waits for a free connection before it fails as unavailable.
    pub acquire_timeout: Duration,
    /// SQLite: how long a write waits for another process that writes.
    pub busy_timeout: Duration,
    /// What an acknowledged write survives, on SQLite. PostgreSQL's own settings decide there.
    pub durability: Durability,
    /// What to do about migrations that the database lacks.
    pub on_pending: OnPending,
}

/// What an acknowledged write survives on SQLite. Both survive the death of the process at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Also a loss of power: the log is synced to the disk at every commit (`synchronous = FULL`).
    #[default]
    PowerLoss,
    /// Not a loss of power, which may undo the latest commits but leaves the database intact (`synchronous =
    /// NORMAL`). Faster where syncing is slow.
    ProcessDeath,
}

/// What to do about migrations that the database lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnPending {
    /// Apply them.
    #[default]
    Migrate,
    /// Refuse to open the store.
    Refuse,
    /// Open it all the same: for showing its state.
    Ignore,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            max_connections: 8,
            acquire_timeout: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(10),
            durability: Durability::default(),
            on_pending: OnPending::default(),
        }
    }
}

/// Opens a store: `postgres://user:password@host/database`, `sqlite://path/to/file.db` (made when it is not there) or
/// `sqlite::memory:` (gone when it is closed).
pub async fn connect(url: &str, options: &ConnectOptions) -> Result<Arc<dyn Store>> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "postgres" | "postgresql" => Ok(Arc::new(PgStore::open(url, options).await?)),
        "sqlite" => Ok(Arc::new(SqliteStore::open(url, options).await?)),
        _ => Err(StoreError::invalid(
            "database URL",
            "must begin with postgres:// or sqlite://, or be sqlite::memory:",
        )),
    }
}

impl PgStore {
    /// Opens a database in PostgreSQL 14 or later by its URL.
    pub async fn open(url: &str, options: &ConnectOptions) -> Result<Self> {
        let connect = PgConnectOptions::from_str(url).map_err(|error| invalid_url(&error))?;
        // The server's name for the connection, where the URL does not give one.
        let connect = match connect.get_application_name() {
            Some(_) => connect,
            None => connect.application_name("entropo"),
        };
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .acquire_timeout(options.acquire_timeout)
            .connect_with(connect.clone())
            .await?;
        Self::ready(Postgres::new(Gate::new(pool, connect)), options).await
    }
}

impl SqliteStore {
    /// Opens a SQLite database by its URL.
    pub async fn open(url: &str, options: &ConnectOptions) -> Result<Self> {
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        let connect = SqliteConnectOptions::from_str(url).map_err(|error| invalid_url(&error))?;
        if !in_memory {
            make_parent(connect.get_filename())?;
        }
        let connect = connect
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(options.busy_timeout)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match options.durability {
                Durability::PowerLoss => SqliteSynchronous::Full,
                Durability::ProcessDeath => SqliteSynchronous::Normal,
            })
            // 16 MiB of log between checkpoints: the default of 4 is one selection among long trajectories.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("journal_size_limit", "67108864")
            .pragma("temp_store", "memory");
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(options.acquire_timeout)
                // Opening a file anew costs more than keeping it, and closing the last connection of a database in
                // memory deletes it.
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        // SQLite does not wait by itself for the lock that turns a fresh file to WAL mode.
        let begin = Instant::now();
        let writer = loop {
            match pool(1).connect_with(connect.clone()).await.map_err(StoreError::from) {
                Err(error) if error.is_locked() && begin.elapsed() < options.busy_timeout => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => break other?,
            }
        };
        let readers = if in_memory {
            writer.clone()
        } else {
            let reading = connect.create_if_missing(false).pragma("query_only", "on");
            pool(options.max_connections.max(1)).connect_lazy_with(reading)
        };
        Self::ready(Sqlite::new(writer, readers, options.durability)?, options).await
    }
}

impl<B: Backend> SqlStore<B> {
    /// Brings the schema up to date, or checks it.
    async fn ready(backend: B, options: &ConnectOptions) -> Result<Self> {
        let store = Self { backend };
        match options.on_pending {
            OnPending::Migrate => store.bring_up_to_date().await?,
            OnPending::Refuse => migrate::require(&store.backend.migrations().await?)?,
            OnPending::Ignore => {}
        }
        Ok(store)
    }

    /// Applies what is missing. Two processes may open a fresh SQLite file at once, and sqlx locks nothing there: the
    /// one that comes second fails, and then finds the work done.
    pub(crate) async fn bring_up_to_date(&self) -> Result<()> {
        let mut waits = [20, 100, 500, 2000].into_iter().map(Duration::from_millis);
        loop {
            let states = self.backend.migrations().await?;
            migrate::refuse_foreign(&states)?;
            if migrate::require(&states).is_ok() {
                return Ok(());
            }
            let Err(error) = self.backend.migrate().await else { continue };
            match waits.next() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
        }
    }
}

/// Makes the folder of a database file.
fn make_parent(file: &Path) -> Result<()> {
    let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| StoreError::Unavailable {
        detail: format!("cannot make the folder {}: {error}", folder.display()),
        source: None,
    })
}

/// The driver's message about a URL can repeat it, password included; say only what is safe.
fn invalid_url(_: &sqlx::Error) -> StoreError {
    StoreError::invalid(
        "database URL",
        "cannot be read; expected postgres://user:password@host:port/database or sqlite://path/to/file.db",
    )
}
