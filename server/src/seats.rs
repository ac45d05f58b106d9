//! Places for connections. When all are taken, a newcomer gets that of the connection that has wasted its own longest: it
//! has not said what it wants, is kept without a request, sends its body slowly or does not take its answer. Connections
//! whose request is being worked on are never put out.
//!
//! So whoever opens thousands of connections and says little puts out his own, before anybody whose request comes at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Has sent no whole head yet.
    Fresh,
    /// Was answered, and is kept for the next request.
    Idle,
    /// Sends a body.
    Sending,
    /// Does not take its answer.
    Stalled,
    /// Its request is worked on; never put out.
    Working,
}

#[derive(Debug, Default)]
struct Inner {
    /// Seats that are taken.
    taken: usize,
    /// Counts changes of phases: their order.
    clock: u64,
    /// Who can be put out, by since when.
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Inner {
    fn put(&mut self, phase: Phase, token: &CancellationToken) -> u64 {
        self.clock += 1;
        if phase != Phase::Working {
            self.waiting.insert(self.clock, token.clone());
        }
        self.clock
    }
}

/// All seats; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Seats {
    most: usize,
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    /// Its phase and since when, which is its key.
    at: Mutex<(Phase, u64)>,
    /// Cancelled when it is put out.
    pub(crate) put_out: CancellationToken,
}

impl Seats {
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), inner: Arc::default(), changed: Arc::default() }
    }

    /// Takes a seat, somebody else's if need be; waits while everybody's request is being worked on.
    pub(crate) async fn take(&self) -> Seat {
        loop {
            let changed = self.changed.notified();
            if let Some(seat) = self.try_take() {
                return seat;
            }
            changed.await;
        }
    }

    fn try_take(&self) -> Option<Seat> {
        let mut inner = lock(&self.inner);
        if inner.taken >= self.most {
            let (_, token) = inner.waiting.pop_first()?;
            // Its seat is given back when it is dropped, which is now or soon: this one is taken in its stead.
            token.cancel();
            inner.taken -= 1;
        }
        inner.taken += 1;
        let put_out = CancellationToken::new();
        let since = inner.put(Phase::Fresh, &put_out);
        Some(Seat { seats: self.clone(), at: Mutex::new((Phase::Fresh, since)), put_out })
    }
}

impl Seat {
    /// Notes what the connection does from now on; gives what it did.
    pub(crate) fn set(&self, phase: Phase) -> Phase {
        let mut at = lock(&self.at);
        let before = at.0;
        if before == phase {
            return before;
        }
        let mut inner = lock(&self.seats.inner);
        inner.waiting.remove(&at.1);
        if !self.put_out.is_cancelled() {
            *at = (phase, inner.put(phase, &self.put_out));
        }
        drop(inner);
        if before == Phase::Working {
            self.seats.changed.notify_one();
        }
        before
    }
}

impl Seat {
    /// Notes what the connection does, if it did `from` until now.
    pub(crate) fn pass(&self, from: Phase, to: Phase) {
        if lock(&self.at).0 == from {
            self.set(to);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = lock(&self.seats.inner);
        inner.waiting.remove(&lock(&self.at).1);
        // Whoever was put out has lost his seat already.
        if !self.put_out.is_cancelled() {
            inner.taken -= 1;
        }
        drop(inner);
        self.seats.changed.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connections that there can be: as many as are allowed, and files are left for.
pub(crate) fn most(allowed: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let Some(files) = open_files(&limits) else { return allowed };
    // The rest is for the database, for calls and for what is read from the disk.
    let most = (files - files / 8).saturating_sub(32).max(1);
    if most < allowed {
        tracing::warn!(
            connections = most,
            files,
            "this process may open too few files for limits.connections; raise the limit (ulimit -n)"
        );
    }
    allowed.min(most)
}

/// The number of files that a process may open, of the text of `/proc/self/limits`.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wastes_his_seat_longest_is_put_out() {
        let seats = Seats::new(4);
        let [works, slow, fresh, done] = std::array::from_fn(|_| seats.try_take().unwrap());
        works.set(Phase::Working);
        done.set(Phase::Working);
        slow.set(Phase::Sending);
        done.set(Phase::Idle);
        let out = |seat: &Seat| seat.put_out.is_cancelled();
        let fifth = seats.try_take().unwrap();
        assert!(out(&fresh) && !out(&slow) && !out(&done));
        let sixth = seats.try_take().unwrap();
        assert!(out(&slow) && !out(&done) && !out(&fifth));
        sixth.set(Phase::Working);
        let _seventh = seats.try_take().unwrap();
        assert!(out(&done) && !out(&fifth));
        let _eighth = seats.try_take().unwrap();
        assert!(out(&fifth) && !out(&works) && !out(&sixth));
    }

    #[tokio::test]
    async fn while_all_work_a_newcomer_waits() {
        let seats = Seats::new(1);
        let only = seats.take().await;
        only.set(Phase::Working);
        assert!(seats.try_take().is_none());
        let waits = tokio::spawn({
            let seats = seats.clone();
            async move { drop(seats.take().await) }
        });
        tokio::task::yield_now().await;
        only.set(Phase::Idle);
        waits.await.unwrap();
        assert!(only.put_out.is_cancelled());
    }

    #[test]
    fn seats_come_back_once() {
        let seats = Seats::new(2);
        let (one, two) = (seats.try_take().unwrap(), seats.try_take().unwrap());
        two.set(Phase::Working);
        let three = seats.try_take().unwrap();
        assert!(one.put_out.is_cancelled());
        drop(one);
        three.set(Phase::Working);
        assert!(seats.try_take().is_none(), "the seat of the first is the third's");
        drop(three);
        drop(two);
        assert_eq!(lock(&seats.inner).taken, 0);
        assert!(lock(&seats.inner).waiting.is_empty());
    }

    #[test]
    fn the_limit_of_files_is_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             96000                96000                processes \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(text), Some(1024));
        assert_eq!(
            open_files("Max open files            unlimited            unlimited            files"),
            None
        );
        assert_eq!(open_files(""), None);
    }
}
