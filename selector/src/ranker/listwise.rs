//! Learning from comparisons within a pool.
//!
//! The probability that a candidate resolves is logistic in its features, with the pool's own share of candidates
//! that resolve as base rate: like a conditional logit, it learns nothing from how hard an issue is, only from what
//! sets apart the candidates of one issue.

use rayon::prelude::*;

use common::optimise;

use super::dataset::Group;

/// Groups a chunk of the sum over groups. Fixed, so that the sum is the same on any number of threads.
const CHUNK: usize = 64;

/// Fits weights of standardised features by penalised maximum likelihood.
///
/// Pools where all candidates resolve, or none, say nothing. Each of the others weighs the same, whatever its size.
/// `l2` penalises half the squared distance of the weights to their priors; a weight with a prior keeps its sign.
/// Features that are `late` are fit after the others, which then stay as they are: with nothing to go by, late
/// features change nothing.
pub(super) fn fit(
    groups: &[&Group],
    scales: &[Option<f64>],
    priors: &[f64],
    late: &[bool],
    l2: f64,
) -> Vec<f64> {
    let pools: Vec<Pool> =
        groups.iter().filter(|group| group.is_mixed()).map(|group| Pool::of(group, scales)).collect();
    let mut weights: Vec<f64> =
        priors.iter().zip(late).map(|(prior, late)| if *late { 0.0 } else { *prior }).collect();
    for turn in [false, true] {
        if !late.contains(&turn) {
            continue;
        }
        for ((weight, prior), _) in
            weights.iter_mut().zip(priors).zip(late).filter(|(_, late)| **late == turn)
        {
            *weight = *prior;
        }
        weights = minimised(&pools, weights, priors, |at| late[at] == turn, l2);
        for ((weight, &prior), _) in
            weights.iter_mut().zip(priors).zip(late).filter(|(_, late)| **late == turn)
        {
            // What must mean something means at least not the contrary.
            if prior != 0.0 && *weight * prior < 0.0 {
                *weight = 0.0;
            }
        }
    }
    weights
}

/// The weights from `start` on at which the free ones are best.
fn minimised(
    pools: &[Pool],
    start: Vec<f64>,
    priors: &[f64],
    free: impl Fn(usize) -> bool,
    l2: f64,
) -> Vec<f64> {
    optimise::minimise(start, 1e-4, 300, |weights, gradient| {
        let parts: Vec<(f64, Vec<f64>)> = pools.par_chunks(CHUNK).map(|chunk| loss(chunk, weights)).collect();
        let mut total = 0.0;
        for ((slot, weight), prior) in gradient.iter_mut().zip(weights).zip(priors) {
            *slot = l2 * (weight - prior);
            total += 0.5 * l2 * (weight - prior).powi(2);
        }
        for (part, slope) in &parts {
            total += part;
            optimise::add(gradient, 1.0, slope);
        }
        for (_, slot) in gradient.iter_mut().enumerate().filter(|(at, _)| !free(*at)) {
            *slot = 0.0;
        }
        total
    })
}

struct Pool {
    rows: Vec<f64>,
    labels: Vec<bool>,
    /// Log-odds of the pool's share of candidates that resolve.
    offset: f64,
    /// Of each row.
    weight: f64,
}

impl Pool {
    fn of(group: &Group, scales: &[Option<f64>]) -> Self {
        let labelled: Vec<(usize, bool)> =
            group.labels.iter().enumerate().filter_map(|(at, label)| Some((at, (*label)?))).collect();
        let right = labelled.iter().filter(|(_, label)| *label).count() as f64;
        let count = labelled.len() as f64;
        let mut rows: Vec<Vec<f64>> = (0..group.size).map(|at| row(group, at, scales)).collect();
        for feature in 0..scales.len() {
            let mean = rows.iter().map(|row| row[feature]).sum::<f64>() / group.size as f64;
            for row in &mut rows {
                row[feature] -= mean;
            }
        }
        Self {
            rows: labelled.iter().flat_map(|&(at, _)| &rows[at]).copied().collect(),
            labels: labelled.iter().map(|(_, label)| *label).collect(),
            offset: (right / (count - right)).ln(),
            weight: group.weight / count,
        }
    }
}

/// A candidate's features.
fn row(group: &Group, at: usize, scales: &[Option<f64>]) -> Vec<f64> {
    group.parts.iter().zip(scales).map(|(part, scale)| part.scaled(at, *scale)).collect()
}

/// Scores of a group's candidates, less their mean.
pub(super) fn scores(group: &Group, scales: &[Option<f64>], weights: &[f64]) -> Vec<f64> {
    let mut scores: Vec<f64> =
        (0..group.size).map(|at| optimise::dot(&row(group, at, scales), weights)).collect();
    centre(&mut scores);
    scores
}

/// Takes the mean off.
pub(super) fn centre(scores: &mut [f64]) {
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    for score in scores {
        *score -= mean;
    }
}

fn loss(pools: &[Pool], weights: &[f64]) -> (f64, Vec<f64>) {
    let mut total = 0.0;
    let mut gradient = vec![0.0; weights.len()];
    for pool in pools {
        for (row, &label) in pool.rows.chunks(weights.len()).zip(&pool.labels) {
            let score = pool.offset + optimise::dot(row, weights);
            let signed = if label { score } else { -score };
            // ln(1 + e^−s) without overflow
            total += pool.weight * ((-signed.abs()).exp().ln_1p() + (-signed).max(0.0));
            let probability = 1.0 / (1.0 + (-score).exp());
            optimise::add(&mut gradient, pool.weight * (probability - f64::from(u8::from(label))), row);
        }
    }
    (total, gradient)
}
