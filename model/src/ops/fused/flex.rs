//! The operations on the CPU backend: tensors in, slices to the kernels, tensors out without a copy.

use std::sync::Arc;

use burn::{
    backend::{Flex, TensorMetadata},
    tensor::{DType, Shape, TensorData},
};
use burn_flex::FlexTensor;
use kernels::{
    Attention, Layout, TokenStats,
    attention::Forward,
    meter::{Part, measured},
};

use super::{Fused, Gradients};
use crate::ops::AttentionOptions;

/// The elements of a tensor in order, copied only if it is a view out of order.
struct Values(FlexTensor);

impl Values {
    fn of(tensor: FlexTensor) -> Self {
        Self(if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() })
    }

    fn slice(&self) -> &[f32] {
        self.0.as_slice().expect("contiguous, in single precision")
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Targets as the kernels take them, whatever integers they are.
fn words(tensor: FlexTensor) -> Vec<u32> {
    // A negative target becomes one that no vocabulary has, and is refused as such.
    tensor.into_data().iter::<i64>().map(|word| u32::try_from(word).unwrap_or(u32::MAX)).collect()
}

fn sizes(q: &Shape, k: &Shape, options: AttentionOptions) -> Attention {
    Attention { heads: q[1], kv_heads: k[1], size: q[2], scale: options.scale, window: options.window }
}

/// Operations of one of attention's products, of which there are two on the way there and five on the way back.
fn products(layout: &Layout, sizes: &Attention) -> u64 {
    (2 * layout.pairs(sizes.window) * sizes.heads * sizes.size) as u64
}

impl Fused for Flex {
    fn rms_norm(x: FlexTensor, weight: FlexTensor, eps: f64) -> FlexTensor {
        let shape = x.shape();
        let (x, weight) = (Values::of(x), Values::of(weight));
        tensor(measured(Part::Norms, 0, || kernels::rms_norm(x.slice(), weight.slice(), eps)), shape)
    }

    fn rope(mut x: FlexTensor, cos: FlexTensor, sin: FlexTensor, inverse: bool) -> FlexTensor {
        let (shape, half) = (x.shape(), cos.shape()[1]);
        assert_eq!(shape[2], 2 * half, "an angle for every pair");
        let (cos, sin) = (Values::of(cos), Values::of(sin));
        // As for the gate below.
        if x.is_contiguous()
            && let Some(values) = x.try_storage_mut::<f32>()
            && values.len() == shape.num_elements()
        {
            measured(Part::Elementwise, 0, || {
                kernels::rope_in_place(values, cos.slice(), sin.slice(), shape[1], half, inverse);
            });
            return x;
        }
        let x = Values::of(x);
        let turned = measured(Part::Elementwise, 0, || {
            kernels::rope(x.slice(), cos.slice(), sin.slice(), shape[1], half, inverse)
        });
        tensor(turned, shape)
    }

    fn swiglu(mut gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        let shape = gate.shape();
        // The gate is the largest matrix of a pass, and mostly nobody else holds it: its place is taken by the result.
        if gate.is_contiguous()
            && let Some(values) = gate.try_storage_mut::<f32>()
            && values.len() == shape.num_elements()
        {
            let up = Values::of(up);
            measured(Part::Elementwise, 0, || kernels::swiglu_in_place(values, up.slice()));
            return gate;
        }
        let (gate, up) = (Values::of(gate), Values::of(up));
        tensor(measured(Part::Elementwise, 0, || kernels::swiglu(gate.slice(), up.slice())), shape)
    }

    fn projection(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let (rows, outputs, inputs) = (x.shape()[0], weight.shape()[0], weight.shape()[1]);
        let (x, weight) = (Values::of(x), Values::of(weight));
        tensor(kernels::linear(x.slice(), weight.slice(), None, inputs, outputs), [rows, outputs])
    }

    fn projection_with_bias(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let (rows, outputs, inputs) = (x.shape()[0], weight.shape()[0], weight.shape()[1]);
        let (x, weight, bias) = (Values::of(x), Values::of(weight), Values::of(bias));
        let y = kernels::linear(x.slice(), weight.slice(), Some(bias.slice()), inputs, outputs);
        tensor(y, [rows, outputs])
    }

    fn packed_attention(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        layout: Arc<Layout>,
        options: AttentionOptions,
    ) -> FlexTensor {
        Self::attention_forward(q, k, v, &layout, options).0
    }

    fn token_stats(
        hidden: FlexTensor,
        weight: FlexTensor,
        targets: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (inputs, rows, integers) = (hidden.shape()[1], targets.shape(), targets.dtype());
        let (hidden, weight) = (Values::of(hidden), Values::of(weight));
        let stats = kernels::token_stats(hidden.slice(), weight.slice(), &words(targets), inputs);
        let (logp, entropy, top1, _) = of_rows(stats, &rows, integers);
        (logp, entropy, top1)
    }
}

/// What the head says of every row, as tensors.
fn of_rows(
    stats: TokenStats,
    rows: &Shape,
    integers: DType,
) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
    let top1: Vec<i64> = stats.top1.iter().map(|&word| i64::from(word)).collect();
    let top1 = TensorData::new(top1, rows.clone());
    let top1 = if integers == DType::I64 { top1 } else { top1.convert_dtype(integers) };
    let each = |values| tensor(values, rows.clone());
    (each(stats.logp), each(stats.entropy), FlexTensor::from_data(top1), each(stats.lse))
}

impl Gradients for Flex {
    fn rms_norm_backward(
        x: FlexTensor,
        weight: FlexTensor,
        grad: FlexTensor,
        eps: f64,
    ) -> (FlexTensor, FlexTensor) {
        let (shape, width) = (x.shape(), weight.shape());
        let (x, weight, grad) = (Values::of(x), Values::of(weight), Values::of(grad));
        let (dx, dw) = measured(Part::Norms, 0, || {
            kernels::rms_norm_backward(x.slice(), weight.slice(), grad.slice(), eps)
        });
        (tensor(dx, shape), tensor(dw, width))
    }

    fn swiglu_backward(gate: FlexTensor, up: FlexTensor, grad: FlexTensor) -> (FlexTensor, FlexTensor) {
        let shape = gate.shape();
        let (gate, up, grad) = (Values::of(gate), Values::of(up), Values::of(grad));
        let (d_gate, d_up) = measured(Part::Elementwise, 0, || {
            kernels::swiglu_backward(gate.slice(), up.slice(), grad.slice())
        });
        (tensor(d_gate, shape.clone()), tensor(d_up, shape))
    }

    fn linear_backward_input(grad: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let (rows, outputs, inputs) = (grad.shape()[0], weight.shape()[0], weight.shape()[1]);
        let (grad, weight) = (Values::of(grad), Values::of(weight));
        tensor(kernels::linear_backward_input(grad.slice(), weight.slice(), inputs, outputs), [rows, inputs])
    }

    fn linear_backward_weight(grad: FlexTensor, x: FlexTensor) -> FlexTensor {
        let (outputs, inputs) = (grad.shape()[1], x.shape()[1]);
        let (grad, x) = (Values::of(grad), Values::of(x));
        tensor(kernels::linear_backward_weight(grad.slice(), x.slice(), inputs, outputs), [outputs, inputs])
    }

    fn linear_backward_bias(grad: FlexTensor) -> FlexTensor {
        let outputs = grad.shape()[1];
        tensor(kernels::sum_rows(Values::of(grad).slice(), outputs), [outputs])
    }

    fn attention_forward(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        layout: &Layout,
        options: AttentionOptions,
    ) -> (FlexTensor, FlexTensor) {
        let shape = q.shape();
        let sizes = sizes(&shape, &k.shape(), options);
        let (q, k, v) = (Values::of(q), Values::of(k), Values::of(v));
        let Forward { out, lse } = measured(Part::Attention, 2 * products(layout, &sizes), || {
            kernels::attention::forward(q.slice(), k.slice(), v.slice(), layout, &sizes)
        });
        let of_rows = [shape[0], shape[1]];
        (tensor(out, shape), tensor(lse, of_rows))
    }

    fn attention_backward(
        [q, k, v]: [FlexTensor; 3],
        (out, lse): (FlexTensor, FlexTensor),
        grad: FlexTensor,
        layout: &Layout,
        options: AttentionOptions,
    ) -> [FlexTensor; 3] {
        let (of_q, of_k) = (q.shape(), k.shape());
        let sizes = sizes(&of_q, &of_k, options);
        let [q, k, v, out, lse, grad] = [q, k, v, out, lse, grad].map(Values::of);
        let result = (out.slice(), lse.slice());
        let inputs = [q.slice(), k.slice(), v.slice()];
        let gradients = measured(Part::Attention, 5 * products(layout, &sizes), || {
            kernels::attention::backward(inputs, result, grad.slice(), layout, &sizes)
        });
        [tensor(gradients.q, of_q), tensor(gradients.k, of_k.clone()), tensor(gradients.v, of_k)]
    }

    fn token_stats_forward(
        hidden: FlexTensor,
        weight: FlexTensor,
        targets: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor, [FlexTensor; 2]) {
        let (inputs, rows, integers) = (hidden.shape()[1], targets.shape(), targets.dtype());
        let (hidden, weight) = (Values::of(hidden), Values::of(weight));
        let (stats, kept) =
            kernels::token_stats_kept(hidden.slice(), weight.slice(), &words(targets), inputs);
        let (logp, entropy, top1, lse) = of_rows(stats, &rows, integers);
        let len = kept.len();
        (logp, entropy, top1, [lse, tensor(kept, [len])])
    }

    fn token_stats_backward(
        [hidden, weight]: [FlexTensor; 2],
        targets: FlexTensor,
        [lse, kept]: [FlexTensor; 2],
        grad: FlexTensor,
        with_weight: bool,
    ) -> (FlexTensor, Option<FlexTensor>) {
        let (of_hidden, of_weight) = (hidden.shape(), weight.shape());
        let [hidden, weight, lse, kept, grad] = [hidden, weight, lse, kept, grad].map(Values::of);
        let (d_hidden, d_weight) = kernels::token_stats_backward(
            hidden.slice(),
            weight.slice(),
            &words(targets),
            of_hidden[1],
            lse.slice(),
            grad.slice(),
            None,
            kept.slice(),
            with_weight,
        );
        (tensor(d_hidden, of_hidden), d_weight.map(|values| tensor(values, of_weight)))
    }
}
