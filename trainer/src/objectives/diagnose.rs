//! What the entropy term does before the first step.
//!
//! At the start the policy is the reference, so the logit of a pair is `(α − β)·(π_w − π_l)` and nothing else: with
//! trajectories of thousands of tokens, a small bonus already saturates the loss in favour of the likelier (mostly the
//! shorter) trajectory, and its gradient is gone.

use super::{Entropy, Sequence, sigmoid};

/// Logits beyond this leave less than 1 % of the gradient.
const SATURATED: f64 = 4.6;

/// The pairs of a data set as the loss sees them at step 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diagnosis {
    /// Number of pairs.
    pub pairs: usize,
    /// Mean initial logit; positive when chosen trajectories are likelier (shorter) than rejected ones.
    pub mean_logit: f64,
    /// Largest absolute initial logit.
    pub largest_logit: f64,
    /// Share of pairs that the loss takes for solved at the start: logit above 4.6, less than 1 % of the gradient.
    pub saturated: f64,
    /// Mean of σ(−logit), which scales the gradient; 0.5 without an entropy bonus.
    pub mean_gradient: f64,
    /// The α at which 95 % of the pairs stay below saturation; None when any α does.
    pub alpha_within: Option<f64>,
}

/// Looks at pairs (chosen, rejected) of which only the reference's log-probabilities are needed.
///
/// No pairs: everything is 0.
pub fn diagnose(entropy: Entropy, pairs: &[(Sequence, Sequence)]) -> Diagnosis {
    let gaps: Vec<f64> =
        pairs.iter().map(|(chosen, rejected)| chosen.reference - rejected.reference).collect();
    let logits: Vec<f64> = gaps.iter().map(|gap| entropy.capped(entropy.bonus() * gap).0).collect();
    let count = logits.len().max(1) as f64;
    let mean = |value: &dyn Fn(f64) -> f64| logits.iter().map(|&logit| value(logit)).sum::<f64>() / count;
    let mut sizes: Vec<f64> = gaps.iter().map(|gap| gap.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let wide = sizes.get((sizes.len().saturating_sub(1)) * 95 / 100).copied().unwrap_or(0.0);
    Diagnosis {
        pairs: pairs.len(),
        mean_logit: mean(&|logit| logit),
        largest_logit: logits.iter().fold(0.0, |largest, logit| logit.abs().max(largest)),
        saturated: mean(&|logit| f64::from(u8::from(logit > SATURATED))),
        mean_gradient: mean(&|logit| sigmoid(-logit)),
        alpha_within: (wide > 0.0).then(|| entropy.beta + SATURATED / wide),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(chosen: f64, rejected: f64) -> (Sequence, Sequence) {
        let of = |sum| Sequence { policy: sum, reference: sum, tokens: 100 };
        (of(chosen), of(rejected))
    }

    #[test]
    fn a_large_bonus_on_long_trajectories_is_seen() {
        let pairs = [pair(-900.0, -1200.0), pair(-900.0, -1200.0)];
        let small = diagnose(Entropy { alpha: 0.11, beta: 0.1, cap: None }, &pairs);
        assert!((small.mean_logit - 3.0).abs() < 1e-9);
        assert_eq!(small.saturated, 0.0);
        let large = diagnose(Entropy { alpha: 0.15, beta: 0.1, cap: None }, &pairs);
        assert_eq!(large.saturated, 1.0);
        assert!(large.mean_gradient < 1e-6);
        let within = large.alpha_within.expect("the gap is not 0");
        assert!((within - (0.1 + 4.6 / 300.0)).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_see_without_pairs_or_without_a_bonus() {
        assert_eq!(diagnose(Entropy::none(0.1), &[]).pairs, 0);
        let plain = diagnose(Entropy::none(0.1), &[pair(-900.0, -1200.0)]);
        assert_eq!((plain.mean_logit, plain.saturated, plain.mean_gradient), (0.0, 0.0, 0.5));
        assert_eq!(diagnose(Entropy::none(0.1), &[pair(-5.0, -5.0)]).alpha_within, None);
    }
}
