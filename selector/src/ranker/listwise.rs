//! The conditional logit: the probability that a candidate is the one that resolves is a softmax over its pool.

use rayon::prelude::*;

use super::{dataset::Group, optimise};

/// Groups a chunk of the sum over groups. Fixed, so that the sum is the same on any number of threads.
const CHUNK: usize = 64;

/// Fits weights of standardised features by penalised maximum likelihood.
///
/// The loss of a pool is the cross-entropy between the softmax of the scores and the uniform distribution over the
/// candidates that resolve; pools where all or none do say nothing. `l2` penalises half the squared weights.
pub(super) fn fit(groups: &[&Group], scales: &[f64], l2: f64) -> Vec<f64> {
    let pools: Vec<Pool> =
        groups.iter().filter(|group| group.is_mixed()).map(|group| Pool::of(group, scales)).collect();
    optimise::minimise(vec![0.0; scales.len()], 1e-4, 300, |weights, gradient| {
        let parts: Vec<(f64, Vec<f64>)> = pools.par_chunks(CHUNK).map(|chunk| loss(chunk, weights)).collect();
        let mut total = 0.5 * l2 * optimise::dot(weights, weights);
        for (slot, weight) in gradient.iter_mut().zip(weights) {
            *slot = l2 * weight;
        }
        for (part, slope) in &parts {
            total += part;
            optimise::add(gradient, 1.0, slope);
        }
        total
    })
}

struct Pool {
    rows: Vec<f64>,
    targets: Vec<f64>,
    weight: f64,
}

impl Pool {
    fn of(group: &Group, scales: &[f64]) -> Self {
        let labelled =
            || group.labels.iter().zip(&group.rows).filter_map(|(label, row)| Some(((*label)?, row)));
        let right = labelled().filter(|(label, _)| *label).count() as f64;
        Self {
            rows: labelled()
                .flat_map(|(_, row)| row.iter().zip(scales).map(|(value, scale)| value / scale))
                .collect(),
            targets: labelled().map(|(label, _)| if label { 1.0 / right } else { 0.0 }).collect(),
            weight: group.weight,
        }
    }
}

fn loss(pools: &[Pool], weights: &[f64]) -> (f64, Vec<f64>) {
    let mut total = 0.0;
    let mut gradient = vec![0.0; weights.len()];
    for pool in pools {
        let scores: Vec<f64> =
            pool.rows.chunks(weights.len()).map(|row| optimise::dot(row, weights)).collect();
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
        for ((score, target), row) in scores.iter().zip(&pool.targets).zip(pool.rows.chunks(weights.len())) {
            let probability = (score - highest).exp() / sum;
            total -= pool.weight * target * (score - highest - sum.ln());
            optimise::add(&mut gradient, pool.weight * (probability - target), row);
        }
    }
    (total, gradient)
}
