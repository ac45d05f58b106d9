//! The fused operations against the plain ones: results and gradients, over random sizes and layouts.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use kernels::{Layout, Node};
use model::ops::{self, AttentionOptions, plain};
use proptest::prelude::*;

fn device() -> Device {
    Device::flex().autodiff()
}

fn random<const N: usize>(shape: [usize; N]) -> Tensor<N> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device()).require_grad()
}

fn values<const N: usize>(x: &Tensor<N>) -> Vec<f32> {
    x.clone().into_data().try_to_vec().unwrap()
}

/// Fails if elements differ by more than 10⁻⁵ of the largest.
#[track_caller]
fn close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0_f32, |scale, value| scale.max(value.abs()));
    for (index, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-5 * scale, "{what} {index}: {a} instead of {b}");
    }
}

/// Results of both, and the gradients that a random weighting of the results gives every input.
#[track_caller]
fn same<const N: usize>(
    fused: &Tensor<N>,
    plain: &Tensor<N>,
    first: &[&Tensor<2>],
    second: &[&Tensor<3>],
    third: &[&Tensor<1>],
) {
    close("result", &values(fused), &values(plain));
    let weights = Tensor::random(fused.dims(), Distribution::Normal(0.0, 1.0), &device());
    let fused = (fused.clone() * weights.clone()).sum().backward();
    let plain = (plain.clone() * weights).sum().backward();
    for (index, x) in first.iter().enumerate() {
        let name = format!("gradient of matrix {index}");
        close(&name, &values(&x.grad(&fused).unwrap()), &values(&x.grad(&plain).unwrap()));
    }
    for (index, x) in second.iter().enumerate() {
        let name = format!("gradient of heads {index}");
        close(&name, &values(&x.grad(&fused).unwrap()), &values(&x.grad(&plain).unwrap()));
    }
    for (index, x) in third.iter().enumerate() {
        let name = format!("gradient of vector {index}");
        close(&name, &values(&x.grad(&fused).unwrap()), &values(&x.grad(&plain).unwrap()));
    }
}

fn layouts() -> impl Strategy<Value = Layout> {
    let nodes = prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 1_usize..12), 1..6);
    prop_oneof![
        nodes.prop_map(|nodes| {
            let node = |(index, (parent, root, len)): (usize, &(prop::sample::Index, bool, usize))| Node {
                parent: (index > 0 && !root).then(|| parent.index(index)),
                len: *len,
            };
            Layout::forest(&nodes.iter().enumerate().map(node).collect::<Vec<_>>()).unwrap()
        }),
        (0_usize..40, 1_usize..6).prop_map(|(past, new)| Layout::cached(past, new).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn norms(rows in 1_usize..40, width in 1_usize..70) {
        let (x, weight) = (random([rows, width]), random([width]));
        let fused = ops::rms_norm(x.clone(), weight.clone(), 1e-6);
        let plain = plain::rms_norm(x.clone(), weight.clone(), 1e-6);
        same(&fused, &plain, &[&x], &[], &[&weight]);
        let x = random([rows, 3, width]);
        let fused = ops::rms_norm(x.clone(), weight.clone(), 1e-6);
        let plain = plain::rms_norm(x.clone(), weight.clone(), 1e-6);
        same(&fused, &plain, &[], &[&x], &[&weight]);
    }

    #[test]
    fn rotations(tokens in 1_usize..30, heads in 1_usize..5, half in 1_usize..20) {
        let x = random([tokens, heads, 2 * half]);
        let angles = random([tokens, half]).detach();
        let (cos, sin) = (angles.clone().cos(), angles.sin());
        let fused = ops::rope(x.clone(), cos.clone(), sin.clone());
        same(&fused, &plain::rope(x.clone(), cos, sin), &[], &[&x], &[]);
    }

    #[test]
    fn gates(rows in 1_usize..40, width in 1_usize..70) {
        let (gate, up) = (random([rows, width]), random([rows, width]));
        let fused = ops::swiglu(gate.clone(), up.clone());
        same(&fused, &plain::swiglu(gate.clone(), up.clone()), &[&gate, &up], &[], &[]);
    }

    #[test]
    fn projections(rows in 1_usize..40, inputs in 1_usize..50, outputs in 1_usize..50) {
        let (x, weight, bias) = (random([rows, inputs]), random([outputs, inputs]), random([outputs]));
        for bias in [None, Some(bias)] {
            let fused = ops::linear(x.clone(), weight.clone(), bias.clone());
            let plain = plain::linear(x.clone(), weight.clone(), bias.clone());
            same(&fused, &plain, &[&x, &weight], &[], &bias.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn attention_over_layouts(
        layout in layouts(),
        (kv_heads, group, half) in (1_usize..3, 1_usize..4, 1_usize..9),
        window in prop::option::of(1_usize..20),
    ) {
        let layout = Arc::new(layout);
        let (size, heads) = (2 * half, kv_heads * group);
        let q = random([layout.queries(), heads, size]);
        let (k, v) = (random([layout.keys(), kv_heads, size]), random([layout.keys(), kv_heads, size]));
        let options = AttentionOptions { scale: 1.0 / (size as f32).sqrt(), window };
        let fused = ops::attention(&q, &k, &v, &layout, options);
        let plain = plain::attention(&q, &k, &v, &layout, options);
        same(&fused, &plain, &[], &[&q, &k, &v], &[]);
    }

    #[test]
    fn token_statistics(rows in 1_usize..20, inputs in 1_usize..20, words in 1_usize..60, first in 0_usize..60) {
        let (hidden, weight) = (random([rows, inputs]), random([words, inputs]));
        let targets: Vec<i32> = (0..rows).map(|row| ((first + row * 7) % words) as i32).collect();
        let targets: Tensor<1, Int> = Tensor::from_data(TensorData::new(targets, [rows]), &device());
        let fused = ops::token_stats(hidden.clone(), weight.clone(), targets.clone());
        let plain = plain::token_stats(hidden.clone(), weight.clone(), targets);
        close("entropy", &values(&fused.entropy), &values(&plain.entropy));
        let words = |top1: Tensor<1, Int>| top1.into_data().iter::<i64>().collect::<Vec<_>>();
        prop_assert_eq!(words(fused.top1), words(plain.top1));
        same(&fused.logp, &plain.logp, &[&hidden, &weight], &[], &[]);
    }
}

#[test]
fn views_out_of_order_are_taken_as_they_read() {
    let (x, weight) = (random([6, 5]), random([4, 6]));
    let fused = ops::linear(x.clone().transpose(), weight.clone(), None);
    same(&fused, &plain::linear(x.clone().transpose(), weight.clone(), None), &[&x, &weight], &[], &[]);
    let part = |x: &Tensor<2>| x.clone().narrow(0, 2, 3);
    let fused = ops::rms_norm(part(&x), random([5]).detach().ones_like(), 1e-6);
    same(&fused, &plain::rms_norm(part(&x), random([5]).detach().ones_like(), 1e-6), &[&x], &[], &[]);
}

#[test]
fn an_input_without_gradient_gets_none() {
    let hidden = random([3, 4]);
    let weight = Tensor::<2>::random([7, 4], Distribution::Normal(0.0, 1.0), &device());
    let targets: Tensor<1, Int> = Tensor::from_data([1, 2, 3], &device());
    let gradients = ops::token_stats(hidden.clone(), weight.clone(), targets).logp.sum().backward();
    assert!(hidden.grad(&gradients).is_some() && weight.grad(&gradients).is_none());
}
