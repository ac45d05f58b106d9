//! What every service does to start: open the store, find out who may call, listen.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use store::{ConnectOptions, Store, StoreError, Timestamp, connect};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::Authenticator,
    config::{Auth, Database},
    metrics,
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

/// Opens the store.
pub async fn open(database: &Database) -> Result<Arc<dyn Store>, StartError> {
    let address = database.address().map_err(|error| StartError::Other(error.to_string()))?;
    let opened = connect(&address, &ConnectOptions::default()).await;
    let store = opened.map_err(|source| StartError::Store { url: database.redacted(), source })?;
    metrics::watch_store(&store);
    Ok(store)
}

/// Listens; the address has the real port when port 0 was asked for.
pub async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// Who may call a service that listens on `addr`.
pub async fn authenticator(
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
