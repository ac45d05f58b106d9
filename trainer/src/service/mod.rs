//! The trainer service: runs as leased jobs in the store, workers that train them, checkpoints that become verifiers.

mod meter;
mod promote;
mod record;
mod report;
pub(crate) mod roots;
mod settings;
mod worker;

use std::{ops::Deref, path::PathBuf, sync::Arc};

use server::outgoing::Client;
use store::{Completion, Job, NewJob, Store, StoreError, Tenant, Timestamp};
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) use promote::{PromoteError, verifier};
pub use record::{Progress, RunSpec};
pub use settings::TrainerSettings;
pub(crate) use worker::{count_waiting, work};

use crate::{
    config::{FieldProblem, RunConfig},
    run::Engine,
};

/// What a run is called in the queue.
pub(crate) const KIND: &str = "train";

/// Trains runs; cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

/// What [`Service`] holds.
#[expect(missing_debug_implementations, reason = "the service shows its settings; the engine shows nothing")]
pub struct Inner {
    /// The records.
    pub store: Arc<dyn Store>,
    /// What may be read, and where to write.
    pub settings: TrainerSettings,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) verifier: Option<Client>,
    /// Wakes those that wait for something new in this process: workers and event streams.
    pub(crate) changed: Notify,
}

impl Deref for Service {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Service {
    /// A service over a store and what trains.
    pub fn new(
        store: Arc<dyn Store>,
        settings: TrainerSettings,
        engine: Arc<dyn Engine>,
        verifier: Option<Client>,
    ) -> Self {
        meter::describe();
        Self(Arc::new(Inner { store, settings, engine, verifier, changed: Notify::new() }))
    }

    /// The folder of a run.
    pub fn folder(&self, run: Uuid) -> PathBuf {
        self.settings.runs.join(run.to_string())
    }

    /// A configuration with every path that it reads confined to the folders that the tenant may read: see
    /// [`roots::confine`]. What earlier runs left may be read where they are the tenant's.
    pub(crate) async fn confine(
        &self,
        tenant: &Tenant,
        config: RunConfig,
    ) -> Result<Result<RunConfig, Vec<FieldProblem>>, StoreError> {
        let (settings, owner) = (self.settings.clone(), tenant.clone());
        // Real paths are looked up on the disk.
        let confined = server::trace::blocking(move || roots::confine(&config, &settings, &owner)).await;
        let confined =
            confined.unwrap_or_else(|error| Err(vec![FieldProblem::new("model.path", error.to_string())]));
        let confined = match confined {
            Ok(confined) => confined,
            Err(problems) => return Ok(Err(problems)),
        };
        let mut problems = Vec::new();
        for (field, run) in confined.runs {
            match self.run(tenant, run).await {
                Ok(_) => {}
                Err(StoreError::NotFound { .. }) => problems.push(roots::missing(field)),
                Err(error) => return Err(error),
            }
        }
        Ok(if problems.is_empty() { Ok(confined.config) } else { Err(problems) })
    }

    /// Queues a run.
    pub async fn create(
        &self,
        tenant: &Tenant,
        id: Uuid,
        spec: &RunSpec,
        completion: Option<Completion>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let payload = serde_json::to_value(spec).expect("a run is JSON");
        let max_attempts = self.settings.attempts.max(1);
        let tenant = tenant.clone();
        let job = NewJob { id, tenant, kind: KIND.to_owned(), payload, run_after: now, max_attempts };
        self.store.enqueue(job, completion, now).await?;
        self.changed.notify_waiters();
        Ok(())
    }

    /// A run of a tenant. Jobs of other kinds are not there.
    pub async fn run(&self, tenant: &Tenant, id: Uuid) -> Result<Job, StoreError> {
        let missing = || StoreError::NotFound { what: "run", id: id.to_string() };
        match self.store.job(tenant, id).await {
            Ok(job) if job.kind == KIND => Ok(job),
            Ok(_) | Err(StoreError::NotFound { .. }) => Err(missing()),
            Err(error) => Err(error),
        }
    }

    /// Asks a run to stop; the run as it now is.
    pub async fn cancel(&self, tenant: &Tenant, id: Uuid) -> Result<Job, StoreError> {
        self.run(tenant, id).await?;
        self.store.cancel_job(tenant, id, Timestamp::now()).await?;
        self.changed.notify_waiters();
        self.run(tenant, id).await
    }

    /// Queues a run again that ended without being done; it goes on from its newest checkpoint.
    pub async fn resume(&self, tenant: &Tenant, id: Uuid) -> Result<Job, StoreError> {
        self.run(tenant, id).await?;
        self.store.resume_job(tenant, id, self.settings.attempts.max(1), Timestamp::now()).await?;
        self.changed.notify_waiters();
        self.run(tenant, id).await
    }
}
