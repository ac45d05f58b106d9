//! The entropy term of EntroPO, and the reward that it implies.
//!
//! Objective (cross-entropy form, § 1.2 of the method's description; arXiv 2509.12434, § 3):
//! `max E[u] + α·H(π) − β·H(π, ref)`, whose solution is `π* ∝ ref^(β/α)·exp(u/α)` and whose implicit reward is
//! `r = α·log π − β·log ref`.
//!
//! That is `β·(log π − log ref) + (α − β)·log π`. The second part grows with the length of a trajectory: at the start,
//! where policy and reference agree, it alone makes the logit, and a difference of some hundred nats between chosen and
//! rejected saturates the loss. Hence an optional cap on it and a warm-up of α from β.

use serde::{Deserialize, Serialize};

use super::Sequence;

/// The coefficients of EntroPO.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entropy {
    /// Total entropy coefficient; the paper uses 0.11. Equal to β: no entropy bonus.
    pub alpha: f64,
    /// Coefficient of the reference; the paper uses 0.1.
    pub beta: f64,
    /// The length-driven part of a logit, x, becomes `cap·tanh(x / cap)`: it never exceeds the cap, and hardly changes
    /// where it is small. None: as in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<f64>,
}

/// Why coefficients are refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum EntropyError {
    /// β must be positive.
    #[error("beta is {0}, but must be positive")]
    Beta(f64),
    /// α below β would punish entropy.
    #[error(
        "alpha is {alpha}, less than beta = {beta}: that lowers entropy; use alpha = beta for no entropy bonus"
    )]
    Alpha {
        /// What was given.
        alpha: f64,
        /// What it is compared with.
        beta: f64,
    },
    /// The cap must be positive.
    #[error("the cap is {0}, but must be positive")]
    Cap(f64),
}

impl Entropy {
    /// Plain DPO or KTO: no entropy bonus.
    pub fn none(beta: f64) -> Self {
        Self { alpha: beta, beta, cap: None }
    }

    /// Checks the coefficients.
    pub fn validated(self) -> Result<Self, EntropyError> {
        let Self { alpha, beta, cap } = self;
        if !(beta > 0.0 && beta.is_finite()) {
            return Err(EntropyError::Beta(beta));
        }
        if !(alpha >= beta && alpha.is_finite()) {
            return Err(EntropyError::Alpha { alpha, beta });
        }
        match cap {
            Some(cap) if cap.is_nan() || cap <= 0.0 => Err(EntropyError::Cap(cap)),
            _ => Ok(self),
        }
    }

    /// The net entropy bonus, α − β.
    pub fn bonus(&self) -> f64 {
        self.alpha - self.beta
    }

    /// The implicit reward `α·log π − β·log ref` of a trajectory.
    pub fn reward(&self, sequence: &Sequence) -> f64 {
        self.beta * sequence.log_ratio() + self.bonus() * sequence.policy
    }

    /// The length-driven part under the cap, and its derivative by the part itself.
    pub(super) fn capped(&self, part: f64) -> (f64, f64) {
        match self.cap {
            None => (part, 1.0),
            Some(cap) => {
                let bent = (part / cap).tanh();
                (cap * bent, 1.0 - bent * bent)
            }
        }
    }
}

/// α at `step` (from 0) of a linear warm-up from β that lasts `steps`.
pub fn warmed_up(entropy: Entropy, step: usize, steps: usize) -> Entropy {
    if step >= steps {
        return entropy;
    }
    let share = step as f64 / steps as f64;
    Entropy { alpha: entropy.beta + entropy.bonus() * share, ..entropy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_goes_from_beta_to_alpha() {
        let entropy = Entropy { alpha: 0.11, beta: 0.1, cap: None };
        assert_eq!(warmed_up(entropy, 0, 10).alpha, 0.1);
        assert!((warmed_up(entropy, 5, 10).alpha - 0.105).abs() < 1e-15);
        assert_eq!(warmed_up(entropy, 10, 10), entropy);
        assert_eq!(warmed_up(entropy, 0, 0), entropy);
    }

    #[test]
    fn the_cap_bends_large_parts_only() {
        let entropy = Entropy { alpha: 0.11, beta: 0.1, cap: Some(4.0) };
        let (small, slope) = entropy.capped(0.1);
        assert!((small - 0.1).abs() < 1e-4 && slope > 0.999);
        let (large, slope) = entropy.capped(-300.0);
        assert!((large + 4.0).abs() < 1e-9 && slope < 1e-9);
    }

    #[test]
    fn senseless_coefficients_are_refused() {
        let with = |alpha, beta, cap| Entropy { alpha, beta, cap }.validated();
        assert_eq!(with(0.1, 0.0, None), Err(EntropyError::Beta(0.0)));
        assert_eq!(with(0.1, 0.2, None), Err(EntropyError::Alpha { alpha: 0.1, beta: 0.2 }));
        assert_eq!(with(0.2, 0.1, Some(0.0)), Err(EntropyError::Cap(0.0)));
        assert!(with(f64::NAN, 0.1, None).is_err());
        assert!(with(0.1, 0.1, Some(1.0)).is_ok());
    }
}
