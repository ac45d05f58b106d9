//! Workers: claim a run, train it in a thread of its own, report, say how it ended.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::json;
use server::trace;
use store::{End, Job, Lease, NewRunEvent, StoreError, Timestamp};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field::Empty, info_span};

use super::{
    KIND, RunSpec, Service,
    meter::{Meter, attempted as count_attempt, busy, waiting},
    record::creator,
    report::{Stop, Watcher, append, held, report},
};
use crate::{
    config::RunConfig,
    run::{FolderLock, Reason, RunError, Summary},
};

/// How often a folder that another process still holds is tried.
const FOLDER_EVERY: Duration = Duration::from_millis(200);
/// The length of the queue is looked up at most this often.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// The longest pause before another attempt.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Works on runs until `stop` is cancelled; the run of that moment writes a checkpoint and is given back.
pub(crate) async fn work(service: Service, number: usize, name: String, stop: CancellationToken) {
    let meter = Meter::new(number);
    meter.clear();
    let poll = service.settings.poll.0.max(Duration::from_millis(10));
    while !stop.is_cancelled() {
        // Before looking, so that what is queued while looking is not missed.
        let changed = service.changed.notified();
        match claim(&service, &name).await {
            Ok(Some(job)) => attempt(&service, &meter, job, &stop).await,
            Ok(None) => {
                let _ = stop.run_until_cancelled(timeout(poll, changed)).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot look for runs");
                stop.run_until_cancelled(sleep(poll)).await;
            }
        }
    }
}

/// Looks at the length of the queue now and then, until `stop` is cancelled.
pub(crate) async fn count_waiting(service: Service, stop: CancellationToken) {
    let every = service.settings.poll.0.max(COUNT_EVERY);
    loop {
        match service.store.waiting_jobs(KIND).await {
            Ok(jobs) => waiting(jobs),
            Err(error) => tracing::debug!(%error, "the queue cannot be counted"),
        }
        if stop.run_until_cancelled(sleep(every)).await.is_none() {
            return;
        }
    }
}

async fn claim(service: &Service, name: &str) -> Result<Option<Job>, StoreError> {
    let now = Timestamp::now();
    let taken_back = service.store.reap(now).await?;
    if taken_back > 0 {
        tracing::warn!(runs = taken_back, "workers stopped reporting; their runs go to others");
        service.changed.notify_waiters();
    }
    let mut jobs = service.store.claim_jobs(KIND, name, 1, now, service.settings.lease.0).await?;
    Ok(jobs.pop())
}

/// How a training thread ended.
type Ended = Result<Summary, RunError>;

/// One attempt at a run, in the trace of the request that made the run.
async fn attempt(service: &Service, meter: &Meter, job: Job, leaving: &CancellationToken) {
    let span = tracing::error_span!("train", run = %job.id, attempt = job.attempts, trace_id = Empty, outcome = Empty);
    let creator = creator(&job.payload);
    trace::adopt(&span, creator);
    let waited = Timestamp::now().0.saturating_sub(job.created_at.0) as f64 / 1e6;
    trace::attribute(&span, "entropo.run.seconds_since_created", waited);
    trace::with_caller(creator, attempted(service, meter, job, leaving)).instrument(span).await;
}

async fn attempted(service: &Service, meter: &Meter, job: Job, leaving: &CancellationToken) {
    let lease = job.lease();
    tracing::info!("training");
    busy(1.0);
    let stop = Arc::new(Stop::default());
    let flag = Arc::clone(&stop);
    let watched = leaving.clone();
    let leave = tokio::spawn(async move {
        watched.cancelled().await;
        flag.leaving.store(true, Ordering::Release);
    });
    let started = started(service, &job, &stop).instrument(info_span!("start attempt"));
    let ended = match started.await {
        Ok(()) => train(service, meter, &job, &stop).await,
        Err(error) => Err(RunError::Failed(error.to_string())),
    };
    leave.abort();
    let outcome = if stop.lost.load(Ordering::Acquire) {
        tracing::warn!("the run belongs to another worker now");
        "lost"
    } else {
        end(service, &job, lease, &stop, ended).await.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "how the run ended cannot be stored");
            "lost"
        })
    };
    Span::current().record("outcome", outcome);
    tracing::info!(outcome, "the attempt ended");
    count_attempt(outcome);
    busy(-1.0);
    meter.clear();
    service.changed.notify_waiters();
}

async fn started(service: &Service, job: &Job, stop: &Stop) -> Result<(), StoreError> {
    let body = json!({"attempt": job.attempts, "worker": job.worker});
    let event = NewRunEvent { kind: "started".to_owned(), body };
    append(service, job.lease(), stop, vec![event]).await
}

/// Trains in a thread: it computes for hours, and must not keep the process from ending.
async fn train(service: &Service, meter: &Meter, job: &Job, stop: &Arc<Stop>) -> Ended {
    let config = prepared(service, job).await?;
    let folder = service.folder(job.id);
    let (events, received) = mpsc::unbounded_channel();
    let (done, mut finished) = oneshot::channel();
    let watcher = Watcher { events, stop: Arc::clone(stop) };
    let engine = Arc::clone(&service.engine);
    let span = Span::current();
    let thread = std::thread::Builder::new().name("train".to_owned()).spawn(move || {
        let work = || {
            let _held = take(&folder, &watcher.stop)?;
            engine.train(&config, &folder, &watcher)
        };
        let ended = catch_unwind(AssertUnwindSafe(|| span.in_scope(work))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
            Err(RunError::Failed(format!("the trainer panicked: {text}")))
        });
        // Nobody waits any more once the process ends.
        let _ = done.send(ended);
    });
    thread.map_err(|source| RunError::Io { what: "cannot start a thread".to_owned(), source })?;
    let reported =
        trace::spawn(report(service.clone(), meter.clone(), job.lease(), received, Arc::clone(stop)));
    // Reporting ends with the thread, which drops its sender; if it ends before, the thread is told to stop and is
    // waited for: its folder must not change once the run is somebody else's.
    let reported = reported.await;
    if let Ok(Err(error)) = &reported
        && !stop.lost.load(Ordering::Acquire)
    {
        tracing::error!(error = error as &dyn std::error::Error, "what happens in the run cannot be stored");
        stop.lost.store(true, Ordering::Release);
    }
    (&mut finished).await.unwrap_or_else(|_| Err(RunError::Failed("the training thread vanished".to_owned())))
}

/// The configuration of a job, with its paths checked once more: links may have changed since.
async fn prepared(service: &Service, job: &Job) -> Result<RunConfig, RunError> {
    let spec: RunSpec =
        serde_json::from_value(job.payload.clone()).map_err(|error| RunError::Refused(error.to_string()))?;
    let confined = service.confine(&job.tenant, spec.config).await;
    let confined = confined.map_err(|error| RunError::Failed(error.to_string()))?;
    let mut config = confined.map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        RunError::Refused(problems.join("; "))
    })?;
    let mut cache = service.settings.runs.join("reference");
    if !job.tenant.is_default() {
        cache.push(job.tenant.as_str());
    }
    config.reference.cache = Some(cache);
    Ok(config)
}

/// Waits for a worker that lost the run to leave its folder.
fn take(folder: &std::path::Path, stop: &Stop) -> Result<FolderLock, RunError> {
    loop {
        match FolderLock::take(folder) {
            Err(RunError::InUse(_)) if !stop.any() => std::thread::sleep(FOLDER_EVERY),
            taken => return taken,
        }
    }
}

/// Stores how the attempt ended, in an event and in the job; the outcome for the metrics.
async fn end(
    service: &Service,
    job: &Job,
    lease: Lease,
    stop: &Stop,
    ended: Ended,
) -> Result<&'static str, StoreError> {
    let cancelled = stop.cancelled.load(Ordering::Acquire);
    let (end, outcome, error) = match ended {
        Ok(summary) if summary.reason != Reason::Stopped => (End::Done(json!(summary)), "done", None),
        // What an engine says that was asked to stop before its first step is no failure.
        Err(error) if !(error.is_transient() && stop.any()) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the attempt failed");
            let text = error.to_string();
            if error.is_transient() {
                let doubled = 2_u32.saturating_pow(job.attempts.saturating_sub(1).min(16));
                let pause = (service.settings.retry_pause.0 * doubled).min(LONGEST_PAUSE);
                let retry = End::Retry { error: text.clone(), at: Timestamp::now().plus(pause) };
                let outcome = if job.attempts < job.max_attempts { "retried" } else { "dead" };
                (retry, outcome, Some(text))
            } else {
                (End::Failed(text.clone()), "failed", Some(text))
            }
        }
        Ok(_) | Err(_) if cancelled => (End::Cancelled, "cancelled", None),
        Ok(_) | Err(_) => (End::GivenBack, "given_back", None),
    };
    let state = if matches!(outcome, "retried" | "given_back") { "queued" } else { outcome };
    let last = NewRunEvent { kind: "ended".to_owned(), body: json!({"state": state, "error": error}) };
    held(stop, || service.store.end_job(lease, end.clone(), Some(last.clone()), Timestamp::now())).await?;
    Ok(outcome)
}
