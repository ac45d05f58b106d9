//! What goes into the pipeline and what comes out.

use std::time::Duration;

use store::Tenant;
use tokio::time::Instant;

use super::Lane;
use crate::{Condensed, Example, PrepareError, PrepareOptions, RawScore};

/// Examples to score together.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whose they are: nobody else learns from the cache or the queue that they were scored.
    pub tenant: Tenant,
    /// What to score.
    pub examples: Vec<Example>,
    /// How to lay it out.
    pub options: PrepareOptions,
    /// Who goes first.
    pub lane: Lane,
    /// When nobody wants the scores any more.
    pub deadline: Instant,
}

/// One scored example.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// What the model said; without a logit it says why.
    pub score: RawScore,
    /// Tokens that the model read.
    pub tokens: usize,
    /// What was left out.
    pub condensed: Option<Condensed>,
    /// Whether it was known already.
    pub cached: bool,
    /// Where the time went.
    pub took: Took,
}

/// Where the time of one example went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Took {
    /// Laying out and tokenising, with the wait for a worker.
    pub prepare: Duration,
    /// Waiting for a place in a batch.
    pub queue: Duration,
    /// In the model, with its whole batch.
    pub model: Duration,
}

/// Why a job has no scores.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// Examples that are too long and may not be condensed, by their place in the job.
    #[error("{}", .0.first().map_or_else(String::new, |(_, error)| error.to_string()))]
    TooLong(Vec<(usize, PrepareError)>),
    /// More tokens than can ever wait.
    #[error("{tokens} tokens in one request, {limit} can wait at most")]
    TooLarge {
        /// Its tokens.
        tokens: u64,
        /// How many can wait.
        limit: u64,
    },
    /// No room; the client may come back.
    #[error("too much is waiting for the model")]
    Busy {
        /// After this time there probably is room.
        retry_after: Duration,
    },
    /// The deadline came first.
    #[error("the deadline passed before the model was done")]
    Deadline,
    /// The model does not work just now.
    #[error("{0}")]
    Unavailable(String),
}
