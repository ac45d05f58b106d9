//! Losses of reward models: what a verifier's scores should be.

use serde::{Deserialize, Serialize};

use super::numeric::{log_sigmoid, log_sum_exp, sigmoid};

/// A loss of one score and its derivative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreTerm {
    /// The loss.
    pub loss: f64,
    /// Derivative by the score.
    pub slope: f64,
}

/// Settings of the Bradley–Terry loss.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BradleyTerry {
    /// How far the chosen score should be above the rejected one.
    #[serde(default)]
    pub margin: f64,
    /// Weight of `(s_w + s_l)²`, which keeps scores around 0 (arXiv 2312.09244); 0.01 is usual.
    #[serde(default)]
    pub centering: f64,
}

/// Bradley–Terry: `−log σ(s_w − s_l − margin) + c·(s_w + s_l)²`, with its derivatives by both scores.
pub fn bradley_terry(settings: BradleyTerry, chosen: f64, rejected: f64) -> (f64, [f64; 2]) {
    let logit = chosen - rejected - settings.margin;
    let sum = chosen + rejected;
    let push = -sigmoid(-logit);
    let pull = 2.0 * settings.centering * sum;
    (-log_sigmoid(logit) + settings.centering * sum * sum, [push + pull, pull - push])
}

/// Binary cross-entropy of a score read as a logit; for a trajectory, or for each of its turns.
pub fn binary(score: f64, resolved: bool) -> ScoreTerm {
    if resolved {
        ScoreTerm { loss: -log_sigmoid(score), slope: -sigmoid(-score) }
    } else {
        ScoreTerm { loss: -log_sigmoid(-score), slope: sigmoid(score) }
    }
}

/// The loss of one issue's candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct ListTerm {
    /// The loss.
    pub loss: f64,
    /// Derivative by each score.
    pub slopes: Vec<f64>,
}

/// Listwise over the candidates of an issue: minus the logarithm of the softmax mass that the resolved ones have,
/// `log Σ e^s − log Σ_resolved e^s`. None when all candidates share an outcome: there is nothing to order.
///
/// # Panics
/// When there are not as many labels as scores.
pub fn listwise(scores: &[f64], resolved: &[bool]) -> Option<ListTerm> {
    assert_eq!(scores.len(), resolved.len(), "one label a score");
    if resolved.iter().all(|&label| label) || !resolved.contains(&true) {
        return None;
    }
    let labelled = || scores.iter().zip(resolved);
    let all = log_sum_exp(scores.iter().copied());
    let good = log_sum_exp(labelled().filter(|(_, label)| **label).map(|(score, _)| *score));
    let slopes = labelled()
        .map(|(score, &label)| (score - all).exp() - if label { (score - good).exp() } else { 0.0 })
        .collect();
    Some(ListTerm { loss: all - good, slopes })
}
