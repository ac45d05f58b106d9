//! What the endpoints share.

use std::{num::NonZero, ops::Deref, sync::Arc, thread::available_parallelism};

use server::{Problem, Span};
use store::Store;
use tokio::sync::Semaphore;

use super::{Scorer, SelectionSettings, meter};

/// The service's state; cheap to clone.
#[derive(Debug, Clone)]
pub struct Service(Arc<Inner>);

/// A verifier and how long it may take.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// Who scores.
    pub scorer: Arc<dyn Scorer>,
    /// After this the selection goes on without scores.
    pub deadline: Span,
}

/// What [`Service`] holds.
#[derive(Debug)]
pub struct Inner {
    /// The records.
    pub store: Arc<dyn Store>,
    /// Bounds on selections.
    pub settings: SelectionSettings,
    /// The verifier, where there is one.
    pub verifier: Option<Verifier>,
    workers: Semaphore,
}

impl Deref for Service {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Service {
    /// A service over a store, with or without a verifier.
    pub fn new(store: Arc<dyn Store>, settings: SelectionSettings, verifier: Option<Verifier>) -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        meter::describe();
        let workers = if settings.workers == 0 { cores } else { settings.workers };
        Self(Arc::new(Inner { store, settings, verifier, workers: Semaphore::new(workers) }))
    }

    /// Runs work that takes milliseconds or more off the async threads, a few at a time: with more at once than
    /// there are cores each only takes longer.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let _worker = self.workers.acquire().await.map_err(|error| Problem::internal(&error))?;
        server::trace::blocking(work).await.map_err(|error| Problem::internal(&error))?
    }
}
