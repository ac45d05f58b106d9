//! Starting the service: store, tokens, workers, stack, listener.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use async_trait::async_trait;
pub use server::launch::StartError;
use server::{Edge, health::Probe, launch, serve, stack, stored::Stored};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Settings, router};
use crate::{
    Service,
    run::Engine,
    service::{count_waiting, verifier, work},
};

/// A service that is answering.
#[derive(Debug)]
pub struct Running {
    /// Where; with the real port when port 0 was asked for.
    pub addr: SocketAddr,
    /// The service.
    pub service: Service,
    workers: TaskTracker,
    patience: std::time::Duration,
    served: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Waits until the service has stopped, which it does when the token given to [`start`] is cancelled. Runs that
    /// are being worked on write a checkpoint and are given back, as far as the time for a shutdown allows.
    pub async fn wait(self) -> io::Result<()> {
        let ended = self.served.await.map_err(io::Error::other)?;
        self.workers.close();
        if tokio::time::timeout(self.patience, self.workers.wait()).await.is_err() {
            tracing::warn!("a run did not stop in time; another worker takes it once its lease ends");
        }
        self.service.store.close().await;
        ended
    }
}

/// Opens the store, starts the workers, listens, and answers requests until `stop` is cancelled.
pub async fn start(
    settings: &Settings,
    engine: Arc<dyn Engine>,
    stop: CancellationToken,
) -> Result<Running, StartError> {
    let bind = settings.http.bind;
    let runs = &settings.trainer.runs;
    std::fs::create_dir_all(runs).map_err(|error| {
        StartError::Other(format!("trainer.runs: cannot make {}: {error}", runs.display()))
    })?;
    let client = verifier(&settings.trainer)
        .map_err(|error| StartError::Other(format!("trainer.verifier_url: {error}")))?;
    let store = launch::open(&settings.database).await?;
    let idempotency_ttl = settings.trainer.idempotency_ttl.0;
    let stored = Arc::new(Stored { store: Arc::clone(&store), idempotency_ttl });
    let auth = launch::authenticator(&settings.auth, bind, &settings.database, &stored).await?;
    let (listener, addr) = launch::listen(bind).await?;

    let service = Service::new(Arc::clone(&store), settings.trainer.clone(), engine, client);
    let edge = Edge {
        service: "trainer",
        limits: settings.limits.clone(),
        auth,
        loopback: bind.ip().is_loopback(),
        probes: vec![stored as Arc<dyn Probe>, Arc::new(RunsProbe(runs.clone()))],
        stop: stop.clone(),
    };
    let app = stack(router(&service, stop.clone()), edge);
    let workers = TaskTracker::new();
    for number in 0..settings.trainer.workers {
        let name = format!("{addr}#{number}-{}", std::process::id());
        workers.spawn(work(service.clone(), number, name, stop.clone()));
    }
    tokio::spawn(count_waiting(service.clone(), stop.clone()));
    tokio::spawn(launch::purge(store, stop.clone()));
    let limits = settings.limits.clone();
    let patience = limits.shutdown_timeout.0;
    let served = tokio::spawn(async move { serve(listener, app, &limits, stop).await });
    tracing::info!(%addr, database = settings.database.redacted(), "trainer is listening");
    Ok(Running { addr, service, workers, patience, served })
}

/// The folder of runs, as `/readyz` asks for it.
struct RunsProbe(PathBuf);

#[async_trait]
impl Probe for RunsProbe {
    fn name(&self) -> &'static str {
        "runs"
    }

    async fn check(&self) -> Result<(), String> {
        match tokio::fs::metadata(&self.0).await {
            Ok(found) if found.is_dir() && !found.permissions().readonly() => Ok(()),
            Ok(_) => Err(format!("{} cannot be written to", self.0.display())),
            Err(error) => Err(format!("{}: {error}", self.0.display())),
        }
    }
}
