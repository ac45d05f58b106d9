//! Every operation in Burn's own terms: runs on any back end, and is the reference for the fused ones.

use std::ops::Range;

use burn::tensor::{
    Bool, Int, Tensor, TensorData,
    activation::{log_softmax, silu, softmax},
};
use kernels::{Layout, Span};

use super::{AttentionOptions, TokenStats};

pub fn rms_norm<const N: usize>(x: Tensor<N>, weight: Tensor<1>, eps: f64) -> Tensor<N> {
    let scale = (x.clone().square().mean_dim(N - 1) + eps).sqrt().recip();
    x * scale * weight.unsqueeze()
}

pub fn rope(x: Tensor<3>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<3> {
    let [_, _, size] = x.dims();
    let (cos, sin) = (cos.unsqueeze_dim::<3>(1), sin.unsqueeze_dim::<3>(1));
    let first = x.clone().narrow(2, 0, size / 2);
    let second = x.narrow(2, size / 2, size / 2);
    Tensor::cat(
        vec![first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin],
        2,
    )
}

pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    silu(gate) * up
}

pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let y = x.matmul(weight.transpose());
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

pub fn attention(
    q: &Tensor<3>,
    k: &Tensor<3>,
    v: &Tensor<3>,
    layout: &Layout,
    options: AttentionOptions,
) -> Tensor<3> {
    let spans = layout.spans().iter();
    let parts = spans.map(|span| span_attention(q, k, v, span, options)).collect();
    Tensor::cat(parts, 0)
}

fn span_attention(
    q: &Tensor<3>,
    k: &Tensor<3>,
    v: &Tensor<3>,
    span: &Span,
    options: AttentionOptions,
) -> Tensor<3> {
    let [_, heads, size] = q.dims();
    let [_, kv_heads, _] = k.dims();
    let (group, queries, context) = (heads / kv_heads, span.queries.len(), span.context());
    let rows = |x: &Tensor<3>| {
        let part = |range: &Range<usize>| x.clone().narrow(0, range.start, range.len());
        // [keys, K, D] → [K, 1, keys, D]
        let keys = Tensor::cat(span.keys.iter().map(part).collect(), 0);
        keys.swap_dims(0, 1).unsqueeze_dim::<4>(1)
    };
    // [queries, K·G, D] → [K, G, queries, D]
    let q = q.clone().narrow(0, span.queries.start, queries);
    let q = q.reshape([queries, kv_heads, group, size]).permute([1, 2, 0, 3]);
    let scores = (q * options.scale).matmul(rows(k).swap_dims(2, 3));
    let hidden = hidden_keys(span, options.window, &scores.device());
    let scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
    let mixed = softmax(scores, 3).matmul(rows(v));
    debug_assert_eq!(mixed.dims(), [kv_heads, group, queries, size], "context {context}");
    mixed.permute([2, 0, 1, 3]).reshape([queries, heads, size])
}

/// True where a query must not look, `[1, 1, queries, context]`.
fn hidden_keys(span: &Span, window: Option<usize>, device: &burn::tensor::Device) -> Tensor<4, Bool> {
    let (queries, context, first) = (span.queries.len(), span.context(), span.first_position());
    let hidden: Vec<bool> = (0..queries)
        .flat_map(|query| {
            let position = first + query;
            (0..context)
                .map(move |key| key > position || window.is_some_and(|window| position - key >= window))
        })
        .collect();
    Tensor::from_data(TensorData::new(hidden, [1, 1, queries, context]), device)
}

pub fn token_stats(hidden: Tensor<2>, weight: Tensor<2>, targets: Tensor<1, Int>) -> TokenStats {
    let logits = log_softmax(linear(hidden, weight, None), 1);
    let logp = logits.clone().gather(1, targets.unsqueeze_dim(1)).squeeze_dim(1);
    let logits = logits.detach();
    let top1 = logits.clone().argmax(1).squeeze_dim(1);
    let entropy = (logits.clone().exp() * logits).sum_dim(1).neg().squeeze_dim(1);
    TokenStats { logp, entropy, top1 }
}
