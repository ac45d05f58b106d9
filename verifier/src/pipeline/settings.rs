//! `[scoring]`: how much is scored at a time, how much may wait, and for how long.

use std::{num::NonZero, thread::available_parallelism};

use serde::{Deserialize, Serialize};
use server::{ByteSize, Span};

use super::{Bounds, Cost};

/// Tokens at which attention costs as much as everything else in a decoder of a few hundred million parameters.
const ATTENTION: u64 = 8_192;

/// The keys of `[scoring]` that concern the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineSettings {
    /// Candidates in one request.
    pub candidates: usize,
    /// Size of one patch.
    pub patch: ByteSize,
    /// Turns of one trajectory.
    pub turns: usize,
    /// Candidates laid out at a time; 0 for the number of cores.
    pub workers: usize,
    /// Cost of a batch in tokens; a longer trajectory is a batch of its own.
    pub batch_tokens: u64,
    /// Rows of a batch.
    pub batch_rows: u64,
    /// Time for a batch; then it is given up and the service is not ready until one succeeds.
    pub batch_timeout: Span,
    /// Tokens that may wait; beyond it requests are refused with 503.
    pub queue_tokens: u64,
    /// Time after which work of the batch lane counts as interactive.
    pub ageing: Span,
    /// Time for a request that names no deadline.
    pub deadline: Span,
    /// Memory for scores that were computed before.
    pub cache: ByteSize,
}

impl Default for PipelineSettings {
    fn default() -> Self {
        Self {
            candidates: 1024,
            patch: ByteSize::mib(4),
            turns: 10_000,
            workers: 0,
            batch_tokens: 16_384,
            batch_rows: 64,
            batch_timeout: Span::secs(120),
            queue_tokens: 16_000_000,
            ageing: Span::secs(10),
            deadline: Span::secs(55),
            cache: ByteSize::mib(64),
        }
    }
}

impl PipelineSettings {
    pub(super) fn worker_count(&self) -> usize {
        match self.workers {
            0 => available_parallelism().map_or(1, NonZero::get),
            workers => workers,
        }
    }

    /// The batcher's bounds, with the model's own budget where it has one.
    pub(super) fn bounds(&self, batch: Option<u64>) -> Bounds {
        Bounds {
            batch: batch.unwrap_or(self.batch_tokens).max(1),
            rows: self.batch_rows.max(1),
            queue: self.queue_tokens,
            ageing: self.ageing.0,
            cost: Cost::Packed { attention: ATTENTION },
        }
    }
}
