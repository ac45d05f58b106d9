//! The operations as one step each, with gradients written by hand, on the CPU backend.
//!
//! [`Fused`] is a backend extension: Burn routes a call to the implementation for the tensors' backend, and to the one
//! for [`Autodiff`](burn::backend::Autodiff) when gradients are recorded. What the latter needs of the backend below it
//! is [`Gradients`]. Other backends are never routed here: [`takes`] tells.

mod autodiff;
mod flex;

use std::sync::Arc;

use burn::{
    backend::{
        Backend, DispatchDevice, backend_extension,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{DType, Tensor},
};
use kernels::Layout;

use super::AttentionOptions;

/// Whether tensors like this one are computed by the operations here.
pub(super) fn takes<const N: usize>(x: &Tensor<N>) -> bool {
    x.dtype() == DType::F32 && on_cpu(x.device().as_dispatch())
}

pub(crate) fn on_cpu(device: &DispatchDevice) -> bool {
    match device {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => on_cpu(&device.clone().inner()),
        #[allow(unreachable_patterns, reason = "which other devices there are depends on the features")]
        _ => false,
    }
}

/// The operations; shapes as in the [parent](super) module.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Fused: Backend {
    /// x `[…, D]`, weight `[D]`.
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self>;

    /// x `[T, H, D]`, cos and sin `[T, D/2]` (constants: they get no gradient).
    fn rope(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        inverse: bool,
    ) -> FloatTensor<Self>;

    /// gate and up of one shape.
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// x `[T, I]`, weight `[O, I]`.
    fn projection(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// x `[T, I]`, weight `[O, I]`, bias `[O]`.
    fn projection_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// q `[T, H, D]`, k and v `[S, K, D]`.
    fn packed_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        layout: Arc<Layout>,
        options: AttentionOptions,
    ) -> FloatTensor<Self>;

    /// hidden `[T, I]`, weight `[V, I]`, targets `[T]`; returns log-probabilities, entropies and most likely words.
    fn token_stats(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, IntTensor<Self>);
}

/// What the gradients of [`Fused`] need of a backend.
pub(super) trait Gradients: Fused {
    /// With respect to x and weight.
    fn rms_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        eps: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// With respect to gate and up.
    fn swiglu_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// With respect to x.
    fn linear_backward_input(grad: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// With respect to the weight.
    fn linear_backward_weight(grad: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// With respect to the bias.
    fn linear_backward_bias(grad: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The result, and the log Σ exp `[T, H]` that the backward pass needs.
    fn attention_forward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        layout: &Layout,
        options: AttentionOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// With respect to q, k and v, the inputs; `result` is what the forward pass left.
    fn attention_backward(
        inputs: [FloatTensor<Self>; 3],
        result: (FloatTensor<Self>, FloatTensor<Self>),
        grad: FloatTensor<Self>,
        layout: &Layout,
        options: AttentionOptions,
    ) -> [FloatTensor<Self>; 3];

    /// The results, and what the backward pass needs: the log Σ exp `[T]`, and the logits of as many of the first rows as
    /// may be kept, one after the other.
    fn token_stats_forward(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, IntTensor<Self>, [FloatTensor<Self>; 2]);

    /// With respect to hidden and, if asked for, the weight, the inputs; `kept` is what the forward pass left.
    fn token_stats_backward(
        inputs: [FloatTensor<Self>; 2],
        targets: IntTensor<Self>,
        kept: [FloatTensor<Self>; 2],
        grad: FloatTensor<Self>,
        with_weight: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);
}
