//! What a training thread says, on its way into the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use store::{Lease, NewCheckpoint, NewRunEvent, StoreError, Timestamp};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tracing::{Instrument as _, info_span};

use super::{Progress, Service, meter::Meter};
use crate::run::{Event, Observer};

/// Events written at a time.
const BATCH: usize = 256;
/// Pauses between attempts to reach the store.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Heartbeats with progress come at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Why a training thread is to stop.
#[derive(Debug, Default)]
pub(super) struct Stop {
    /// It was asked for.
    pub(super) cancelled: AtomicBool,
    /// This process ends.
    pub(super) leaving: AtomicBool,
    /// The run belongs to another worker.
    pub(super) lost: AtomicBool,
}

impl Stop {
    pub(super) fn any(&self) -> bool {
        [&self.cancelled, &self.leaving, &self.lost].into_iter().any(|flag| flag.load(Ordering::Acquire))
    }
}

/// Stands in the training thread: passes events on and never waits.
pub(super) struct Watcher {
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) stop: Arc<Stop>,
}

impl Observer for Watcher {
    fn event(&self, event: &Event) {
        if self.events.send(event.clone()).is_err() {
            // Nobody reports any more: the lease is lost, or will be.
            self.stop.lost.store(true, Ordering::Release);
        }
    }

    fn stop(&self) -> bool {
        self.stop.any()
    }
}

/// An event under its kind.
pub(super) fn record(event: &Event) -> NewRunEvent {
    let mut body = serde_json::to_value(event).expect("an event is JSON");
    let kind = body.as_object_mut().and_then(|fields| fields.remove("event"));
    let kind = kind.as_ref().and_then(Value::as_str).unwrap_or("event").to_owned();
    NewRunEvent { kind, body }
}

/// Writes what happens until the training thread is gone, and keeps the lease. Ends early when the lease is lost.
pub(super) async fn report(
    service: Service,
    meter: Meter,
    lease: Lease,
    mut events: mpsc::UnboundedReceiver<Event>,
    stop: Arc<Stop>,
) -> Result<(), StoreError> {
    let mut progress = Progress::default();
    let length = service.settings.lease.0;
    let mut beat = Instant::now();
    let mut fresh = false;
    let mut over = false;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let wait = if fresh { PROGRESS_EVERY.min(length / 3) } else { length / 3 };
        tokio::select! {
            count = events.recv_many(&mut batch, BATCH) => {
                over = count == 0;
                fresh |= !over;
                for event in &batch {
                    progress.note(event);
                    meter.note(event);
                }
                write(&service, lease, &stop, std::mem::take(&mut batch), &progress).await?;
            }
            () = tokio::time::sleep_until(beat + wait) => {}
        }
        if over || beat.elapsed() >= wait {
            let said = fresh.then(|| json!(progress));
            let beat_now = || service.store.heartbeat(lease, said.clone(), Timestamp::now(), length);
            if held(&stop, beat_now).await?.cancel_requested {
                stop.cancelled.store(true, Ordering::Release);
            }
            (beat, fresh) = (Instant::now(), false);
        }
        if over {
            return Ok(());
        }
    }
}

async fn write(
    service: &Service,
    lease: Lease,
    stop: &Stop,
    events: Vec<Event>,
    progress: &Progress,
) -> Result<(), StoreError> {
    for event in &events {
        match event {
            Event::Checkpoint { step, path, best } => {
                let checkpoint = NewCheckpoint {
                    step: *step as i64,
                    path: path.to_string_lossy().into_owned(),
                    best: *best,
                    metrics: json!(progress.metrics),
                };
                held(stop, || service.store.put_checkpoint(lease, checkpoint.clone(), Timestamp::now()))
                    .instrument(info_span!("store checkpoint", step))
                    .await?;
            }
            Event::Deleted { step } => {
                held(stop, || service.store.forget_checkpoint(lease, *step as i64)).await?;
            }
            Event::Alarm { kind, message, step } => {
                tracing::warn!(?kind, step, message, "a run looks wrong");
            }
            _ => {}
        }
    }
    let told = events.iter().filter(|event| !matches!(event, Event::Progress { .. }));
    let told: Vec<NewRunEvent> = told.map(record).collect();
    append(service, lease, stop, told).await
}

/// Appends events, for as long as it takes.
pub(super) async fn append(
    service: &Service,
    lease: Lease,
    stop: &Stop,
    events: Vec<NewRunEvent>,
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    held(stop, || service.store.append_events(lease, events.clone(), Timestamp::now())).await?;
    service.changed.notify_waiters();
    Ok(())
}

/// Calls the store until it answers. When the lease is lost the training thread is told to stop.
pub(super) async fn held<'a, T>(
    stop: &Stop,
    mut call: impl FnMut() -> BoxFuture<'a, Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match call().await {
            Err(error) if error.is_retryable() && !stop.leaving.load(Ordering::Acquire) => {
                tracing::warn!(%error, "the store does not answer; trying again");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => {
                if matches!(error, StoreError::Conflict { .. }) {
                    stop.lost.store(true, Ordering::Release);
                }
                return Err(error);
            }
            Ok(value) => return Ok(value),
        }
    }
}
