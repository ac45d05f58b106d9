//! Losses of one pair of trajectories, chosen and rejected.

use serde::{Deserialize, Serialize};

use super::{Entropy, Sequence, apo, dpo, simpo};

/// What one pair contributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairTerm {
    /// The loss.
    pub loss: f64,
    /// Derivative by the policy's summed log-probability of the chosen trajectory.
    pub chosen: f64,
    /// The same for the rejected one.
    pub rejected: f64,
    /// What the loss sees: positive when the pair is ordered rightly.
    pub logit: f64,
    /// Implicit rewards of the chosen and the rejected trajectory.
    pub rewards: (f64, f64),
}

impl PairTerm {
    /// Reward margin: chosen − rejected.
    pub fn margin(&self) -> f64 {
        self.rewards.0 - self.rewards.1
    }

    /// Whether the chosen trajectory has the higher reward; a tie does not count.
    pub fn accurate(&self) -> bool {
        self.rewards.0 > self.rewards.1
    }
}

/// The losses over pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PairObjective {
    /// EntroPO-DPO: −log σ(α·(π_w − π_l) − β·(ref_w − ref_l)).
    EntropoDpo(Entropy),
    /// DPO: −log σ(β·δ), δ the difference of the log-ratios.
    Dpo {
        /// Strength of the reference.
        beta: f64,
    },
    /// DPO with log-ratios averaged over tokens.
    DpoNorm {
        /// Strength of the reference.
        beta: f64,
    },
    /// IPO: (Δ_w/|w| − Δ_l/|l| − 1/(2β))².
    Ipo {
        /// Strength of the reference.
        beta: f64,
    },
    /// Hinge (SLiC): max(0, 1 − β·δ).
    Hinge {
        /// Strength of the reference.
        beta: f64,
    },
    /// Robust DPO, unbiased under a known rate of flipped labels.
    Robust {
        /// Strength of the reference.
        beta: f64,
        /// Rate of flipped labels, in [0, 0.5).
        label_smoothing: f64,
    },
    /// APO-zero: 1 − σ(βΔ_w) + σ(βΔ_l).
    ApoZero {
        /// Strength of the reference.
        beta: f64,
    },
    /// APO-down: σ(βΔ_w) + 1 − σ(β·δ).
    ApoDown {
        /// Strength of the reference.
        beta: f64,
    },
    /// SimPO: −log σ(β·(π_w/|w| − π_l/|l|) − γ), without a reference.
    Simpo {
        /// Scale of the averaged log-probabilities.
        beta: f64,
        /// Target margin γ.
        gamma: f64,
    },
}

impl PairObjective {
    /// The loss of a pair and its gradient.
    pub fn evaluate(&self, chosen: &Sequence, rejected: &Sequence) -> PairTerm {
        match *self {
            Self::EntropoDpo(entropy) => dpo::entropo(entropy, chosen, rejected),
            Self::Dpo { beta } => dpo::sigmoid(beta, chosen, rejected),
            Self::DpoNorm { beta } => dpo::sigmoid_norm(beta, chosen, rejected),
            Self::Ipo { beta } => dpo::ipo(beta, chosen, rejected),
            Self::Hinge { beta } => dpo::hinge(beta, chosen, rejected),
            Self::Robust { beta, label_smoothing } => dpo::robust(beta, label_smoothing, chosen, rejected),
            Self::ApoZero { beta } => apo::zero(beta, chosen, rejected),
            Self::ApoDown { beta } => apo::down(beta, chosen, rejected),
            Self::Simpo { beta, gamma } => simpo::simpo(beta, gamma, chosen, rejected),
        }
    }

    /// Whether the reference's log-probabilities enter.
    pub fn needs_reference(&self) -> bool {
        !matches!(self, Self::Simpo { .. })
    }

    /// What makes the settings senseless, if anything: the field and the reason.
    pub fn problem(&self) -> Option<String> {
        let (beta, rate) = match *self {
            Self::EntropoDpo(entropy) => return entropy.validated().err().map(|error| error.to_string()),
            Self::Robust { beta, label_smoothing } => (beta, label_smoothing),
            Self::Dpo { beta }
            | Self::DpoNorm { beta }
            | Self::Ipo { beta }
            | Self::Hinge { beta }
            | Self::ApoZero { beta }
            | Self::ApoDown { beta }
            | Self::Simpo { beta, .. } => (beta, 0.0),
        };
        if !(beta > 0.0 && beta.is_finite()) {
            return Some(format!("beta is {beta}, but must be positive"));
        }
        if !(0.0..0.5).contains(&rate) {
            return Some(format!("label_smoothing is {rate}, but must be in [0, 0.5)"));
        }
        None
    }
}
