//! Notices soon that PostgreSQL is away, so that nobody waits for it in vain: a pool alone tries to connect until its
//! time is up.
//!
//! Whoever waits for a connection longer than usual, while nobody else gets one either, has the server asked directly.
//! When it does not answer, everybody is sent away at once until it does again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgDatabaseError},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{Result, StoreError};

/// A connection is had sooner unless the pool is busy or the server away.
const USUAL: Duration = Duration::from_millis(250);
/// How long the server may take to answer, and the pause before it is asked again.
const ANSWER: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

/// A pool, and whether its server is known to be away.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pool: PgPool,
    options: PgConnectOptions,
    away: Arc<watch::Sender<bool>>,
    asking: Arc<AtomicBool>,
    /// When a connection was had the last time, in milliseconds after `since`.
    had: Arc<AtomicU64>,
    since: Instant,
}

impl Gate {
    pub(crate) fn new(pool: PgPool, options: PgConnectOptions) -> Self {
        let (away, asking, had) = (Arc::new(watch::Sender::new(false)), Arc::default(), Arc::default());
        Self { pool, options, away, asking, had, since: Instant::now() }
    }

    /// The pool itself.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection, or soon the news that there is none.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>> {
        let mut away = self.away.subscribe();
        if *away.borrow_and_update() {
            return Err(gone());
        }
        let mut acquired = std::pin::pin!(self.pool.acquire());
        // While others get connections the pool is busy and the server there: asking it, for a connection each time,
        // would only make it slower.
        loop {
            if let Ok(acquired) = timeout(USUAL, acquired.as_mut()).await {
                return Ok(self.noted(acquired?));
            }
            if self.quiet() >= USUAL {
                break;
            }
        }
        self.ask();
        tokio::select! {
            biased;
            acquired = acquired => Ok(self.noted(acquired?)),
            _ = away.wait_for(|away| *away) => Err(gone()),
        }
    }

    /// Notes that a connection was had. The pool tries connections out before it gives them away.
    fn noted(&self, connection: PoolConnection<Postgres>) -> PoolConnection<Postgres> {
        self.had.fetch_max(self.since.elapsed().as_millis() as u64, Ordering::Relaxed);
        connection
    }

    /// How long nobody has had a connection.
    fn quiet(&self) -> Duration {
        self.since.elapsed().saturating_sub(Duration::from_millis(self.had.load(Ordering::Relaxed)))
    }

    /// Asks the server until it answers, in a task; at most one does.
    fn ask(&self) {
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let gate = self.clone();
        tokio::spawn(async move {
            while !gate.pool.is_closed() && !gate.answers().await {
                if !gate.away.send_replace(true) {
                    tracing::warn!("the database does not answer; requests are refused until it does");
                }
                sleep(PAUSE).await;
            }
            if gate.away.send_replace(false) {
                tracing::info!("the database answers again");
            }
            gate.asking.store(false, Ordering::Release);
        });
    }

    /// Whether the server takes connections, or says why it does not take this one.
    async fn answers(&self) -> bool {
        match timeout(ANSWER, PgConnection::connect_with(&self.options)).await {
            Ok(Ok(connection)) => {
                let _ = connection.close().await;
                true
            }
            // Class 57: it starts or shuts down.
            Ok(Err(sqlx::Error::Database(error))) => error
                .try_downcast_ref::<PgDatabaseError>()
                .is_some_and(|error| !error.code().starts_with("57")),
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable { detail: "the server does not answer".to_owned(), source: None }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgPoolOptions;

    use super::*;

    /// A pool that would try for an hour.
    fn gate(port: u16) -> Gate {
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username("nobody");
        let pool =
            PgPoolOptions::new().acquire_timeout(Duration::from_hours(1)).connect_lazy_with(options.clone());
        Gate::new(pool, options)
    }

    #[tokio::test]
    async fn nobody_waits_for_a_server_that_is_away() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let gate = gate(port);
        for _ in 0..3 {
            let error = gate.connection().await.unwrap_err();
            assert!(error.is_retryable(), "{error}");
        }
        assert!(*gate.away.borrow(), "it is asked on");
        gate.pool.close().await;
    }
}
