//! The paper's theorem on problems small enough to solve exactly.
//!
//! A [`Tree`] is a multi-turn problem: at each state the policy acts, a tool answers (for certain, or by chance), and
//! a leaf has a utility. [`Tree::optimum`] computes the entropy-regularised optimum by backward induction
//! (arXiv 2509.12434, § 3; here in the cross-entropy form `max E[u] + α·H(π) − β·H(π, ref)`):
//!
//! ```text
//! V_h(s)    = α·log Σ_a ref(a|s)^(β/α)·exp(Q_h(s, a)/α)
//! π*_h(a|s) = ref(a|s)^(β/α)·exp((Q_h(s, a) − V_h(s))/α)
//! ```
//!
//! [`fit`] trains a tabular policy on all preference pairs, each weighted by its Bradley–Terry probability, with the
//! same objective that trains language models. With tools that answer for certain the loss is least where π = π*.

mod fit;
mod tree;

pub use self::{
    fit::{Fit, fit},
    tree::{Outcome, Path, State, Tree},
};

/// A policy: the probability of every action at every state.
pub type Policy = Vec<Vec<f64>>;

/// Entropy of a distribution, nats.
pub fn entropy(probabilities: &[f64]) -> f64 {
    probabilities.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum()
}

/// KL(p ‖ q), nats. Rounding never makes it negative.
pub fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum::<f64>().max(0.0)
}
