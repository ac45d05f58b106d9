//! Supervised fine-tuning, alone or as a term beside a preference loss (RPO).

use super::Sequence;

/// `−Σ log π / Σ tokens` over all trained tokens of the batch, and its derivative by any sequence's summed
/// log-probability, which is the same for all. Nothing trained: (0, 0).
pub fn sft(sequences: &[Sequence]) -> (f64, f64) {
    let tokens: usize = sequences.iter().map(|sequence| sequence.tokens).sum();
    if tokens == 0 {
        return (0.0, 0.0);
    }
    let total: f64 = sequences.iter().map(|sequence| sequence.policy).sum();
    let slope = -1.0 / tokens as f64;
    (slope * total, slope)
}
