//! A back end whose scores can be worked out by hand, and that misbehaves when told to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use verifier::{
    Backend, BackendError, Condensed, Example, Layout, ModelInfo, Payload, PrepareError, PrepareOptions,
    Prepared, Probability, RawScore, TokenizeInput,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    /// Every batch is unavailable.
    Gone,
    /// A batch with a row that says `poison` fails.
    Poison,
    /// A batch with a row that says `panic` panics.
    Panics,
    /// Never ends.
    Stuck,
    /// One score too few.
    Short,
}

/// The made-up model. A row's logit is the number of words of its patch, less two; NaN where the patch says `nan`.
#[derive(Debug)]
pub(crate) struct Mock {
    info: ModelInfo,
    labels: Vec<String>,
    pub(crate) mood: Mutex<Mood>,
    /// Batches wait for a permit each when this is set.
    pub(crate) gate: Option<Arc<Semaphore>>,
    pub(crate) batches: Mutex<Vec<Vec<Arc<Prepared>>>>,
    pub(crate) prepared: AtomicUsize,
    pub(crate) ended: AtomicUsize,
    pub(crate) recovered: AtomicBool,
}

/// Tokens that the mock reads at most.
pub(crate) const MAX_TOKENS: usize = 1_000;

impl Mock {
    pub(crate) fn new(name: &str) -> Self {
        let info = ModelInfo {
            name: name.to_owned(),
            revision: format!("{name}-r1"),
            backend: "mock".to_owned(),
            layout: Layout::CompactV1,
            max_tokens: MAX_TOKENS,
            trained: true,
        };
        Self {
            info,
            labels: Vec::new(),
            mood: Mutex::new(Mood::Fine),
            gate: None,
            batches: Mutex::default(),
            prepared: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            recovered: AtomicBool::new(false),
        }
    }

    /// The same, whose batches wait until they are let through.
    pub(crate) fn gated(name: &str) -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        (Self { gate: Some(Arc::clone(&gate)), ..Self::new(name) }, gate)
    }

    pub(crate) fn with_labels(self, labels: &[&str]) -> Self {
        Self { labels: labels.iter().map(|label| (*label).to_owned()).collect(), ..self }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The texts of every batch so far.
    pub(crate) fn seen(&self) -> Vec<Vec<String>> {
        let batches = self.batches.lock().unwrap();
        batches.iter().map(|batch| batch.iter().map(|row| text(row).to_owned()).collect()).collect()
    }
}

fn text(row: &Prepared) -> &str {
    match &row.payload {
        Payload::Messages(messages) => &messages[1].1,
        _ => unreachable!("the mock writes messages"),
    }
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

#[async_trait]
impl Backend for Mock {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn prepare(&self, example: &Example, options: PrepareOptions) -> Result<Prepared, PrepareError> {
        self.prepared.fetch_add(1, Ordering::SeqCst);
        let candidate = &example.candidate;
        let trajectory = &candidate.trajectory;
        let patch = trajectory.patch_text();
        let said: Vec<&str> = trajectory.turns.iter().map(|turn| turn.content.as_str()).collect();
        let said = said.join(" ");
        if patch.contains("refuse") {
            let reason = "the template refuses it".to_owned();
            return Err(PrepareError::Refused { candidate: candidate.candidate_id.clone(), reason });
        }
        let limit = options.max_tokens.unwrap_or(MAX_TOKENS).min(MAX_TOKENS);
        let (issue, full) = (words(&example.issue), words(&example.issue) + words(patch) + words(&said));
        let short = issue + words(patch);
        let (tokens, condensed) = match full {
            full if full <= limit => (full, None),
            _ if options.condense && short <= limit => (
                short,
                Some(Condensed {
                    full_tokens: full,
                    turns: vec![0],
                    removed_tokens: full - short,
                    ..Condensed::default()
                }),
            ),
            _ => {
                let hint = if options.condense { "" } else { "; allow condensing" };
                let tokens = if options.condense { short } else { full };
                return Err(PrepareError::TooLong {
                    candidate: candidate.candidate_id.clone(),
                    tokens,
                    limit,
                    hint,
                });
            }
        };
        let shown = if patch.is_empty() { said.clone() } else { patch.to_owned() };
        let messages = vec![("user".to_owned(), example.issue.to_string()), ("assistant".to_owned(), shown)];
        let mut content = blake3::Hasher::new();
        content
            .update(example.issue.as_bytes())
            .update(b"\0")
            .update(patch.as_bytes())
            .update(b"\0")
            .update(said.as_bytes());
        Ok(Prepared {
            payload: Payload::Messages(messages),
            tokens,
            shared_tokens: issue,
            content: *content.finalize().as_bytes(),
            condensed,
        })
    }

    async fn score(&self, batch: &[Arc<Prepared>]) -> Result<Vec<RawScore>, BackendError> {
        self.batches.lock().unwrap().push(batch.to_vec());
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let mood = *self.mood.lock().unwrap();
        let says = |word: &str| batch.iter().any(|row| text(row).contains(word));
        match mood {
            Mood::Gone => return Err(BackendError::Unavailable("connection refused".into())),
            Mood::Stuck => std::future::pending().await,
            Mood::Poison if says("poison") => return Err(BackendError::Failed("it is poisonous".into())),
            Mood::Panics if says("panic") => panic!("as told"),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut scores: Vec<RawScore> = batch.iter().map(|row| self.one(text(row))).collect();
        if mood == Mood::Short {
            scores.pop();
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(scores)
    }

    fn probability(&self, logit: f64) -> Probability {
        Probability { value: 1.0 / (1.0 + (-logit / 2.0).exp()), calibrated: true }
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn tokenize(&self, input: &TokenizeInput) -> Option<Result<Vec<u32>, String>> {
        match input {
            TokenizeInput::Text(text) if text.contains("refuse") => {
                Some(Err("the tokenizer refuses it".into()))
            }
            TokenizeInput::Text(text) => {
                Some(Ok(text.split_whitespace().map(|word| word.len() as u32).collect()))
            }
            TokenizeInput::Messages(_) => None,
        }
    }

    fn recover(&self) -> bool {
        self.recovered.store(true, Ordering::SeqCst);
        self.set(Mood::Fine);
        true
    }
}

impl Mock {
    fn one(&self, text: &str) -> RawScore {
        let logit = words(text) as f64 - 2.0;
        let logit = if text.contains("nan") { f64::NAN } else { logit };
        let labels = self.labels.iter().enumerate().map(|(index, _)| logit - index as f64).collect();
        RawScore {
            logit: Some(logit),
            turn_logits: vec![0.0, logit],
            spread: Some(0.25),
            labels,
            reason: None,
        }
    }
}
