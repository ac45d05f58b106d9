//! How well probabilities agree with outcomes.

use serde::Serialize;

/// Bins of [`Quality::expected_error`].
const BINS: usize = 10;

/// Agreement of probabilities with outcomes. Lower is better in all three.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// Mean squared difference of probability and outcome.
    pub brier: f64,
    /// Mean negative log-likelihood, in nats.
    pub log_loss: f64,
    /// Expected calibration error: the mean distance of probability and share of successes over ten bins of equally many
    /// runs each.
    pub expected_error: f64,
}

/// Measures probabilities (in [0, 1]) with their outcomes; `None` without rows.
pub fn quality(rows: &[(f64, bool)]) -> Option<Quality> {
    if rows.is_empty() {
        return None;
    }
    let count = rows.len() as f64;
    let truth = |resolved: bool| f64::from(u8::from(resolved));
    let brier = rows.iter().map(|&(p, resolved)| (p - truth(resolved)).powi(2)).sum::<f64>() / count;
    let log_loss = rows
        .iter()
        .map(|&(p, resolved)| -(if resolved { p } else { 1.0 - p }).max(f64::MIN_POSITIVE).ln())
        .sum::<f64>()
        / count;
    let mut sorted = rows.to_vec();
    // Runs of one probability are in the order of their outcome, whatever the order they came in.
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let bins = BINS.min(sorted.len());
    let expected_error = (0..bins)
        .map(|bin| {
            let rows = &sorted[bin * sorted.len() / bins..(bin + 1) * sorted.len() / bins];
            let gap: f64 = rows.iter().map(|&(p, resolved)| p - truth(resolved)).sum();
            gap.abs()
        })
        .sum::<f64>()
        / count;
    Some(Quality { brier, log_loss, expected_error })
}
