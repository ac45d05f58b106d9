//! From trajectories to scores: preparing on worker threads, a queue with a budget of tokens, batches to the model.
//!
//! Each model has a pipeline. What goes into which batch is decided by [`Batcher`], a state machine that is told the
//! time; everything with threads and clocks is around it.

mod batcher;
#[cfg(test)]
mod batcher_tests;
mod cache;
mod cost;
mod job;
mod observe;
mod rate;
mod settings;
mod state;
mod warm;
mod work;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use store::Tenant;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument as _, info_span};

pub use batcher::{Batch, Batcher, Bounds, EntryId, Lane, Refused, Work};
pub use cache::ScoreCache;
pub use cost::{Cost, Fill, Row};
pub use job::{Job, ScoreError, Scored, Took};
pub use rate::Rate;
pub use settings::PipelineSettings;

use observe::Meter;
use state::{Outcome, Place, State};

use crate::{Backend, BackendError, Example, PrepareError, PrepareOptions, Prepared, RawScore};

/// What all models have in common: worker threads and the cache. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Resources {
    /// Finished scores.
    pub cache: ScoreCache,
    /// Examples that are prepared at a time.
    workers: Arc<Semaphore>,
}

impl Resources {
    /// As configured.
    pub fn new(settings: &PipelineSettings) -> Self {
        let workers = Arc::new(Semaphore::new(settings.worker_count()));
        Self { cache: ScoreCache::new(settings.cache.0), workers }
    }
}

/// One model and its queue. Dropping it ends its tasks; whoever still uses it keeps it.
#[derive(Debug)]
pub struct Pipeline {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// What the pipeline's tasks share.
#[derive(Debug)]
struct Shared {
    backend: Arc<dyn Backend>,
    name: String,
    revision: Arc<str>,
    bounds: Bounds,
    batch_timeout: Duration,
    workers: Arc<Semaphore>,
    cache: ScoreCache,
    meter: Meter,
    wake: Notify,
    started: Instant,
    /// Whether the first batch has succeeded.
    warm: AtomicBool,
    /// Whether the last one has.
    working: AtomicBool,
    state: Mutex<State>,
}

impl Shared {
    /// Time since the start: what the batcher is told.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn since_start(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.started)
    }

    /// When the model began with a batch: it cannot have before the one ahead of it was done.
    fn begun(&self, handed: Duration, last_end: Duration) -> Duration {
        if self.backend.concurrency() > 1 { handed } else { handed.max(last_end) }
    }

    fn works(&self, works: bool) {
        self.working.store(works, Ordering::Release);
        self.meter.ready(works);
    }
}

impl Pipeline {
    /// A pipeline for a model; needs the async runtime. It is not ready before [`Self::warm_up`] has succeeded, but
    /// takes work.
    pub fn new(backend: Arc<dyn Backend>, settings: &PipelineSettings, resources: &Resources) -> Self {
        let info = backend.info();
        let bounds = settings.bounds(backend.batch_tokens());
        let shared = Arc::new(Shared {
            name: info.name.clone(),
            revision: info.revision.as_str().into(),
            meter: Meter::new(&info.name),
            bounds,
            batch_timeout: settings.batch_timeout.0,
            workers: Arc::clone(&resources.workers),
            cache: resources.cache.clone(),
            wake: Notify::new(),
            started: Instant::now(),
            warm: AtomicBool::new(false),
            working: AtomicBool::new(false),
            state: Mutex::new(State::new(Batcher::new(bounds))),
            backend,
        });
        let stop = CancellationToken::new();
        tokio::spawn(work::dispatch(Arc::clone(&shared), stop.clone()));
        Self { shared, _stop: stop.drop_guard() }
    }

    /// The model.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    /// Whether the model is warm, and did not hang or vanish last time.
    pub fn is_working(&self) -> bool {
        self.shared.warm.load(Ordering::Acquire) && self.shared.working.load(Ordering::Acquire)
    }

    /// Runs the largest batch once; afterwards the model is ready.
    pub async fn warm_up(&self) -> Result<(), BackendError> {
        warm::warm_up(&self.shared).await?;
        self.shared.warm.store(true, Ordering::Release);
        Ok(())
    }

    /// Scores a small example, to find out whether the model answers.
    pub async fn probe(&self) -> Result<(), BackendError> {
        warm::probe(&self.shared).await
    }

    /// Examples and tokens that wait.
    pub fn waiting(&self) -> (usize, u64) {
        let state = self.shared.lock();
        (state.batcher.len(), state.batcher.tokens())
    }

    /// Scores the examples of a job; one result an example, in their order. Dropping the future takes out of the queue
    /// what nobody else wants.
    pub async fn score(&self, job: Job) -> Result<Vec<Scored>, ScoreError> {
        let deadline = job.deadline;
        let span = info_span!("score", model = self.shared.name, examples = job.examples.len());
        let scored = tokio::time::timeout_at(deadline, self.run(job)).instrument(span);
        scored.await.unwrap_or(Err(ScoreError::Deadline))
    }

    async fn run(&self, job: Job) -> Result<Vec<Scored>, ScoreError> {
        let groups: Vec<Option<u64>> =
            job.examples.iter().map(|example| group(&job.tenant, &example.issue)).collect();
        let prepared = self.prepare(&job.tenant, job.examples, job.options);
        let prepared = prepared.instrument(info_span!("lay out")).await?;
        let mut examples = Vec::new();
        let mut wanted = Vec::new();
        for (index, (result, _)) in prepared.iter().enumerate() {
            if let Ok(example) = result {
                examples.push(Arc::clone(example));
                wanted.push(groups[index]);
            }
        }
        let deadline = self.shared.since_start(job.deadline);
        let places = self.shared.place(&examples, &wanted, job.lane, deadline);
        let mut places = places.map_err(|refused| self.refused(refused))?.into_iter();
        let mut scored = Vec::with_capacity(prepared.len());
        for (result, took) in prepared {
            let mut took = Took { prepare: took, ..Took::default() };
            let example = match result {
                Ok(example) => example,
                Err(reason) => {
                    let score = RawScore { reason: Some(reason), ..RawScore::default() };
                    scored.push(Scored { score, tokens: 0, condensed: None, cached: false, took });
                    continue;
                }
            };
            let (score, cached) = match places.next() {
                Some(Place::Known(score)) => (score, true),
                Some(Place::Waits(mut ticket)) => {
                    let landed = ticket.landed().await;
                    (took.queue, took.model) = (landed.queue, landed.model);
                    match landed.outcome {
                        Outcome::Scored(score) => (score, false),
                        Outcome::Late => return Err(ScoreError::Deadline),
                        Outcome::Unavailable(reason) => return Err(ScoreError::Unavailable(reason)),
                    }
                }
                None => return Err(ScoreError::Unavailable("an example lost its place".to_owned())),
            };
            let score = RawScore::clone(&score);
            let (tokens, condensed) = (example.tokens, example.condensed.clone());
            scored.push(Scored { score, tokens, condensed, cached, took });
        }
        Ok(scored)
    }

    /// Lays the examples out on worker threads. One that is too long fails the job, unless condensing was allowed and
    /// did not suffice: then, as with one that the model refuses, there is a reason in its place.
    async fn prepare(
        &self,
        tenant: &Tenant,
        examples: Vec<Example>,
        options: PrepareOptions,
    ) -> Result<Vec<(Result<Arc<Prepared>, String>, Duration)>, ScoreError> {
        let tasks = examples.into_iter().map(|example| self.prepare_one(example, options));
        let mut too_long = Vec::new();
        let mut prepared = Vec::new();
        for (index, (result, took)) in join_all(tasks).await.into_iter().enumerate() {
            if let Ok(example) = &result {
                self.shared.meter.prepared(took, example.condensed.is_some());
            }
            let result = match result {
                Err(error @ PrepareError::TooLong { .. }) if !options.condense => {
                    too_long.push((index, error));
                    continue;
                }
                Err(PrepareError::TooLong { tokens, limit, .. }) => {
                    Err(format!("{tokens} tokens even when condensed, {limit} allowed"))
                }
                Err(PrepareError::Refused { reason, .. }) => Err(reason),
                Ok(example) => Ok(Arc::new(Prepared { content: owned(tenant, &example), ..example })),
            };
            prepared.push((result, took));
        }
        if too_long.is_empty() { Ok(prepared) } else { Err(ScoreError::TooLong(too_long)) }
    }

    async fn prepare_one(
        &self,
        example: Example,
        options: PrepareOptions,
    ) -> (Result<Prepared, PrepareError>, Duration) {
        let started = Instant::now();
        let candidate = example.candidate.candidate_id.clone();
        // The permit goes along: a client that leaves does not make room for more threads than there may be.
        let Ok(permit) = Arc::clone(&self.shared.workers).acquire_owned().await else {
            let reason = "the service is stopping".to_owned();
            return (Err(PrepareError::Refused { candidate, reason }), started.elapsed());
        };
        let backend = Arc::clone(&self.shared.backend);
        let work = server::trace::blocking(move || {
            let _permit = permit;
            backend.prepare(&example, options)
        });
        let result = work.await.unwrap_or_else(|error| {
            tracing::error!(model = self.shared.name, %error, "laying out an example failed");
            let reason = "laying it out failed; the service's log says how".to_owned();
            Err(PrepareError::Refused { candidate, reason })
        });
        (result, started.elapsed())
    }

    fn refused(&self, refused: Refused) -> ScoreError {
        self.shared.meter.refused();
        match refused {
            Refused::TooLarge { tokens, limit } => ScoreError::TooLarge { tokens, limit },
            Refused::Full { excess } => {
                ScoreError::Busy { retry_after: self.shared.lock().rate.time_for(excess) }
            }
        }
    }
}

/// What an example is known by: its content as this tenant's.
fn owned(tenant: &Tenant, example: &Prepared) -> [u8; 32] {
    *blake3::Hasher::new_keyed(&example.content).update(tenant.as_str().as_bytes()).finalize().as_bytes()
}

/// Candidates of the same issue share their beginning.
fn group(tenant: &Tenant, issue: &str) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    issue.hash(&mut hasher);
    (!issue.is_empty()).then(|| hasher.finish())
}
