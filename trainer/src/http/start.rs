//! Starting the service: store, tokens, listener, workers.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
pub use server::launch::StartError;
use server::{
    config::Settings as _,
    health::Probe,
    launch::{self, Prepared, Served},
};
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
    patience: Duration,
    served: Served,
}

impl Running {
    /// Waits until the service has stopped, which it does when the token given to [`start`] is cancelled. Runs that
    /// are being worked on write a checkpoint and are given back, as far as the time for a shutdown allows.
    pub async fn wait(mut self) -> io::Result<()> {
        let ended = self.served.answered().await;
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
    let runs = &settings.trainer.runs;
    std::fs::create_dir_all(runs).map_err(|error| {
        StartError::Other(format!("trainer.runs: cannot make {}: {error}", runs.display()))
    })?;
    let client = verifier(&settings.trainer)
        .map_err(|error| StartError::Other(format!("trainer.verifier_url: {error}")))?;
    let prepared = Prepared::new(settings.shared(), settings.trainer.idempotency_ttl.0).await?;
    let store = Arc::clone(&prepared.store);

    let service = Service::new(Arc::clone(&store), settings.trainer.clone(), engine, client);
    let router = router(&service, stop.clone());
    let served = prepared.serve("trainer", router, vec![Arc::new(RunsProbe(runs.clone()))], stop.clone());
    tracing::info!(addr = %served.addr, database = served.database, "trainer is listening");
    let (addr, patience) = (served.addr, settings.limits.shutdown_timeout.0);
    let workers = TaskTracker::new();
    for number in 0..settings.trainer.workers {
        let name = format!("{addr}#{number}-{}", std::process::id());
        workers.spawn(work(service.clone(), number, name, stop.clone()));
    }
    tokio::spawn(count_waiting(service.clone(), stop.clone()));
    tokio::spawn(launch::purge(store, stop));
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
