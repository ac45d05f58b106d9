//! The operations a decoder is made of, over packed tokens.
//!
//! Shapes: T query tokens, S key tokens, H query heads, K key/value heads (H a multiple of K), D the size of a head,
//! V the vocabulary. On the CPU each is one step with a gradient written by hand. [`plain`] writes each out in Burn's own
//! operations: that is what other devices run, and what the former are checked against.

mod fused;
pub mod plain;

use std::sync::Arc;

use burn::{
    backend::Dispatch,
    tensor::{Int, Tensor},
};
pub(crate) use fused::on_cpu;
use fused::{Fused, takes};
use kernels::Layout;

/// How attention scores are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionOptions {
    /// Factor of q·k, usually 1/√D.
    pub scale: f32,
    /// A query sees at most this many of the latest keys, itself included; None for all.
    pub window: Option<usize>,
}

/// What a language model says of each token that follows: all in nats, shape `[T]`.
#[derive(Debug, Clone)]
pub struct TokenStats {
    /// Log-probability of the target.
    pub logp: Tensor<1>,
    /// Entropy of the distribution the target was drawn from (no gradient).
    pub entropy: Tensor<1>,
    /// The most likely token (no gradient).
    pub top1: Tensor<1, Int>,
}

/// Root-mean-square norm over the last axis: `x / sqrt(mean(x²) + eps) · weight`.
pub fn rms_norm<const N: usize>(x: Tensor<N>, weight: Tensor<1>, eps: f64) -> Tensor<N> {
    if !takes(&x) {
        return plain::rms_norm(x, weight, eps);
    }
    Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), weight.into_dispatch(), eps))
}

/// Rotary position embedding in the half-split order of Hugging Face checkpoints.
///
/// x `[T, H, D]`; cos and sin `[T, D/2]`, those of each token's position.
pub fn rope(x: Tensor<3>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<3> {
    if !takes(&x) {
        return plain::rope(x, cos, sin);
    }
    let (x, cos, sin) = (x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch());
    Tensor::from_dispatch(Dispatch::rope(x, cos, sin, false))
}

/// `silu(gate) · up`.
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    if !takes(&gate) {
        return plain::swiglu(gate, up);
    }
    Tensor::from_dispatch(Dispatch::swiglu(gate.into_dispatch(), up.into_dispatch()))
}

/// `x · weightᵀ + bias`; x `[T, I]`, weight `[O, I]` as in checkpoints, bias `[O]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    if !takes(&x) {
        return plain::linear(x, weight, bias);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::projection_with_bias(x, weight, bias.into_dispatch()),
        None => Dispatch::projection(x, weight),
    })
}

/// Causal attention with grouped heads. q `[T, H, D]`, k and v `[S, K, D]`; the result is `[T, H, D]`.
pub fn attention(
    q: &Tensor<3>,
    k: &Tensor<3>,
    v: &Tensor<3>,
    layout: &Arc<Layout>,
    options: AttentionOptions,
) -> Tensor<3> {
    if !takes(q) {
        return plain::attention(q, k, v, layout, options);
    }
    let [q, k, v] = [q, k, v].map(|x| x.clone().into_dispatch());
    Tensor::from_dispatch(Dispatch::packed_attention(q, k, v, Arc::clone(layout), options))
}

/// The language-model head and log-softmax in one. hidden `[T, I]`, weight `[V, I]`, targets `[T]`.
pub fn token_stats(hidden: Tensor<2>, weight: Tensor<2>, targets: Tensor<1, Int>) -> TokenStats {
    if !takes(&hidden) {
        return plain::token_stats(hidden, weight, targets);
    }
    let (hidden, weight, targets) = (hidden.into_dispatch(), weight.into_dispatch(), targets.into_dispatch());
    let (logp, entropy, top1) = Dispatch::token_stats(hidden, weight, targets);
    TokenStats {
        logp: Tensor::from_dispatch(logp),
        entropy: Tensor::from_dispatch(entropy),
        top1: Tensor::from_dispatch(top1),
    }
}
