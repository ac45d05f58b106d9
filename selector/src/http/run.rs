//! Starting the service: store, tokens, stack, listener.

use std::{io, net::SocketAddr, sync::Arc};

pub use server::launch::StartError;
use server::{Edge, health::Probe, launch, serve, stack, stored::Stored};
use store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{HttpScorer, Scorer, Service, Settings, Verifier, router};

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
///
/// Scores come from the verifier that the settings name, else from `scorer`.
pub async fn start(
    settings: &Settings,
    scorer: Option<Arc<dyn Scorer>>,
    stop: CancellationToken,
) -> Result<Running, StartError> {
    let bind = settings.http.bind;
    let named = HttpScorer::new(&settings.verifier).map_err(|error| StartError::Other(error.to_string()))?;
    let scorer = named.map(|scorer| Arc::new(scorer) as Arc<dyn Scorer>).or(scorer);
    let verifier = scorer.map(|scorer| Verifier { scorer, deadline: settings.verifier.deadline });
    let store = launch::open(&settings.database).await?;
    let stored =
        Arc::new(Stored { store: Arc::clone(&store), idempotency_ttl: settings.selection.idempotency_ttl.0 });
    let auth = launch::authenticator(&settings.auth, bind, &settings.database, &stored).await?;
    let (listener, addr) = launch::listen(bind).await?;

    let service = Service::new(Arc::clone(&store), settings.selection.clone(), verifier);
    let edge = Edge {
        service: "selector",
        limits: settings.limits.clone(),
        auth,
        loopback: bind.ip().is_loopback(),
        probes: vec![stored as Arc<dyn Probe>],
        stop: stop.clone(),
    };
    let app = stack(router(&service), edge);
    tokio::spawn(launch::purge(Arc::clone(&store), stop.clone()));
    let limits = settings.limits.clone();
    let served = tokio::spawn(async move { serve(listener, app, &limits, stop).await });
    tracing::info!(%addr, database = settings.database.redacted(), "selector is listening");
    Ok(Running { addr, store, served })
}
