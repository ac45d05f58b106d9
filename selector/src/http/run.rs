//! Starting the service: store, tokens, stack, listener.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use server::{Edge, auth::Authenticator, health::Probe, serve, stack};
use store::{ConnectOptions, Store, StoreError, Timestamp, connect};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Scorer, Service, Settings, adapters::Adapter, router};

/// How often what has expired is deleted.
const PURGE_EVERY: Duration = Duration::from_mins(5);

/// Why the service cannot start. The cause is the error's source: print the whole chain.
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
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (stop what is using the port, or choose another with --bind)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need privileges, choose another with --bind)",
        io::ErrorKind::AddrNotAvailable => " (this machine has no such address)",
        _ => "",
    }
}

/// A service that is answering.
#[derive(Debug)]
pub struct Running {
    /// Where; with the real port when port 0 was asked for.
    pub addr: SocketAddr,
    /// The records.
    pub store: Arc<dyn Store>,
    served: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Waits until the service has stopped, which it does when the token given to [`start`] is cancelled.
    pub async fn wait(self) -> io::Result<()> {
        let ended = self.served.await.map_err(io::Error::other)?;
        self.store.close().await;
        ended
    }
}

/// Opens the store, listens, and answers requests until `stop` is cancelled.
pub async fn start(
    settings: &Settings,
    scorer: Option<Arc<dyn Scorer>>,
    stop: CancellationToken,
) -> Result<Running, StartError> {
    let url = settings.database.redacted();
    let store = connect(&settings.database.url, &ConnectOptions::default())
        .await
        .map_err(|source| StartError::Store { url, source })?;
    let bind = settings.http.bind;
    let adapter = Arc::new(Adapter {
        store: Arc::clone(&store),
        idempotency_ttl: settings.selection.idempotency_ttl.0,
    });
    let auth = authenticator(settings, &adapter).await?;
    let listener = TcpListener::bind(bind).await.map_err(|source| StartError::Bind { addr: bind, source })?;
    let addr = listener.local_addr().map_err(|source| StartError::Bind { addr: bind, source })?;

    let service = Service::new(Arc::clone(&store), settings.selection.clone(), scorer);
    let edge = Edge {
        limits: settings.limits.clone(),
        auth,
        loopback: bind.ip().is_loopback(),
        probes: vec![adapter as Arc<dyn Probe>],
        stop: stop.clone(),
    };
    let app = stack(router(&service), edge);
    tokio::spawn(purge(Arc::clone(&store), stop.clone()));
    let limits = settings.limits.clone();
    let served = tokio::spawn(async move { serve(listener, app, &limits, stop).await });
    tracing::info!(%addr, database = settings.database.redacted(), "selector is listening");
    Ok(Running { addr, store, served })
}

async fn authenticator(settings: &Settings, adapter: &Arc<Adapter>) -> Result<Authenticator, StartError> {
    let addr = settings.http.bind;
    if !settings.auth.mode.is_required(addr) {
        if !addr.ip().is_loopback() {
            tracing::warn!(%addr, "other machines can reach this service and need no token (auth.mode is off)");
        }
        return Ok(Authenticator::off());
    }
    if settings.auth.admin_token.is_empty() {
        let url = settings.database.redacted();
        let tokens = adapter.store.tokens().await.map_err(|source| StartError::Store { url, source })?;
        let now = Timestamp::now();
        if !tokens.iter().any(|token| token.is_valid(now)) {
            return Err(StartError::NoTokens { addr });
        }
    }
    Ok(Authenticator::required(&settings.auth.admin_token, Some(Arc::clone(adapter) as _)))
}

async fn purge(store: Arc<dyn Store>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PURGE_EVERY) => {}
        }
        match store.purge(Timestamp::now()).await {
            Ok(purged) => tracing::debug!(?purged, "deleted what had expired"),
            Err(error) => tracing::warn!(%error, "cannot delete what has expired"),
        }
    }
}
