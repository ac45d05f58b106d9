//! What waits, who waits for it, and what runs. All behind one lock that is held for microseconds.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use rustc_hash::FxHashMap;
use server::trace::{self, TraceParent};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Batcher, EntryId, Lane, Rate, Refused, Row, Shared, Work};
use crate::{Prepared, RawScore};

/// How an entry ended.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// The model answered.
    Scored(Arc<RawScore>),
    /// Its deadline came.
    Late,
    /// The model does not work.
    Unavailable(String),
}

/// An outcome with its times.
#[derive(Debug, Clone)]
pub(super) struct Landed {
    pub(super) outcome: Outcome,
    pub(super) queue: Duration,
    pub(super) model: Duration,
}

/// Something that is being computed, for everybody who wants it.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) prepared: Arc<Prepared>,
    pub(super) enqueued: Duration,
    /// Who asked first, in the trace of its request.
    pub(super) asked: Option<TraceParent>,
    landed: watch::Sender<Option<Landed>>,
    waiters: usize,
    batch: Option<u64>,
}

/// A batch in the model.
#[derive(Debug)]
struct Running {
    /// Rows that somebody still waits for.
    wanted: usize,
    give_up: CancellationToken,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) batcher: Batcher,
    pub(super) rate: Rate,
    /// When the last batch left the model.
    pub(super) last_end: Duration,
    flights: FxHashMap<EntryId, Flight>,
    /// Flights that can be joined.
    by_content: FxHashMap<[u8; 32], EntryId>,
    running: FxHashMap<u64, Running>,
    next_batch: u64,
}

/// A wish for one entry: while nobody holds one, the entry is not computed.
#[derive(Debug)]
pub(super) struct Ticket {
    shared: Arc<Shared>,
    id: EntryId,
    landed: watch::Receiver<Option<Landed>>,
}

/// A new or a joined entry.
#[derive(Debug)]
pub(super) enum Place {
    /// Known already.
    Known(Arc<RawScore>),
    /// Waits for the model.
    Waits(Ticket),
}

impl State {
    pub(super) fn new(batcher: Batcher) -> Self {
        Self {
            batcher,
            rate: Rate::default(),
            last_end: Duration::ZERO,
            flights: FxHashMap::default(),
            by_content: FxHashMap::default(),
            running: FxHashMap::default(),
            next_batch: 0,
        }
    }

    /// Registers a batch that goes to the model: its number, rows, and the token that gives it up.
    pub(super) fn depart(&mut self, ids: &[EntryId]) -> (u64, Vec<Arc<Prepared>>, CancellationToken) {
        let number = self.next_batch;
        self.next_batch += 1;
        let give_up = CancellationToken::new();
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(flight) = self.flights.get_mut(id) {
                flight.batch = Some(number);
                rows.push(Arc::clone(&flight.prepared));
            }
        }
        self.running.insert(number, Running { wanted: rows.len(), give_up: give_up.clone() });
        (number, rows, give_up)
    }

    /// The batch is over.
    pub(super) fn arrive(&mut self, number: u64) {
        self.running.remove(&number);
    }

    /// Ends an entry and tells everybody who waits for it.
    pub(super) fn land(&mut self, id: EntryId, landed: Landed) {
        if let Some(flight) = self.remove(id) {
            flight.landed.send_replace(Some(landed));
        }
    }

    pub(super) fn flight(&self, id: EntryId) -> Option<&Flight> {
        self.flights.get(&id)
    }

    fn remove(&mut self, id: EntryId) -> Option<Flight> {
        let flight = self.flights.remove(&id)?;
        if self.by_content.get(&flight.prepared.content) == Some(&id) {
            self.by_content.remove(&flight.prepared.content);
        }
        Some(flight)
    }

    fn join(&mut self, id: EntryId, lane: Lane, deadline: Duration) -> watch::Receiver<Option<Landed>> {
        let flight = self.flights.get_mut(&id).expect("an entry that can be joined has a flight");
        flight.waiters += 1;
        if flight.waiters == 1
            && let Some(running) = flight.batch.and_then(|batch| self.running.get_mut(&batch))
        {
            running.wanted += 1;
        }
        self.batcher.join(id, lane, deadline);
        flight.landed.subscribe()
    }

    /// One waiter less; what nobody wants leaves the queue, and a batch that nobody wants is given up.
    fn leave(&mut self, id: EntryId) -> bool {
        let Some(flight) = self.flights.get_mut(&id) else { return false };
        flight.waiters -= 1;
        if flight.waiters > 0 {
            return false;
        }
        let batch = flight.batch;
        if self.batcher.cancel(id) {
            self.remove(id);
            return true;
        }
        if let Some(batch) = batch
            && let Some(running) = self.running.get_mut(&batch)
        {
            running.wanted -= 1;
            if running.wanted == 0 {
                running.give_up.cancel();
                // Nobody may join what is being given up.
                let flights = self.flights.iter().filter(|(_, flight)| flight.batch == Some(batch));
                let contents: Vec<_> = flights.map(|(_, flight)| flight.prepared.content).collect();
                for content in contents {
                    self.by_content.remove(&content);
                }
            }
        }
        false
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in the critical sections panics half way; and if it did, waiting for ever would not be better.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds each example in the cache or among what is being computed, or admits it; all or nothing.
    pub(super) fn place(
        self: &Arc<Self>,
        prepared: &[Arc<Prepared>],
        groups: &[Option<u64>],
        lane: Lane,
        deadline: Duration,
    ) -> Result<Vec<Place>, Refused> {
        let (now, asked) = (self.now(), trace::current());
        let mut state = self.lock();
        let known: Vec<_> =
            prepared.iter().map(|example| self.cache.get(example.content, &self.revision)).collect();
        let mut fresh: Vec<(usize, Work)> = Vec::new();
        let mut firsts = FxHashMap::default();
        for (index, example) in prepared.iter().enumerate() {
            let new = known[index].is_none()
                && !state.by_content.contains_key(&example.content)
                && !firsts.contains_key(&example.content);
            if new {
                firsts.insert(example.content, index);
                let (tokens, shared) = (example.tokens as u64, example.shared_tokens as u64);
                // A row without tokens would be free, and free rows would make batches without end.
                let row = Row { tokens: tokens.max(1), shared, group: groups[index] };
                fresh.push((index, Work { row, lane, deadline }));
            }
        }
        let works: Vec<Work> = fresh.iter().map(|(_, work)| *work).collect();
        let ids = state.batcher.admit(&works, now)?;
        for ((index, _), id) in fresh.iter().zip(ids) {
            let prepared = Arc::clone(&prepared[*index]);
            state.by_content.insert(prepared.content, id);
            let landed = watch::Sender::new(None);
            let flight = Flight { prepared, enqueued: now, asked, landed, waiters: 0, batch: None };
            state.flights.insert(id, flight);
        }
        let mut places = Vec::with_capacity(prepared.len());
        for (index, (example, known)) in prepared.iter().zip(known).enumerate() {
            if let Some(score) = known {
                self.meter.cache("hit");
                places.push(Place::Known(score));
                continue;
            }
            let id = state.by_content[&example.content];
            self.meter.cache(if firsts.get(&example.content) == Some(&index) { "miss" } else { "joined" });
            let landed = state.join(id, lane, deadline);
            places.push(Place::Waits(Ticket { shared: Arc::clone(self), id, landed }));
        }
        self.meter.queue(state.batcher.len(), state.batcher.tokens());
        drop(state);
        self.wake.notify_one();
        Ok(places)
    }
}

impl Ticket {
    /// Waits until the entry has ended.
    pub(super) async fn landed(&mut self) -> Landed {
        match self.landed.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone().unwrap_or_else(gone),
            Err(_) => gone(),
        }
    }
}

fn gone() -> Landed {
    let outcome = Outcome::Unavailable("the model was stopped".to_owned());
    Landed { outcome, queue: Duration::ZERO, model: Duration::ZERO }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.leave(self.id) {
            self.shared.meter.left("cancelled", 1);
            self.shared.meter.queue(state.batcher.len(), state.batcher.tokens());
        }
    }
}
