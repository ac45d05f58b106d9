//! Requests, and sending many of them: as fast as they are answered, or at a rate.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::http::{Client, Failure, request};

/// No request is waited for longer.
const LONGEST: Duration = Duration::from_mins(1);

/// A selection among some candidates of an issue of its own: what it stores is not there yet.
pub(crate) fn selection(issue: &str, candidates: usize) -> Vec<u8> {
    selection_of(issue, issue, candidates)
}

/// The same with patches and conversations that hold another word than the issue's name.
pub(crate) fn selection_of(issue: &str, word: &str, candidates: usize) -> Vec<u8> {
    let candidates: Vec<Value> = (0..candidates)
        .map(|number| {
            let line = format!("value = {} + len('{word}')", number / 2);
            let patch = format!(
                "diff --git a/src/x.py b/src/x.py\n--- a/src/x.py\n+++ b/src/x.py\n@@ -1,3 +1,3 @@ def x():\n a = 1\n\
                 -b = 2\n+{line}\n c = 3\n"
            );
            let say = |role: &str, text: String| json!({"role": role, "content": text});
            json!({
                "candidate_id": format!("run-{number}"),
                "patch": patch,
                "exit": "submitted",
                "turns": [
                    say("system", "you fix issues".to_owned()),
                    say("user", format!("the issue {word}")),
                    say("assistant", format!("I am run {number} and look")),
                    say("tool", "a.py\nb.py".to_owned()),
                    say("assistant", format!("I change a line to {number}")),
                ],
            })
        })
        .collect();
    json!({"instance_id": issue, "issue": "b should be 3", "candidates": candidates}).to_string().into_bytes()
}

/// What came of many requests.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    /// Times of answers 2xx.
    pub(crate) good: Vec<Duration>,
    /// Times of answers 503.
    pub(crate) shed: Vec<Duration>,
    /// Other answers.
    pub(crate) odd: usize,
    /// No answer.
    pub(crate) failed: usize,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
}

impl Outcome {
    fn add(&mut self, result: Result<u16, Failure>, took: Duration) {
        match result {
            Ok(200..300) => self.good.push(took),
            Ok(503) => self.shed.push(took),
            Ok(_) => self.odd += 1,
            Err(_) => self.failed += 1,
        }
    }

    /// Adds what came of others; the time that it took stays.
    pub(crate) fn merge(&mut self, other: Self) {
        self.good.extend(other.good);
        self.shed.extend(other.shed);
        self.odd += other.odd;
        self.failed += other.failed;
    }

    /// Good answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.good.len() as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// A percentile in milliseconds; NaN of nothing.
pub(crate) fn percentile(times: &[Duration], percent: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// Where a request has its number.
const PLACE: &str = "0123456789";

/// A request with a number in it that is put in anew each time, so that each is of an issue of its own and costs
/// nothing to make.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
    next: AtomicUsize,
}

impl Template {
    /// A selection.
    pub(crate) fn selection(name: &str, candidates: usize) -> Arc<Self> {
        let body = selection(&format!("{name}-{PLACE}"), candidates);
        let bytes = request("POST", "/v1/selections", &[], &body);
        let found = bytes.windows(PLACE.len()).enumerate().filter(|(_, part)| *part == PLACE.as_bytes());
        let places = found.map(|(at, _)| at).collect();
        Arc::new(Self { bytes, places, next: AtomicUsize::new(0) })
    }

    fn next(&self) -> Vec<u8> {
        let number = format!("{:010}", self.next.fetch_add(1, Ordering::Relaxed));
        let mut bytes = self.bytes.clone();
        for at in &self.places {
            bytes[*at..at + PLACE.len()].copy_from_slice(number.as_bytes());
        }
        bytes
    }
}

/// As fast as they are answered: some clients, each with one request at a time, for a while.
pub(crate) async fn closed(
    addr: SocketAddr,
    clients: usize,
    template: &Arc<Template>,
    length: Duration,
) -> Outcome {
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let template = Arc::clone(template);
            tokio::spawn(async move {
                let (mut client, mut seen) = (Client::new(addr), Outcome::default());
                while start.elapsed() < length {
                    let sent = Instant::now();
                    let result = client.send(&template.next(), LONGEST).await;
                    seen.add(result.map(|reply| reply.status), sent.elapsed());
                }
                seen
            })
        })
        .collect();
    let mut all = Outcome::default();
    for task in tasks {
        all.merge(task.await.unwrap_or_default());
    }
    all.took = start.elapsed();
    all
}

/// Puts the calling thread before others, where that is allowed (to root): who only looks now and then must not wait for
/// the processors itself, or that would be taken for the service's waiting.
pub(crate) fn measure_first() {
    let _ = rustix::process::setpriority_process(None, -10);
}

/// At a rate, whether they are answered or not; in a thread of its own, which does nothing else. Gives what came of
/// them, and how late the latest of them was sent.
pub(crate) fn open(
    addr: SocketAddr,
    rate: f64,
    template: &Arc<Template>,
    length: Duration,
) -> Result<(Outcome, Duration)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let all = Rc::new(RefCell::new(Outcome::default()));
    let idle: Rc<RefCell<Vec<Client>>> = Rc::default();
    let latest = Rc::new(RefCell::new(Duration::ZERO));
    let start = Instant::now();
    local.spawn_local({
        let (all, latest, template) = (Rc::clone(&all), Rc::clone(&latest), Arc::clone(template));
        async move {
            let mut sent = 0_u64;
            while start.elapsed() < length {
                let due = (start.elapsed().as_secs_f64() * rate) as u64;
                while sent < due {
                    let late = start.elapsed().saturating_sub(Duration::from_secs_f64(sent as f64 / rate));
                    let slowest = (*latest.borrow()).max(late);
                    *latest.borrow_mut() = slowest;
                    sent += 1;
                    let (all, idle, bytes) = (Rc::clone(&all), Rc::clone(&idle), template.next());
                    tokio::task::spawn_local(async move {
                        let kept = idle.borrow_mut().pop();
                        let mut client = kept.unwrap_or_else(|| Client::new(addr));
                        let begun = Instant::now();
                        let result = client.send(&bytes, LONGEST).await;
                        all.borrow_mut().add(result.map(|reply| reply.status), begun.elapsed());
                        idle.borrow_mut().push(client);
                    });
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    runtime.block_on(local);
    let mut all = all.take();
    all.took = length;
    let latest = *latest.borrow();
    Ok((all, latest))
}
