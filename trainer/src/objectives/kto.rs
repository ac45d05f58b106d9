//! KTO (arXiv 2402.01306, § 4.1) and EntroPO-KTO (arXiv 2509.12434, § 3.2), over one optimiser step.
//!
//! The reference point z₀ is a mean over *mismatched* trajectories: whole other trajectories scored under an issue's
//! prompt. It carries no gradient. It is estimated once for a whole optimiser step, so that neither the order of rows
//! nor their split into micro-batches changes the result.

use serde::{Deserialize, Serialize};

use super::{
    Entropy, Sequence,
    numeric::{sigmoid, sigmoid_slope},
};

/// Where the entropy coefficient enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KtoForm {
    /// What the objective implies: r = α·log π − β·log ref in every sample's loss.
    #[default]
    Paper,
    /// What the authors' code computes: α enters through z₀ alone, which has no gradient, and β multiplies z₀ a second
    /// time. With long trajectories z₀ is 0, and this is KTO with a reference point of 0.
    Released,
}

/// How the mean reward of mismatched trajectories becomes z₀.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferencePoint {
    /// The part β·(log π − log ref), an estimate of a divergence and so not negative, is clamped at 0; the entropy part
    /// (α − β)·log π is not. Equals KTO for α = β, and stays alive with long trajectories.
    #[default]
    ClampDivergence,
    /// The whole mean is clamped at 0. With α > β and long trajectories every desirable sample saturates.
    Clamp,
    /// The mean as it is.
    Free,
}

/// Settings of KTO.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kto {
    /// α and β; α = β is plain KTO.
    #[serde(flatten)]
    pub entropy: Entropy,
    /// Where α enters.
    #[serde(default)]
    pub form: KtoForm,
    /// How z₀ is made; the released form always clamps.
    #[serde(default)]
    pub reference_point: ReferencePoint,
    /// Weight λ_D of desirable trajectories.
    pub desirable_weight: f64,
    /// Weight λ_U of undesirable trajectories.
    pub undesirable_weight: f64,
}

/// One labelled trajectory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KtoSample {
    /// Its log-probabilities.
    pub sequence: Sequence,
    /// Whether it resolved the issue.
    pub desirable: bool,
}

/// What one trajectory contributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KtoTerm {
    /// Its loss.
    pub loss: f64,
    /// Derivative of its own loss by the policy's summed log-probability.
    pub policy: f64,
    /// Its implicit reward.
    pub reward: f64,
}

/// An optimiser step's worth.
#[derive(Debug, Clone, PartialEq)]
pub struct KtoBatch {
    /// The mean loss.
    pub loss: f64,
    /// The reference point.
    pub reference_point: f64,
    /// The terms, in the order of the samples. The mean's derivative is a term's divided by their number.
    pub terms: Vec<KtoTerm>,
}

impl Kto {
    /// z₀ from mismatched trajectories; 0 for none.
    pub fn reference_point(&self, mismatched: &[Sequence]) -> f64 {
        if mismatched.is_empty() {
            return 0.0;
        }
        let mean = |part: &dyn Fn(&Sequence) -> f64| {
            mismatched.iter().map(part).sum::<f64>() / mismatched.len() as f64
        };
        let Entropy { beta, .. } = self.entropy;
        match (self.form, self.reference_point) {
            (KtoForm::Released, _) | (KtoForm::Paper, ReferencePoint::Clamp) => {
                mean(&|sequence| self.entropy.reward(sequence)).max(0.0)
            }
            (KtoForm::Paper, ReferencePoint::Free) => mean(&|sequence| self.entropy.reward(sequence)),
            (KtoForm::Paper, ReferencePoint::ClampDivergence) => {
                let divergence = (beta * mean(&Sequence::log_ratio)).max(0.0);
                divergence + self.entropy.bonus() * mean(&|sequence| sequence.policy)
            }
        }
    }

    /// The loss of an optimiser step: `λ_D·(1 − σ(r − z₀))` for desirable and `λ_U·(1 − σ(z₀ − r))` for undesirable
    /// trajectories, averaged.
    pub fn evaluate(&self, samples: &[KtoSample], mismatched: &[Sequence]) -> KtoBatch {
        let reference_point = self.reference_point(mismatched);
        let terms: Vec<KtoTerm> = samples.iter().map(|sample| self.term(sample, reference_point)).collect();
        let loss = terms.iter().map(|term| term.loss).sum::<f64>() / terms.len().max(1) as f64;
        KtoBatch { loss, reference_point, terms }
    }

    /// One trajectory's part, for a known reference point.
    pub fn term(&self, sample: &KtoSample, reference_point: f64) -> KtoTerm {
        let Entropy { alpha, beta, .. } = self.entropy;
        let reward = self.entropy.reward(&sample.sequence);
        let (advantage, slope) = match self.form {
            KtoForm::Paper => (reward - reference_point, alpha),
            KtoForm::Released => (beta * (sample.sequence.log_ratio() - reference_point), beta),
        };
        let (weight, sign) =
            if sample.desirable { (self.desirable_weight, 1.0) } else { (self.undesirable_weight, -1.0) };
        let seen = sign * advantage;
        KtoTerm {
            loss: weight * sigmoid(-seen),
            policy: -sign * weight * slope * sigmoid_slope(seen),
            reward,
        }
    }
}
