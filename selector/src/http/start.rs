//! Starting the service: verifier, store, tokens, listener.

use std::sync::Arc;

pub use server::launch::{Served, StartError};
use server::{
    config::Settings as _,
    launch::{self, Prepared},
    memory,
};
use tokio_util::sync::CancellationToken;

use super::{HttpScorer, Scorer, Service, Settings, Verifier, router};

/// Opens the store, listens, and answers requests until `stop` is cancelled.
///
/// Scores come from the verifier that the settings name, else from `scorer`.
pub async fn start(
    settings: &Settings,
    scorer: Option<Arc<dyn Scorer>>,
    stop: CancellationToken,
) -> Result<Served, StartError> {
    memory::small_pages();
    let named = HttpScorer::new(&settings.verifier).map_err(|error| StartError::Other(error.to_string()))?;
    let scorer = named.map(|scorer| Arc::new(scorer) as Arc<dyn Scorer>).or(scorer);
    let verifier = scorer.map(|scorer| Verifier { scorer, deadline: settings.verifier.deadline });
    let prepared = Prepared::new(settings.shared(), settings.selection.idempotency_ttl.0).await?;
    let service = Service::new(Arc::clone(&prepared.store), settings.selection.clone(), verifier);
    tokio::spawn(launch::purge(Arc::clone(&prepared.store), stop.clone()));
    let served = prepared.serve("selector", router(&service), Vec::new(), stop);
    tracing::info!(addr = %served.addr, database = served.database, "selector is listening");
    Ok(served)
}
