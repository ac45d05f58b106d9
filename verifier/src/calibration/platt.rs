//! Logistic regression on one number, with Platt's smoothed targets.

use super::{Observed, sigmoid};

/// Slope and intercept that make σ(slope · logit + intercept) most likely.
///
/// Targets are (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2) rather than 1 and 0 (Platt 1999), which keeps the fit finite when the
/// classes part. Newton's method with halving of the step, as Lin, Lin and Weng (2007) give it.
pub(super) fn fit(rows: &[Observed]) -> (f64, f64) {
    let total: f64 = rows.iter().map(|row| row.weight).sum();
    let positive: f64 = rows.iter().filter(|row| row.resolved).map(|row| row.weight).sum();
    let (high, low) = ((positive + 1.0) / (positive + 2.0), 1.0 / (total - positive + 2.0));
    // Standardised, so that the scale of the logits does not matter to the solver.
    let mean = rows.iter().map(|row| row.weight * row.logit).sum::<f64>() / total;
    let variance = rows.iter().map(|row| row.weight * (row.logit - mean).powi(2)).sum::<f64>() / total;
    let scale = variance.sqrt();
    if scale <= 0.0 || !scale.is_finite() {
        return (0.0, (positive / (total - positive)).ln());
    }
    let rows: Vec<(f64, f64, f64)> = rows
        .iter()
        .map(|row| ((row.logit - mean) / scale, if row.resolved { high } else { low }, row.weight))
        .collect();
    let loss = |slope: f64, intercept: f64| -> f64 {
        rows.iter()
            .map(|&(x, target, weight)| {
                let z = slope * x + intercept;
                // −t·ln σ(z) − (1 − t)·ln σ(−z) without overflow
                weight * (z.max(0.0) - z * target + (-z.abs()).exp().ln_1p())
            })
            .sum()
    };
    let (mut slope, mut intercept) = (0.0, (positive / (total - positive)).ln());
    let mut now = loss(slope, intercept);
    for _ in 0..100 {
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 1e-12, 0.0, 1e-12);
        for &(x, target, weight) in &rows {
            let p = sigmoid(slope * x + intercept);
            let (error, curve) = (weight * (p - target), weight * p * (1.0 - p));
            ga += error * x;
            gb += error;
            haa += curve * x * x;
            hab += curve * x;
            hbb += curve;
        }
        if ga.abs().max(gb.abs()) < 1e-10 * total {
            break;
        }
        let determinant = haa * hbb - hab * hab;
        let (da, db) = ((hab * gb - hbb * ga) / determinant, (hab * ga - haa * gb) / determinant);
        let mut step = 1.0;
        let better = loop {
            let next = loss(slope + step * da, intercept + step * db);
            if next < now {
                break Some(next);
            }
            step /= 2.0;
            if step < 1e-10 {
                break None;
            }
        };
        let Some(next) = better else { break };
        slope += step * da;
        intercept += step * db;
        now = next;
    }
    (slope / scale, intercept - slope * mean / scale)
}
