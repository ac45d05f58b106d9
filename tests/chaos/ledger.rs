//! What clients were promised: they send each request, under its key, until it is answered, and write down the answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::http::{Client, Reply};
use crate::load::selection;
use crate::random::Random;
use crate::training::config;

/// How long a client waits for one answer.
const ANSWER: Duration = Duration::from_secs(20);
/// The longest pause before a request is sent again.
const PAUSE: u64 = 150;

/// Which service a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Selector,
    Trainer,
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) target: Target,
    path: String,
    key: String,
    body: Vec<u8>,
    status: u16,
    pub(crate) answer: Vec<u8>,
}

/// Everything that was promised to all clients.
#[derive(Debug)]
pub(crate) struct Ledger {
    selector: SocketAddr,
    trainer: Option<SocketAddr>,
    entries: Mutex<Vec<Entry>>,
    /// Requests that got another answer than a promise or “later”.
    wrong: Mutex<Vec<String>>,
    /// Times that a request was sent.
    sent: AtomicUsize,
    /// The longest time that a request took with all its repetitions.
    slowest: Mutex<Duration>,
    over: AtomicBool,
}

/// What a look at everything found.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) promises: usize,
    pub(crate) sent: usize,
    pub(crate) lost: usize,
    pub(crate) changed: usize,
    pub(crate) doubled: usize,
    pub(crate) wrong: Vec<String>,
    pub(crate) slowest: Duration,
}

impl Audit {
    /// Whether nothing is wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.changed + self.doubled + self.wrong.len() == 0
    }

    /// In words.
    pub(crate) fn text(&self) -> String {
        let wrong = self.wrong.first().map_or_else(String::new, |one| format!(" ({one})"));
        format!(
            "{} writes acknowledged, sent {} times: {} lost, {} with another answer, {} made twice, {} wrong answers{wrong}",
            self.promises,
            self.sent,
            self.lost,
            self.changed,
            self.doubled,
            self.wrong.len()
        )
    }
}

fn push<T>(list: &Mutex<Vec<T>>, value: T) {
    list.lock().unwrap_or_else(PoisonError::into_inner).push(value);
}

impl Ledger {
    /// An empty one for these services.
    pub(crate) fn new(selector: SocketAddr, trainer: Option<SocketAddr>) -> Arc<Self> {
        Arc::new(Self {
            selector,
            trainer,
            entries: Mutex::default(),
            wrong: Mutex::default(),
            sent: AtomicUsize::new(0),
            slowest: Mutex::default(),
            over: AtomicBool::new(false),
        })
    }

    /// What was promised so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// No new requests; those that were begun are still sent until they are answered.
    pub(crate) fn finish(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// One client: selections, reports of their outcomes, candidates, and now and then a training run.
    pub(crate) async fn client(self: Arc<Self>, number: usize, give_up: Duration) {
        let mut random = Random::new(number as u64 + 1);
        let mut clients = (Client::new(self.selector), self.trainer.map(Client::new));
        let mut turn = 0;
        while !self.over.load(Ordering::Acquire) {
            let key = format!("{number}-{turn}");
            if let (Some(trainer), true) = (&mut clients.1, turn % 40 == number) {
                let body =
                    json!({"name": format!("run-{key}"), "config": config(8, 2)}).to_string().into_bytes();
                self.write(trainer, Target::Trainer, "/v1/runs", &key, body, &mut random, give_up).await;
            }
            let issue = format!("l__l-{key}");
            let reply = self
                .write(
                    &mut clients.0,
                    Target::Selector,
                    "/v1/selections",
                    &key,
                    selection(&issue, 4),
                    &mut random,
                    give_up,
                )
                .await;
            let Some(reply) = reply else { return };
            let id = reply.json()["id"].as_str().unwrap_or_default().to_owned();
            if random.below(2) == 0 {
                let body = json!({"outcomes": [{"candidate_id": "run-0", "resolved": true}], "source": key});
                let path = format!("/v1/selections/{id}/outcomes");
                let body = body.to_string().into_bytes();
                self.write(
                    &mut clients.0,
                    Target::Selector,
                    &path,
                    &format!("{key}-o"),
                    body,
                    &mut random,
                    give_up,
                )
                .await;
            }
            turn += 1;
        }
    }

    /// Sends a request until it is answered.
    #[expect(clippy::too_many_arguments, reason = "one call with all that makes a request")]
    async fn write(
        &self,
        client: &mut Client,
        target: Target,
        path: &str,
        key: &str,
        body: Vec<u8>,
        random: &mut Random,
        give_up: Duration,
    ) -> Option<Reply> {
        let start = Instant::now();
        loop {
            self.sent.fetch_add(1, Ordering::Relaxed);
            let last = match client.post(path, Some(key), &body, ANSWER).await {
                Ok(reply) if (200..300).contains(&reply.status) => {
                    let mut slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner);
                    *slowest = (*slowest).max(start.elapsed());
                    drop(slowest);
                    let (path, key, answer) = (path.to_owned(), key.to_owned(), reply.body.clone());
                    push(&self.entries, Entry { target, path, key, body, status: reply.status, answer });
                    return Some(reply);
                }
                // Later: the service is busy, stops, or still works on the first request.
                Ok(reply) if matches!(reply.status, 503 | 409) && reply.header("retry-after").is_some() => {
                    format!("{} {}", reply.status, reply.text())
                }
                Ok(reply) => {
                    push(&self.wrong, format!("{key}: {} {}", reply.status, reply.text()));
                    return None;
                }
                Err(failure) => format!("{failure:?}"),
            };
            if start.elapsed() > give_up {
                push(&self.wrong, format!("{key}: not answered within {give_up:?}, at last: {last}"));
                return None;
            }
            tokio::time::sleep(random.millis(10, PAUSE)).await;
        }
    }

    /// Looks whether everything that was promised is there, once, and the same when it is asked for again.
    pub(crate) async fn audit(&self) -> Result<Audit> {
        let entries = self.entries();
        let mut audit = Audit {
            promises: entries.len(),
            sent: self.sent.load(Ordering::Relaxed),
            wrong: self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            slowest: *self.slowest.lock().unwrap_or_else(PoisonError::into_inner),
            ..Audit::default()
        };
        let mut selector = Client::new(self.selector);
        let mut trainer = self.trainer.map(Client::new);
        let kept = count(&mut selector, "/v1/selections?limit=1000", "selections", "instance_id").await?;
        let runs = match &mut trainer {
            Some(trainer) => count(trainer, "/v1/runs?limit=100", "data", "name").await?,
            None => BTreeMap::new(),
        };
        audit.doubled += kept.values().chain(runs.values()).filter(|count| **count > 1).count();
        for entry in entries {
            let client = match (entry.target, &mut trainer) {
                (Target::Trainer, Some(trainer)) => trainer,
                _ => &mut selector,
            };
            let again = client.post(&entry.path, Some(&entry.key), &entry.body, ANSWER).await;
            let same = again.is_ok_and(|reply| reply.status == entry.status && reply.body == entry.answer);
            audit.changed += usize::from(!same);
            let answer: serde_json::Value = serde_json::from_slice(&entry.answer).unwrap_or_default();
            if entry.path.ends_with("/outcomes") {
                let path = entry.path.trim_end_matches("/outcomes");
                let there = client.get(path, ANSWER).await.ok().map(|reply| reply.json()).unwrap_or_default();
                audit.lost += usize::from(there["outcomes"][0]["source"] != entry.key.trim_end_matches("-o"));
                let content = there["contents"]["run-0"].as_str().unwrap_or_default().to_owned();
                let candidate = client.get(&format!("/v1/candidates/{content}"), ANSWER).await;
                let candidate = candidate.ok().context("a candidate cannot be read")?.json();
                let reports = candidate["outcomes"].as_array().map_or(0, Vec::len);
                audit.doubled += usize::from(reports > 1);
            } else {
                let id = answer["id"].as_str().unwrap_or_default();
                let there = client.get(&format!("{}/{id}", entry.path), ANSWER).await;
                let found = there.is_ok_and(|reply| {
                    let there = reply.json();
                    reply.status == 200 && there["id"] == answer["id"] && there["chosen"] == answer["chosen"]
                });
                audit.lost += usize::from(!found);
            }
        }
        Ok(audit)
    }
}

/// How often each value of a field stands in a list, over all its pages.
async fn count(client: &mut Client, path: &str, list: &str, field: &str) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = if cursor.is_empty() { path.to_owned() } else { format!("{path}&cursor={cursor}") };
        let page = client.get(&path, ANSWER).await.ok().context("a list cannot be read")?.json();
        for one in page[list].as_array().with_context(|| format!("{path} has no list: {page}"))? {
            *counts.entry(one[field].to_string()).or_default() += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return Ok(counts),
        }
    }
}
