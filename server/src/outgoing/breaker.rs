//! The circuit breaker: after enough failures in a row nobody is asked for a while, so that a service that is down
//! costs its callers nothing.
//!
//! A pure state machine: the time is handed in. [`SharedBreaker`] puts it behind a lock.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// When the circuit opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it; 0 never does.
    pub failures: u32,
    /// How long it stays open the first time; doubled each time a trial fails, up to `longest`.
    pub open_for: Duration,
    /// The longest time that it stays open.
    pub longest: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

/// Whether calls go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Calls go through.
    Closed,
    /// Calls are refused.
    Open,
    /// One call goes through on trial.
    HalfOpen,
}

/// What became of a call, as far as the health of the other side is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answered, be it with a refusal of this request.
    Good,
    /// It did not answer, or said that it cannot.
    Bad,
    /// Nothing can be said: the caller gave up early.
    Unknown,
}

/// Leave to make one call; report what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave {
    epoch: u64,
    trial: bool,
}

/// The state machine.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// Counts changes of state, so that a late report of a call of an earlier one is known.
    epoch: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, lasting: Duration },
    HalfOpen { on_trial: bool, lasting: Duration },
}

impl Breaker {
    /// A closed circuit.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed { failures: 0 }, epoch: 0 }
    }

    /// Whether calls would go through now.
    pub fn circuit(&self, now: Instant) -> Circuit {
        match self.state {
            State::Closed { .. } => Circuit::Closed,
            State::Open { until, .. } if now < until => Circuit::Open,
            State::Open { .. } | State::HalfOpen { .. } => Circuit::HalfOpen,
        }
    }

    /// Asks for leave to call; the error says after what time to ask again.
    pub fn ask(&mut self, now: Instant) -> Result<Leave, Duration> {
        match &mut self.state {
            State::Closed { .. } => Ok(Leave { epoch: self.epoch, trial: false }),
            State::Open { until, .. } if now < *until => Err(*until - now),
            State::Open { lasting, .. } => {
                self.state = State::HalfOpen { on_trial: true, lasting: *lasting };
                self.epoch += 1;
                Ok(Leave { epoch: self.epoch, trial: true })
            }
            State::HalfOpen { on_trial, .. } if !*on_trial => {
                *on_trial = true;
                Ok(Leave { epoch: self.epoch, trial: true })
            }
            State::HalfOpen { lasting, .. } => Err(*lasting),
        }
    }

    /// Notes what became of a call. Reports of calls from before the last change of state do not count.
    pub fn report(&mut self, leave: Leave, health: Health, now: Instant) {
        if leave.epoch != self.epoch {
            return;
        }
        match (&mut self.state, health) {
            (State::Closed { failures }, Health::Good) => *failures = 0,
            (State::Closed { failures }, Health::Bad) => {
                *failures += 1;
                if self.settings.failures > 0 && *failures >= self.settings.failures {
                    self.open(self.settings.open_for, now);
                }
            }
            (State::HalfOpen { .. }, Health::Good) if leave.trial => {
                self.state = State::Closed { failures: 0 };
                self.epoch += 1;
            }
            (State::HalfOpen { lasting, .. }, Health::Bad) if leave.trial => {
                let lasting = (*lasting * 2).min(self.settings.longest);
                self.open(lasting, now);
            }
            // The next caller tries.
            (State::HalfOpen { on_trial, .. }, Health::Unknown) if leave.trial => *on_trial = false,
            _ => {}
        }
    }

    fn open(&mut self, lasting: Duration, now: Instant) {
        self.state = State::Open { until: now + lasting, lasting };
        self.epoch += 1;
    }
}

/// A breaker that calls on several threads share.
#[derive(Debug, Clone)]
pub struct SharedBreaker(Arc<Mutex<Breaker>>);

impl SharedBreaker {
    /// A closed circuit.
    pub fn new(settings: BreakerSettings) -> Self {
        Self(Arc::new(Mutex::new(Breaker::new(settings))))
    }

    /// Whether calls would go through now.
    pub fn circuit(&self) -> Circuit {
        self.lock().circuit(Instant::now())
    }

    /// Asks for leave; an attempt that is dropped without a report counts as unknown.
    pub fn ask(&self) -> Result<Attempt, Duration> {
        let leave = self.lock().ask(Instant::now())?;
        Ok(Attempt { breaker: self.clone(), leave: Some(leave) })
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way.
#[derive(Debug)]
pub struct Attempt {
    breaker: SharedBreaker,
    leave: Option<Leave>,
}

impl Attempt {
    /// Says what became of it.
    pub fn report(mut self, health: Health) {
        self.tell(health);
    }

    fn tell(&mut self, health: Health) {
        if let Some(leave) = self.leave.take() {
            self.breaker.lock().report(leave, health, Instant::now());
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.tell(Health::Unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings =
        BreakerSettings { failures: 3, open_for: Duration::from_secs(1), longest: Duration::from_secs(4) };

    fn fail(breaker: &mut Breaker, now: Instant) {
        let leave = breaker.ask(now).unwrap();
        breaker.report(leave, Health::Bad, now);
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_good_trial_closes_it() {
        let start = Instant::now();
        let mut breaker = Breaker::new(SETTINGS);
        fail(&mut breaker, start);
        fail(&mut breaker, start);
        let good = breaker.ask(start).unwrap();
        breaker.report(good, Health::Good, start);
        fail(&mut breaker, start);
        fail(&mut breaker, start);
        assert_eq!(breaker.circuit(start), Circuit::Closed, "the good one in between starts the count again");
        fail(&mut breaker, start);
        assert_eq!(breaker.ask(start), Err(Duration::from_secs(1)));
        let later = start + Duration::from_secs(1);
        let trial = breaker.ask(later).unwrap();
        assert!(breaker.ask(later).is_err(), "one on trial at a time");
        breaker.report(trial, Health::Good, later);
        assert_eq!(breaker.circuit(later), Circuit::Closed);
    }

    #[test]
    fn failed_trials_double_the_wait_up_to_the_longest() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..3 {
            fail(&mut breaker, now);
        }
        for seconds in [1, 2, 4, 4] {
            let wait = breaker.ask(now).unwrap_err();
            assert_eq!(wait, Duration::from_secs(seconds));
            now += wait;
            fail(&mut breaker, now);
        }
    }

    #[test]
    fn an_abandoned_trial_lets_the_next_one_try() {
        let start = Instant::now();
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..3 {
            fail(&mut breaker, start);
        }
        let later = start + Duration::from_secs(1);
        let trial = breaker.ask(later).unwrap();
        breaker.report(trial, Health::Unknown, later);
        assert_eq!(breaker.circuit(later), Circuit::HalfOpen);
        assert!(breaker.ask(later).is_ok());
    }

    #[test]
    fn late_reports_of_an_earlier_state_do_not_count() {
        let start = Instant::now();
        let mut breaker = Breaker::new(SETTINGS);
        let slow = breaker.ask(start).unwrap();
        for _ in 0..3 {
            fail(&mut breaker, start);
        }
        breaker.report(slow, Health::Good, start);
        assert_eq!(breaker.circuit(start), Circuit::Open);
        let later = start + Duration::from_secs(1);
        let trial = breaker.ask(later).unwrap();
        breaker.report(trial, Health::Good, later);
        breaker.report(slow, Health::Bad, later);
        assert_eq!(breaker.circuit(later), Circuit::Closed);
    }

    #[test]
    fn zero_failures_never_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerSettings { failures: 0, ..SETTINGS });
        for _ in 0..100 {
            fail(&mut breaker, now);
        }
        assert_eq!(breaker.circuit(now), Circuit::Closed);
    }

    #[test]
    fn a_dropped_attempt_frees_the_trial() {
        let shared =
            SharedBreaker::new(BreakerSettings { failures: 1, open_for: Duration::ZERO, ..SETTINGS });
        shared.ask().unwrap().report(Health::Bad);
        drop(shared.ask().unwrap());
        shared.ask().unwrap().report(Health::Good);
        assert_eq!(shared.circuit(), Circuit::Closed);
    }
}
