//! Which entries go into which batch: a state machine without clock, threads or I/O. Time is what the caller says.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use super::cost::{Cost, Fill, Row};

/// Names an entry; ids rise with arrival.
pub type EntryId = u64;

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Somebody waits for it.
    Interactive,
    /// It may wait, but not for ever.
    Batch,
}

/// Bounds of batches and of the queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Cost of a batch at most, in token equivalents. A row that costs more is a batch of its own.
    pub batch: u64,
    /// Rows of a batch at most.
    pub rows: u64,
    /// Tokens that may wait.
    pub queue: u64,
    /// How long an entry of the batch lane waits until it counts as interactive.
    pub ageing: Duration,
    /// What rows cost.
    pub cost: Cost,
}

/// What is to be admitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Its cost.
    pub row: Row,
    /// Its lane.
    pub lane: Lane,
    /// When nobody wants it any more.
    pub deadline: Duration,
}

/// Why a request was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It alone has more tokens than may ever wait.
    TooLarge {
        /// Its tokens.
        tokens: u64,
        /// How many may wait.
        limit: u64,
    },
    /// There is no room now.
    Full {
        /// Tokens that must leave first.
        excess: u64,
    },
}

/// A batch as it leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Its rows; those that share a prefix are next to each other, otherwise they are in the order of arrival.
    pub rows: Vec<EntryId>,
    /// What it costs.
    pub cost: u64,
    /// Tokens of its rows, shared ones counted every time.
    pub tokens: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    work: Work,
    arrived: Duration,
}

/// The queue.
#[derive(Debug)]
pub struct Batcher {
    bounds: Bounds,
    entries: BTreeMap<EntryId, Entry>,
    tokens: u64,
    next: EntryId,
}

impl Batcher {
    /// An empty queue.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: BTreeMap::new(), tokens: 0, next: 0 }
    }

    /// Entries that wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Tokens that wait.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Takes all of a request or nothing of it. The ids are in the order of `works`.
    pub fn admit(&mut self, works: &[Work], now: Duration) -> Result<Vec<EntryId>, Refused> {
        let tokens: u64 = works.iter().map(|work| work.row.tokens).sum();
        let limit = self.bounds.queue;
        if tokens > limit {
            return Err(Refused::TooLarge { tokens, limit });
        }
        if self.tokens + tokens > limit {
            return Err(Refused::Full { excess: self.tokens + tokens - limit });
        }
        self.tokens += tokens;
        let ids = works.iter().map(|work| {
            let id = self.next;
            self.next += 1;
            self.entries.insert(id, Entry { work: *work, arrived: now });
            id
        });
        Ok(ids.collect())
    }

    /// Takes an entry out that nobody wants any more; false when it is not waiting.
    pub fn cancel(&mut self, id: EntryId) -> bool {
        let Some(entry) = self.entries.remove(&id) else { return false };
        self.tokens -= entry.work.row.tokens;
        true
    }

    /// Somebody else wants a waiting entry too: it takes the faster lane and the later deadline.
    pub fn join(&mut self, id: EntryId, lane: Lane, deadline: Duration) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.work.lane = entry.work.lane.min(lane);
            entry.work.deadline = entry.work.deadline.max(deadline);
        }
    }

    /// Takes out every entry whose deadline has come.
    pub fn expire(&mut self, now: Duration) -> Vec<EntryId> {
        let late = self.entries.iter().filter(|(_, entry)| entry.work.deadline <= now);
        let late: Vec<EntryId> = late.map(|(id, _)| *id).collect();
        for id in &late {
            self.cancel(*id);
        }
        late
    }

    /// The next batch, or `None` when nothing waits.
    ///
    /// The oldest entry of the fastest lane is always in it, so that everything leaves in the end. The rest is filled
    /// by lane, then with what fits best: rows that share its prefix or others' where rows are packed, rows of about
    /// its length where they are padded. With `only_full`, there is no batch unless it is full or something had to stay behind.
    pub fn next_batch(&mut self, now: Duration, only_full: bool) -> Option<Batch> {
        let lane = |entry: &Entry| {
            let aged = now.saturating_sub(entry.arrived) >= self.bounds.ageing;
            if aged { Lane::Interactive } else { entry.work.lane }
        };
        let (first, anchor) = self.entries.iter().min_by_key(|(id, entry)| (lane(entry), **id))?;
        let (first, anchor) = (*first, *anchor);
        let mut fill = Fill::new(self.bounds.cost);
        fill.add(anchor.work.row);
        let mut taken = vec![first];
        let mut left_behind = false;
        for id in self.order(first, &anchor, lane) {
            if fill.rows() >= self.bounds.rows {
                break;
            }
            let row = self.entries[&id].work.row;
            if fill.with(row) <= self.bounds.batch {
                fill.add(row);
                taken.push(id);
            } else {
                left_behind = true;
            }
        }
        // A first row that costs more than a batch is as full as it gets.
        let full = left_behind || fill.total() >= self.bounds.batch || fill.rows() >= self.bounds.rows;
        if only_full && !full {
            return None;
        }
        let tokens = taken.iter().map(|id| self.entries[id].work.row.tokens).sum();
        self.sort(&mut taken);
        for id in &taken {
            self.cancel(*id);
        }
        Some(Batch { rows: taken, cost: fill.total(), tokens })
    }

    /// The entries besides the first, in the order in which they are offered a place.
    fn order(&self, first: EntryId, anchor: &Entry, lane: impl Fn(&Entry) -> Lane) -> Vec<EntryId> {
        let oldest = self.oldest_of_groups();
        let wanted = anchor.work.row;
        let key = |id: EntryId, entry: &Entry| {
            let row = entry.work.row;
            let nearness = match self.bounds.cost {
                Cost::Padded => row.tokens.abs_diff(wanted.tokens),
                Cost::Packed { .. } if row.group.is_some() && row.group == wanted.group => 0,
                Cost::Packed { .. } => 1 + row.group.map_or(id, |group| oldest[&group]),
            };
            (lane(entry), nearness, id)
        };
        let mut order: Vec<_> =
            self.entries.iter().filter(|(id, _)| **id != first).map(|(id, entry)| key(*id, entry)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, _, id)| id).collect()
    }

    fn oldest_of_groups(&self) -> BTreeMap<u64, EntryId> {
        let mut oldest = BTreeMap::new();
        for (id, entry) in &self.entries {
            if let Some(group) = entry.work.row.group {
                oldest.entry(group).or_insert(*id);
            }
        }
        oldest
    }

    /// Rows of a group next to each other, groups by their oldest row; the longest shared prefix first.
    fn sort(&self, taken: &mut [EntryId]) {
        let mut oldest = BTreeMap::new();
        taken.sort_unstable();
        for id in taken.iter() {
            if let Some(group) = self.entries[id].work.row.group {
                oldest.entry(group).or_insert(*id);
            }
        }
        taken.sort_by_key(|id| {
            let row = self.entries[id].work.row;
            (row.group.map_or(*id, |group| oldest[&group]), Reverse(row.shared), *id)
        });
    }
}
