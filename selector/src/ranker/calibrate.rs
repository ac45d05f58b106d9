//! From scores to probabilities: logistic regressions on out-of-fold scores and on the pool as a whole.

use serde::{Deserialize, Serialize};

use common::optimise;

use super::{dataset::Group, features::Columns};

/// Penalty on the standardised weights.
const L2: f64 = 1.0;

/// A logistic regression with standardised inputs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logistic {
    /// Log-odds at the mean of all inputs.
    pub bias: f64,
    /// The inputs.
    pub inputs: Vec<Input>,
}

/// One input of a [`Logistic`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its mean where it was fit.
    pub mean: f64,
    /// Its standard deviation where it was fit.
    pub scale: f64,
    /// Weight of the standardised value.
    pub weight: f64,
}

/// Probabilities of candidates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrator {
    /// Of the best candidate of a pool.
    pub pick: Logistic,
    /// Of any candidate; never above the pick's.
    pub candidate: Logistic,
}

/// What is known of a pool as a whole.
pub(crate) fn pool_inputs(columns: &Columns<'_>) -> Inputs {
    const INPUTS: [&str; 12] = [
        "size",
        "agreement",
        "agreement_best",
        "agreement_places",
        "agreement_files",
        "agreement_equal",
        "different",
        "largest_group",
        "median_size",
        "with_tests",
        "scratch",
        "empty",
    ];
    INPUTS.map(|name| (name, columns.pool(name))).to_vec()
}

/// Inputs by name.
pub(crate) type Inputs = Vec<(&'static str, f64)>;

impl Logistic {
    /// Fits to rows of inputs, all with the same names, with weights.
    pub(super) fn fit(rows: &[(Inputs, bool, f64)]) -> Self {
        let Some((first, ..)) = rows.first() else { return Self::default() };
        let total: f64 = rows.iter().map(|(.., weight)| weight).sum();
        let mut inputs: Vec<Input> = first
            .iter()
            .enumerate()
            .map(|(at, (name, _))| {
                let mean = rows.iter().map(|(row, _, weight)| weight * row[at].1).sum::<f64>() / total;
                let variance =
                    rows.iter().map(|(row, _, weight)| weight * (row[at].1 - mean).powi(2)).sum::<f64>()
                        / total;
                Input { name: (*name).to_owned(), mean, scale: variance.sqrt().max(1e-6), weight: 0.0 }
            })
            .collect();
        let standard: Vec<Vec<f64>> = rows
            .iter()
            .map(|(row, ..)| {
                let values =
                    row.iter().zip(&inputs).map(|((_, value), input)| (value - input.mean) / input.scale);
                std::iter::once(1.0).chain(values).collect()
            })
            .collect();
        let weights = optimise::minimise(vec![0.0; inputs.len() + 1], 1e-7, 200, |weights, gradient| {
            let mut loss = 0.0;
            gradient.fill(0.0);
            for (row, (_, label, weight)) in standard.iter().zip(rows) {
                let score = optimise::dot(row, weights);
                let signed = if *label { score } else { -score };
                // ln(1 + e^−s) without overflow
                loss += weight * ((-signed.abs()).exp().ln_1p() + (-signed).max(0.0));
                let slope = sigmoid(score) - f64::from(u8::from(*label));
                optimise::add(gradient, weight * slope, row);
            }
            for (slot, weight) in gradient.iter_mut().zip(weights).skip(1) {
                *slot += L2 * weight;
                loss += 0.5 * L2 * weight * weight;
            }
            loss
        });
        for (input, weight) in inputs.iter_mut().zip(&weights[1..]) {
            input.weight = *weight;
        }
        Self { bias: weights[0], inputs }
    }

    /// The probability at the inputs; one that is not given, or not known, stands at its mean.
    pub(super) fn probability(&self, inputs: &[(&'static str, f64)]) -> f64 {
        let mut score = self.bias;
        for input in &self.inputs {
            let value =
                inputs.iter().find(|(name, _)| *name == input.name).map_or(input.mean, |(_, value)| *value);
            if value.is_finite() {
                score += input.weight * ((value - input.mean) / input.scale).clamp(-6.0, 6.0);
            }
        }
        sigmoid(score)
    }

    /// Whether every number can be computed with.
    pub(super) fn is_sound(&self) -> bool {
        self.bias.is_finite()
            && self.inputs.iter().all(|input| {
                input.weight.is_finite()
                    && input.mean.is_finite()
                    && input.scale.is_finite()
                    && input.scale > 0.0
            })
    }
}

impl Calibrator {
    /// Fits to groups and the out-of-fold scores of their candidates.
    pub(super) fn fit(scored: &[(&Group, Vec<f64>)]) -> Self {
        let (mut picks, mut all) = (Vec::new(), Vec::new());
        for (group, scores) in scored {
            let best = best(scores);
            for (at, label) in group.labels.iter().enumerate() {
                if let Some(label) = label {
                    let inputs = inputs(scores, at, &group.pool);
                    if Some(at) == best {
                        picks.push((inputs.clone(), *label, group.weight));
                    }
                    all.push((inputs, *label, group.weight / scores.len() as f64));
                }
            }
        }
        Self { pick: Logistic::fit(&picks), candidate: Logistic::fit(&all) }
    }

    /// The probabilities of a pool's candidates from their scores.
    pub(crate) fn probabilities(&self, scores: &[f64], pool: &[(&'static str, f64)]) -> Vec<f64> {
        let Some(best) = best(scores) else { return Vec::new() };
        let pick = self.pick.probability(&inputs(scores, best, pool));
        (0..scores.len())
            .map(|at| {
                // Candidates that the score cannot tell from the pick are as likely.
                if scores[at] >= scores[best] {
                    pick
                } else {
                    self.candidate.probability(&inputs(scores, at, pool)).min(pick)
                }
            })
            .collect()
    }
}

/// The first of the highest scores.
fn best(scores: &[f64]) -> Option<usize> {
    (0..scores.len()).reduce(|best, at| if scores[at] > scores[best] { at } else { best })
}

fn inputs(scores: &[f64], at: usize, pool: &[(&'static str, f64)]) -> Inputs {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
    let mut inputs = vec![
        ("score", scores[at]),
        ("behind", highest - scores[at]),
        ("share", (scores[at] - highest).exp() / sum),
    ];
    inputs.extend(pool);
    inputs
}

fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}
