//! What every service does to start: open the store, find out who may call, listen.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use store::{ConnectOptions, Store, StoreError, Timestamp, connect};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    auth::Authenticator,
    config::{Auth, Database, Limits, Shared},
    health::Probe,
    metrics, serve,
    stack::{Edge, stack},
    stored::Stored,
};

/// How often what has expired is deleted.
const PURGE_EVERY: Duration = Duration::from_mins(5);

/// Why a service cannot start. The cause is the error's source: print the whole chain.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened.
    #[error("cannot open the database {url}")]
    Store {
        /// Its URL without the password.
        url: String,
        /// What is wrong.
        source: StoreError,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}{}", hint(source))]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Tokens are needed and there are none.
    #[error(
        "{addr} can be reached from other machines, so requests need a token, and there is none: create one with \
         `entropo token create`, set ENTROPO_AUTH_ADMIN_TOKEN, listen on 127.0.0.1, or let everybody in with --auth off"
    )]
    NoTokens {
        /// The address.
        addr: SocketAddr,
    },
    /// What the service itself needs is not there; the text says what and what to do.
    #[error("{0}")]
    Other(String),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (stop what is using the port, or choose another with --bind)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need privileges, choose another with --bind)",
        io::ErrorKind::AddrNotAvailable => " (this machine has no such address)",
        _ => "",
    }
}

/// What a service has before it answers: its records, who may call, and where it listens.
pub struct Prepared {
    /// The records.
    pub store: Arc<dyn Store>,
    /// The records as the edge uses them.
    pub stored: Arc<Stored>,
    /// Where it listens; with the real port when port 0 was asked for.
    pub addr: SocketAddr,
    listener: TcpListener,
    auth: Authenticator,
    loopback: bool,
    limits: Limits,
    database: String,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { addr, database, .. } = self;
        f.debug_struct("Prepared").field("addr", addr).field("database", database).finish_non_exhaustive()
    }
}

impl Prepared {
    /// Opens the store, finds out who may call, and listens; answers to idempotent requests are kept for
    /// `idempotency_ttl`.
    pub async fn new(settings: Shared<'_>, idempotency_ttl: Duration) -> Result<Self, StartError> {
        let (database, bind) = (settings.database, settings.http.bind);
        let store = open(database).await?;
        let stored = Arc::new(Stored { store: Arc::clone(&store), idempotency_ttl });
        let auth = authenticator(settings.auth, bind, database, &stored).await?;
        let (listener, addr) = listen(bind).await?;
        let (loopback, limits) = (bind.ip().is_loopback(), settings.limits.clone());
        Ok(Self { store, stored, addr, listener, auth, loopback, limits, database: database.redacted() })
    }

    /// Answers requests to `router` until `stop` is cancelled. `service` is what metrics call it, such as `selector`;
    /// `/readyz` asks the store and `probes`.
    pub fn serve(
        self,
        service: &'static str,
        router: OpenApiRouter,
        probes: Vec<Arc<dyn Probe>>,
        stop: CancellationToken,
    ) -> Served {
        let Self { store, stored, addr, listener, auth, loopback, limits, database } = self;
        let probes = std::iter::once(stored as Arc<dyn Probe>).chain(probes).collect();
        let edge = Edge { service, limits: limits.clone(), auth, loopback, probes, stop: stop.clone() };
        let app = stack(router, edge);
        tokio::spawn(metrics::upkeep(stop.clone()));
        let task = serve::apart(listener, app, limits, stop);
        Served { addr, store, database, task }
    }
}

/// A service that is answering.
#[derive(Debug)]
pub struct Served {
    /// Where; with the real port when port 0 was asked for.
    pub addr: SocketAddr,
    /// The records.
    pub store: Arc<dyn Store>,
    /// Where they are, without the password.
    pub database: String,
    task: oneshot::Receiver<io::Result<()>>,
}

impl Served {
    /// Waits until the last request has been answered, which happens after the token given to [`Prepared::serve`] is
    /// cancelled. The store stays open.
    pub async fn answered(&mut self) -> io::Result<()> {
        (&mut self.task)
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the thread of the connections is gone")))
    }

    /// The same, and closes the store.
    pub async fn wait(mut self) -> io::Result<()> {
        let ended = self.answered().await;
        self.store.close().await;
        ended
    }
}

async fn open(database: &Database) -> Result<Arc<dyn Store>, StartError> {
    let address = database.address().map_err(|error| StartError::Other(error.to_string()))?;
    let opened = connect(&address, &ConnectOptions::default()).await;
    let store = opened.map_err(|source| StartError::Store { url: database.redacted(), source })?;
    metrics::watch_store(&store);
    Ok(store)
}

async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// Who may call a service that listens on `addr`.
async fn authenticator(
    auth: &Auth,
    addr: SocketAddr,
    database: &Database,
    stored: &Arc<Stored>,
) -> Result<Authenticator, StartError> {
    if !auth.mode.is_required(addr) {
        if !addr.ip().is_loopback() {
            tracing::warn!(%addr, "other machines can reach this service and need no token (auth.mode is off)");
        }
        return Ok(Authenticator::off());
    }
    if auth.admin_token.is_empty() {
        let failed = |source| StartError::Store { url: database.redacted(), source };
        let tokens = stored.store.tokens().await.map_err(failed)?;
        let now = Timestamp::now();
        if !tokens.iter().any(|token| token.is_valid(now)) {
            return Err(StartError::NoTokens { addr });
        }
    }
    Ok(Authenticator::required(&auth.admin_token, Some(Arc::clone(stored) as _)))
}

/// Deletes what has expired, now and then, until `stop` is cancelled.
pub async fn purge(store: Arc<dyn Store>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PURGE_EVERY)).await.is_some() {
        match store.purge(Timestamp::now()).await {
            Ok(purged) => tracing::debug!(?purged, "deleted what had expired"),
            Err(error) => tracing::warn!(%error, "cannot delete what has expired"),
        }
    }
}
