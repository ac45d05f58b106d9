//! Starting the service: store, tokens, listener, models.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
pub use server::launch::StartError;
use server::{
    config::Settings as _,
    health::Probe,
    launch::{Prepared, Served},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Settings, router};
use crate::{
    Service,
    models::{Catalogue, Loader, Registry, RegistryError},
};

/// How often a model that did not answer is asked again.
const REVIVE_EVERY: Duration = Duration::from_secs(2);

/// How long the start waits for the models.
const START_PATIENCE: Duration = Duration::from_secs(1);
/// How often a model that could not be loaded is tried again.
const RELOAD_EVERY: Duration = Duration::from_secs(15);

/// A service that is answering.
#[derive(Debug)]
pub struct Running {
    /// Where; with the real port when port 0 was asked for.
    pub addr: SocketAddr,
    /// The service, to score in this process without HTTP.
    pub service: Service,
    served: Served,
}

impl Running {
    /// Waits until the service has stopped, which it does when the token given to [`start`] is cancelled.
    pub async fn wait(self) -> io::Result<()> {
        self.served.wait().await
    }
}

/// Opens the store, loads the models of the configuration, listens, and answers requests until `stop` is cancelled.
pub async fn start(settings: &Settings, stop: CancellationToken) -> Result<Running, StartError> {
    let catalogue = Catalogue::new(&settings.models, &settings.openai).map_err(StartError::Other)?;
    start_with(settings, Arc::new(catalogue), stop).await
}

/// The same with models from elsewhere.
pub async fn start_with(
    settings: &Settings,
    loader: Arc<dyn Loader>,
    stop: CancellationToken,
) -> Result<Running, StartError> {
    server::memory::small_pages();
    // Nothing here is created by a POST that could be repeated, so no answers are kept.
    let prepared = Prepared::new(settings.shared(), Duration::ZERO).await?;
    let store = Arc::clone(&prepared.store);
    let shadow = Some(settings.models.shadow.as_str()).filter(|name| !name.is_empty());
    let scoring = settings.scoring.clone();
    let registry =
        Registry::unloaded(loader, Arc::clone(&store), scoring, &settings.models.active, shadow).await;
    let other = |error: RegistryError| StartError::Other(error.to_string());
    let registry = registry.map_err(other)?;
    let service = Service::new(registry, Arc::clone(&store), settings.scoring.clone());
    let mut loading = tokio::spawn({
        let service = service.clone();
        async move { service.registry.load_used().await }
    });
    // What is wrong with a small model or with a path shows at once and ends the start. A large one is loaded while
    // `/livez` answers already and `/readyz` does not.
    let loaded = tokio::time::timeout(START_PATIENCE, &mut loading).await;
    let loading = match loaded {
        Ok(loaded) => {
            loaded.map_err(|error| StartError::Other(error.to_string()))?.map_err(other)?;
            None
        }
        Err(_) => Some(loading),
    };
    tokio::spawn(revive(service.clone(), loading, stop.clone()));
    tokio::spawn(follow(service.clone(), settings.models.refresh.0, stop.clone()));
    let served =
        prepared.serve("verifier", router(&service), vec![Arc::new(ModelProbe(service.clone()))], stop);
    tracing::info!(addr = %served.addr, database = served.database, "verifier is listening");
    Ok(Running { addr: served.addr, service, served })
}

/// Warms the models up, and later asks those that did not answer last time whether they do again: without requests,
/// which a service that is not ready does not get, nobody else would find out.
async fn revive(
    service: Service,
    loading: Option<JoinHandle<Result<(), RegistryError>>>,
    stop: CancellationToken,
) {
    if let Some(loading) = loading {
        let mut loaded = loading.await;
        while !matches!(loaded, Ok(Ok(()))) {
            match &loaded {
                Ok(Err(error)) => tracing::error!(%error, "cannot load the model; trying again"),
                Err(error) => tracing::error!(%error, "loading the model was aborted; trying again"),
                Ok(Ok(())) => {}
            }
            if stop.run_until_cancelled(tokio::time::sleep(RELOAD_EVERY)).await.is_none() {
                return;
            }
            loaded = Ok(service.registry.load_used().await);
        }
    }
    service.registry.warm_up(&stop).await;
    while stop.run_until_cancelled(tokio::time::sleep(REVIVE_EVERY)).await.is_some() {
        for (name, pipeline) in &service.registry.table().loaded {
            if pipeline.is_working() {
                continue;
            }
            match stop.run_until_cancelled(pipeline.probe()).await {
                Some(Ok(())) => tracing::info!(model = name, "the model answers again"),
                Some(Err(error)) => tracing::warn!(model = name, %error, "the model does not answer"),
                None => return,
            }
        }
    }
}

/// Takes over what other replicas decide.
async fn follow(service: Service, every: Duration, stop: CancellationToken) {
    let every = every.max(Duration::from_millis(100));
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        if let Err(error) = service.registry.refresh().await {
            tracing::warn!(%error, "what other replicas decided cannot be taken over");
        }
    }
}

/// The active model, as `/readyz` asks for it.
struct ModelProbe(Service);

#[async_trait]
impl Probe for ModelProbe {
    fn name(&self) -> &'static str {
        "model"
    }

    async fn check(&self) -> Result<(), String> {
        let model = self.0.registry.find(None).map_err(|error| error.to_string())?;
        if model.is_working() {
            return Ok(());
        }
        Err(format!("model `{}` is warming up or does not answer", model.backend().info().name))
    }
}
