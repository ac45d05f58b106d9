//! Causal attention with grouped heads over a [`Layout`], without the matrix of all scores.
//!
//! A task is a run of a span's queries and one key/value head with the query heads that share it; their rows make one
//! matrix, which meets the keys a block at a time. The forward pass keeps a running maximum and sum per row (online
//! softmax: Milakov and Gimelshein 2018; Dao et al. 2022) and leaves log Σ exp for the backward pass, which makes the
//! probabilities again from it. Blocks are cut relative to the span and its key ranges, so a sequence is computed the
//! same way whatever else is packed beside it.

mod backward;
mod blocks;
mod forward;

pub use backward::{Gradients, backward};
pub use forward::{Forward, forward};

/// The sizes of attention's matrices, and which of the keys before a query it sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Size of a head.
    pub size: usize,
    /// Factor of q·k, usually 1/√size.
    pub scale: f32,
    /// A query sees at most this many of the latest keys, itself included; None for all.
    pub window: Option<usize>,
}

impl Attention {
    /// Query heads per key/value head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn check(&self) {
        assert!(
            self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads),
            "the query heads are shared out evenly among the key heads"
        );
        assert!(self.window != Some(0), "a query sees itself at least");
    }
}
