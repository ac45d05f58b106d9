//! Isotonic regression: the rising curve nearest to the outcomes.

use super::Observed;

/// A run of rows with one probability.
struct Block {
    weight: f64,
    positive: f64,
    /// Weighted sum of the logits.
    logits: f64,
}

impl Block {
    fn rate(&self) -> f64 {
        self.positive / self.weight
    }
}

/// Points of the curve: pooled adjacent violators, each block at its mean logit.
///
/// No probability is 0 or 1: those of the outer blocks are kept 1/(N + 2) away, N being the weight of all rows.
pub(super) fn fit(rows: &[Observed]) -> (Vec<f64>, Vec<f64>) {
    let mut sorted: Vec<&Observed> = rows.iter().collect();
    sorted.sort_by(|a, b| a.logit.total_cmp(&b.logit));
    let mut blocks: Vec<Block> = Vec::new();
    for tied in sorted.chunk_by(|a, b| a.logit == b.logit) {
        let weight = tied.iter().map(|row| row.weight).sum();
        let positive = tied.iter().filter(|row| row.resolved).map(|row| row.weight).sum();
        blocks.push(Block { weight, positive, logits: tied[0].logit * weight });
        while let [.., before, last] = blocks.as_mut_slice()
            && before.rate() >= last.rate()
        {
            before.weight += last.weight;
            before.positive += last.positive;
            before.logits += last.logits;
            blocks.pop();
        }
    }
    let edge = 1.0 / (rows.iter().map(|row| row.weight).sum::<f64>() + 2.0);
    let (mut logits, mut probabilities): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for block in &blocks {
        let at = block.logits / block.weight;
        // Rounding may bring the means of two blocks together.
        if logits.last().is_none_or(|&before| before < at) {
            logits.push(at);
            probabilities.push(block.rate().clamp(edge, 1.0 - edge));
        }
    }
    (logits, probabilities)
}

/// The curve at a logit.
pub(super) fn at(logits: &[f64], probabilities: &[f64], logit: f64) -> f64 {
    if logit.is_nan() {
        return f64::NAN;
    }
    let next = logits.partition_point(|&at| at < logit);
    if next == 0 {
        return probabilities[0];
    }
    if next == logits.len() {
        return probabilities[next - 1];
    }
    let share = (logit - logits[next - 1]) / (logits[next] - logits[next - 1]);
    probabilities[next - 1] + share * (probabilities[next] - probabilities[next - 1])
}
