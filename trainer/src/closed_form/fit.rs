//! Training a tabular policy.

use super::{Path, Policy, Tree, divergence, entropy as entropy_of};
use crate::objectives::{Entropy, PairObjective, Sequence, sigmoid};

/// What training came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The trained policy.
    pub policy: Policy,
    /// Probability of every trajectory under it, tools' answers included, in the order of [`Tree::paths`].
    pub trained: Vec<f64>,
    /// The same under the optimum.
    pub optimal: Vec<f64>,
    /// KL(optimum ‖ trained) over trajectories, nats.
    pub divergence: f64,
    /// Probability of the trajectories whose utility is the highest.
    pub good: f64,
    /// Entropy among those, given that it is one of them, nats.
    pub entropy: f64,
}

/// Trains a tabular policy on all pairs of trajectories that the tools' answers allow, starting from the reference,
/// with full-batch Adam for `steps` steps.
pub fn fit(tree: &Tree, reference: &Policy, entropy: Entropy, steps: usize) -> Fit {
    let paths = tree.paths();
    let mut logits: Policy = reference.iter().map(|row| row.iter().map(|p| p.ln()).collect()).collect();
    let mut first: Policy = logits.iter().map(|row| vec![0.0; row.len()]).collect();
    let mut second = first.clone();
    for step in 0..steps {
        let slopes = slopes(&paths, &softmax(&logits), reference, entropy);
        // The rate falls to nothing, so that the end is a point and not a cloud.
        let rate = 0.05 * (1.0 - step as f64 / steps as f64);
        let bias = |decay: f64| 1.0 - decay.powf(step as f64 + 1.0);
        for (state, row) in slopes.iter().enumerate() {
            for (action, slope) in row.iter().enumerate() {
                let (m, v) = (&mut first[state][action], &mut second[state][action]);
                *m = 0.9 * *m + 0.1 * slope;
                *v = 0.999 * *v + 0.001 * slope * slope;
                logits[state][action] -= rate * (*m / bias(0.9)) / ((*v / bias(0.999)).sqrt() + 1e-12);
            }
        }
    }
    let policy = softmax(&logits);
    let probabilities =
        |policy: &Policy| paths.iter().map(|path| path.chance * path.log_probability(policy).exp()).collect();
    let trained: Vec<f64> = probabilities(&policy);
    let optimal: Vec<f64> = probabilities(&tree.optimum(reference, entropy));
    let best = paths.iter().map(|path| path.utility).fold(f64::NEG_INFINITY, f64::max);
    let good: Vec<f64> =
        paths.iter().zip(&trained).filter(|(path, _)| path.utility == best).map(|(_, p)| *p).collect();
    let mass: f64 = good.iter().sum();
    let given: Vec<f64> = good.iter().map(|p| p / mass).collect();
    Fit {
        divergence: divergence(&optimal, &trained),
        good: mass,
        entropy: entropy_of(&given),
        policy,
        trained,
        optimal,
    }
}

/// Derivative of the expected loss by every logit.
fn slopes(paths: &[Path], policy: &Policy, reference: &Policy, entropy: Entropy) -> Policy {
    let objective = PairObjective::EntropoDpo(entropy);
    let sequences: Vec<Sequence> = paths
        .iter()
        .map(|path| Sequence {
            policy: path.log_probability(policy),
            reference: path.log_probability(reference),
            tokens: path.turns.len(),
        })
        .collect();
    let mut by_path = vec![0.0; paths.len()];
    for (left, chosen) in paths.iter().enumerate() {
        for (right, rejected) in paths.iter().enumerate().filter(|(right, _)| *right != left) {
            let weight = chosen.chance * rejected.chance * sigmoid(chosen.utility - rejected.utility);
            let term = objective.evaluate(&sequences[left], &sequences[right]);
            by_path[left] += weight * term.chosen;
            by_path[right] += weight * term.rejected;
        }
    }
    // d log π(action | state) / d logit(other) = [action = other] − π(other | state)
    let mut slopes: Policy = policy.iter().map(|row| vec![0.0; row.len()]).collect();
    for (path, slope) in paths.iter().zip(by_path) {
        for &(state, action) in &path.turns {
            slopes[state][action] += slope;
            for (other, probability) in policy[state].iter().enumerate() {
                slopes[state][other] -= slope * probability;
            }
        }
    }
    slopes
}

fn softmax(logits: &Policy) -> Policy {
    let row = |row: &Vec<f64>| {
        let total = crate::objectives::log_sum_exp(row.iter().copied());
        row.iter().map(|logit| (logit - total).exp()).collect()
    };
    logits.iter().map(row).collect()
}
