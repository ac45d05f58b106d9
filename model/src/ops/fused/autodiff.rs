//! The operations where gradients are recorded: the backend below computes, the tape keeps what its gradients need.

use std::sync::Arc;

use burn::backend::{
    Autodiff, AutodiffBackend,
    autodiff::{
        NodeId,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients as Grads,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::{FloatTensor, IntTensor},
};
use kernels::Layout;

use super::{Fused, Gradients};
use crate::ops::AttentionOptions;

/// Hands a gradient on to a parent that wants one.
macro_rules! register {
    ($grads:ident, $($parent:expr => $gradient:expr),+ $(,)?) => {
        $(if let Some(parent) = $parent { $grads.register::<B>(parent.id, $gradient); })+
    };
}

#[derive(Debug)]
struct RmsNorm;

impl<B: Gradients> Backward<B, 2> for RmsNorm {
    type State = (NodeId, NodeId, f64);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Grads, kept: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ([x_parent, weight_parent], (x, weight, eps)) = (ops.parents, ops.state);
        let (x, weight) = (kept.retrieve_node_output(x), kept.retrieve_node_output(weight));
        let (dx, dw) = B::rms_norm_backward(x, weight, grad, eps);
        register!(grads, x_parent => dx, weight_parent => dw);
    }
}

#[derive(Debug)]
struct Rope;

impl<B: Gradients> Backward<B, 1> for Rope {
    type State = (FloatTensor<B>, FloatTensor<B>, bool);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Grads, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ([parent], (cos, sin, inverse)) = (ops.parents, ops.state);
        register!(grads, parent => B::rope(grad, cos, sin, !inverse));
    }
}

#[derive(Debug)]
struct SwiGlu;

impl<B: Gradients> Backward<B, 2> for SwiGlu {
    type State = (NodeId, NodeId);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Grads, kept: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ([gate_parent, up_parent], (gate, up)) = (ops.parents, ops.state);
        let (gate, up) = (kept.retrieve_node_output(gate), kept.retrieve_node_output(up));
        let (d_gate, d_up) = B::swiglu_backward(gate, up, grad);
        register!(grads, gate_parent => d_gate, up_parent => d_up);
    }
}

#[derive(Debug)]
struct Linear;

impl<B: Gradients> Backward<B, 2> for Linear {
    type State = (NodeId, NodeId);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Grads, kept: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ([x_parent, weight_parent], (x, weight)) = (ops.parents, ops.state);
        register!(
            grads,
            weight_parent => B::linear_backward_weight(grad.clone(), kept.retrieve_node_output(x)),
            x_parent => B::linear_backward_input(grad, kept.retrieve_node_output(weight)),
        );
    }
}

#[derive(Debug)]
struct LinearWithBias;

impl<B: Gradients> Backward<B, 3> for LinearWithBias {
    type State = (NodeId, NodeId);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Grads, kept: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ([x_parent, weight_parent, bias_parent], (x, weight)) = (ops.parents, ops.state);
        register!(
            grads,
            bias_parent => B::linear_backward_bias(grad.clone()),
            weight_parent => B::linear_backward_weight(grad.clone(), kept.retrieve_node_output(x)),
            x_parent => B::linear_backward_input(grad, kept.retrieve_node_output(weight)),
        );
    }
}

#[derive(Debug)]
struct Attention;

/// The inputs on the tape, the result and its log Σ exp, and how it was made.
type AttentionState<B> = ([NodeId; 3], (FloatTensor<B>, FloatTensor<B>), Arc<Layout>, AttentionOptions);

impl<B: Gradients> Backward<B, 3> for Attention {
    type State = AttentionState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Grads, kept: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ([q, k, v], (inputs, result, layout, options)) = (ops.parents, ops.state);
        let inputs = inputs.map(|input| kept.retrieve_node_output(input));
        let [dq, dk, dv] = B::attention_backward(inputs, result, grad, &layout, options);
        register!(grads, q => dq, k => dk, v => dv);
    }
}

#[derive(Debug)]
struct TokenStats;

impl<B: Gradients> Backward<B, 2> for TokenStats {
    type State = ([NodeId; 2], IntTensor<B>, [FloatTensor<B>; 2]);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Grads, kept: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ([hidden, weight], (inputs, targets, left)) = (ops.parents, ops.state);
        let inputs = inputs.map(|input| kept.retrieve_node_output(input));
        let (d_hidden, d_weight) = B::token_stats_backward(inputs, targets, left, grad, weight.is_some());
        register!(grads, hidden => d_hidden);
        if let (Some(weight), Some(d_weight)) = (weight, d_weight) {
            grads.register::<B>(weight.id, d_weight);
        }
    }
}

impl<B: Gradients, C: CheckpointStrategy> Fused for Autodiff<B, C> {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        match RmsNorm.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut tape) => {
                let state = (tape.checkpoint(&x), tape.checkpoint(&weight), eps);
                tape.finish(state, B::rms_norm(x.into_primitive(), weight.into_primitive(), eps))
            }
            OpsKind::UnTracked(tape) => {
                tape.finish(B::rms_norm(x.into_primitive(), weight.into_primitive(), eps))
            }
        }
    }

    fn rope(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        inverse: bool,
    ) -> FloatTensor<Self> {
        let tape = Rope.prepare::<C>([x.node()]).compute_bound().stateful();
        let (x, cos, sin) = (x.into_primitive(), cos.into_primitive(), sin.into_primitive());
        match tape {
            OpsKind::Tracked(tape) => {
                tape.finish((cos.clone(), sin.clone(), inverse), B::rope(x, cos, sin, inverse))
            }
            OpsKind::UnTracked(tape) => tape.finish(B::rope(x, cos, sin, inverse)),
        }
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        match SwiGlu.prepare::<C>([gate.node(), up.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut tape) => {
                let state = (tape.checkpoint(&gate), tape.checkpoint(&up));
                tape.finish(state, B::swiglu(gate.into_primitive(), up.into_primitive()))
            }
            OpsKind::UnTracked(tape) => tape.finish(B::swiglu(gate.into_primitive(), up.into_primitive())),
        }
    }

    fn projection(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        match Linear.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut tape) => {
                let state = (tape.checkpoint(&x), tape.checkpoint(&weight));
                tape.finish(state, B::projection(x.into_primitive(), weight.into_primitive()))
            }
            OpsKind::UnTracked(tape) => {
                tape.finish(B::projection(x.into_primitive(), weight.into_primitive()))
            }
        }
    }

    fn projection_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        match LinearWithBias.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut tape) => {
                let state = (tape.checkpoint(&x), tape.checkpoint(&weight));
                let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
                tape.finish(state, B::projection_with_bias(x, weight, bias))
            }
            OpsKind::UnTracked(tape) => {
                let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
                tape.finish(B::projection_with_bias(x, weight, bias))
            }
        }
    }

    fn packed_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        layout: Arc<Layout>,
        options: AttentionOptions,
    ) -> FloatTensor<Self> {
        match Attention.prepare::<C>([q.node(), k.node(), v.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut tape) => {
                let inputs = [tape.checkpoint(&q), tape.checkpoint(&k), tape.checkpoint(&v)];
                let (q, k, v) = (q.into_primitive(), k.into_primitive(), v.into_primitive());
                let (out, lse) = B::attention_forward(q, k, v, &layout, options);
                tape.finish((inputs, (out.clone(), lse), layout, options), out)
            }
            OpsKind::UnTracked(tape) => {
                let (q, k, v) = (q.into_primitive(), k.into_primitive(), v.into_primitive());
                tape.finish(B::packed_attention(q, k, v, layout, options))
            }
        }
    }

    fn token_stats(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, IntTensor<Self>) {
        match TokenStats.prepare::<C>([hidden.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut tape) => {
                let inputs = [tape.checkpoint(&hidden), tape.checkpoint(&weight)];
                let (hidden, weight) = (hidden.into_primitive(), weight.into_primitive());
                let (logp, entropy, top1, left) = B::token_stats_forward(hidden, weight, targets.clone());
                let logp = tape.finish((inputs, targets, left), logp);
                (logp, <Self as AutodiffBackend>::from_inner(entropy), top1)
            }
            OpsKind::UnTracked(tape) => {
                let (hidden, weight) = (hidden.into_primitive(), weight.into_primitive());
                let (logp, entropy, top1) = B::token_stats(hidden, weight, targets);
                (tape.finish(logp), <Self as AutodiffBackend>::from_inner(entropy), top1)
            }
        }
    }
}
