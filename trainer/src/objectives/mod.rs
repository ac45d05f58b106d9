//! What is minimised: pure functions of log-probabilities, each with its gradient.
//!
//! A trajectory enters as a [`Sequence`]: the sums of the log-probabilities, in nats, that the policy and the reference
//! give to the tokens the policy wrote (all of its turns; never an observation, a header or the prompt). Every function
//! answers with the loss and its derivative by those sums, in `f64`. An engine multiplies the derivative with each
//! trained token's log-probability and lets automatic differentiation do the rest; nothing here knows tensors, so each
//! formula stands once, and is checked against finite differences.
//!
//! Notation: w chosen, l rejected, π the policy, ref the reference, σ the logistic function. α is the *total* entropy
//! coefficient of EntroPO (arXiv 2509.12434): α = β is no bonus, which is plain DPO or KTO.

mod apo;
mod diagnose;
mod dpo;
mod entropo;
mod kto;
mod numeric;
mod pair;
mod sft;
mod simpo;
mod verifier;

#[cfg(test)]
mod checks;

pub use self::{
    diagnose::{Diagnosis, diagnose},
    entropo::{Entropy, EntropyError, warmed_up},
    kto::{Kto, KtoBatch, KtoForm, KtoSample, KtoTerm, ReferencePoint},
    numeric::{log_sigmoid, log_sum_exp, sigmoid},
    pair::{PairObjective, PairTerm},
    sft::sft,
    verifier::{BradleyTerry, ListTerm, ScoreTerm, binary, bradley_terry, listwise},
};

/// One trajectory as the policy and the reference see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sequence {
    /// Sum of the policy's log-probabilities over the trained tokens, nats.
    pub policy: f64,
    /// Sum of the reference's over the same tokens, nats.
    pub reference: f64,
    /// Number of trained tokens.
    pub tokens: usize,
}

impl Sequence {
    /// Sums the log-probabilities of the trained tokens.
    ///
    /// # Panics
    /// When the policy and the reference scored a different number of tokens.
    pub fn of(policy: &[f32], reference: &[f32]) -> Self {
        assert_eq!(policy.len(), reference.len(), "policy and reference score the same tokens");
        let sum = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum();
        Self { policy: sum(policy), reference: sum(reference), tokens: policy.len() }
    }

    /// log π − log ref, summed over the trained tokens.
    pub fn log_ratio(&self) -> f64 {
        self.policy - self.reference
    }

    /// The number of trained tokens as a divisor: at least 1.
    fn length(&self) -> f64 {
        self.tokens.max(1) as f64
    }
}
