//! Attention over random layouts against the sums written out in double precision.

#![expect(clippy::unwrap_used, reason = "tests")]

use kernels::{Attention, Layout, Node, attention};
use proptest::prelude::*;

/// Everything one case needs.
#[derive(Debug, Clone)]
struct Case {
    layout: Layout,
    attention: Attention,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    grad: Vec<f32>,
}

/// Numbers in −1.5..1.5 (a linear congruential generator is random enough here).
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / 16_777_216.0 - 0.5) * 3.0
    };
    (0..count).map(|_| next()).collect()
}

fn layouts() -> impl Strategy<Value = Layout> {
    let lengths = || prop::collection::vec(1_usize..70, 1..5);
    let nodes = prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 1_usize..50), 1..7);
    let forest = nodes.prop_map(|nodes| {
        let node = |(index, (parent, root, len)): (usize, &(prop::sample::Index, bool, usize))| Node {
            parent: (index > 0 && !root).then(|| parent.index(index)),
            len: *len,
        };
        Layout::forest(&nodes.iter().enumerate().map(node).collect::<Vec<_>>()).unwrap()
    });
    prop_oneof![
        lengths().prop_map(|lengths| Layout::packed(&lengths).unwrap()),
        (1_usize..450, lengths()).prop_map(|(prefix, lengths)| Layout::shared(prefix, &lengths).unwrap()),
        (0_usize..800, 1_usize..40).prop_map(|(past, new)| Layout::cached(past, new).unwrap()),
        forest,
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1_usize..4, 1_usize..4, prop::sample::select(vec![4_usize, 8, 16, 33]));
    let window = prop::option::of(1_usize..200);
    (layouts(), sizes, window, any::<u64>()).prop_map(|(layout, (kv_heads, group, size), window, seed)| {
        let heads = kv_heads * group;
        let (queries, keys) = (layout.queries() * heads * size, layout.keys() * kv_heads * size);
        Case {
            attention: Attention { heads, kv_heads, size, scale: (size as f32).sqrt().recip(), window },
            q: numbers(seed, queries),
            k: numbers(seed ^ 0xabc, keys),
            v: numbers(seed ^ 0xdef, keys),
            grad: numbers(seed ^ 0x123, queries),
            layout,
        }
    })
}

/// What attention and its gradients come to in double precision: out, dq, dk, dv.
fn reference(case: &Case) -> [Vec<f64>; 4] {
    let Attention { heads, kv_heads, size, scale, window } = case.attention;
    let wide = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let (q, k, v, grad) = (wide(&case.q), wide(&case.k), wide(&case.v), wide(&case.grad));
    let zeros = |x: &[f64]| vec![0.0; x.len()];
    let [mut out, mut dq, mut dk, mut dv] = [zeros(&q), zeros(&q), zeros(&k), zeros(&v)];
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for span in case.layout.spans() {
        let keys: Vec<usize> = span.keys.iter().flat_map(Clone::clone).collect();
        for (row, position) in span.queries.clone().zip(span.first_position()..) {
            let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
            for head in 0..heads {
                let at = (row * heads + head) * size;
                let place = |key: usize| (keys[key] * kv_heads + head * kv_heads / heads) * size;
                let scores: Vec<f64> = (first..=position)
                    .map(|key| dot(&q[at..][..size], &k[place(key)..][..size]) * f64::from(scale))
                    .collect();
                let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
                let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp() / total).collect();
                for (key, weight) in (first..).zip(&weights) {
                    for i in 0..size {
                        out[at + i] += weight * v[place(key) + i];
                    }
                }
                let delta = dot(&grad[at..][..size], &out[at..][..size]);
                for (key, weight) in (first..).zip(&weights) {
                    let key = place(key);
                    let change = weight * (dot(&grad[at..][..size], &v[key..][..size]) - delta);
                    for i in 0..size {
                        dv[key + i] += weight * grad[at + i];
                        dq[at + i] += change * k[key + i] * f64::from(scale);
                        dk[key + i] += change * q[at + i] * f64::from(scale);
                    }
                }
            }
        }
    }
    [out, dq, dk, dv]
}

fn close(what: &str, got: &[f32], expected: &[f64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1.0_f64, |scale, v| scale.max(v.abs()));
    for (index, (&a, &b)) in got.iter().zip(expected).enumerate() {
        prop_assert!((f64::from(a) - b).abs() <= 1e-5 * scale, "{what} {index}: {a} instead of {b}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn results_and_gradients_are_those_of_the_sums(case in cases()) {
        let Case { layout, attention, q, k, v, grad } = &case;
        let [out, dq, dk, dv] = reference(&case);
        let result = attention::forward(q, k, v, layout, attention);
        close("out", &result.out, &out)?;
        let gradients = attention::backward([q, k, v], (&result.out, &result.lse), grad, layout, attention);
        close("dq", &gradients.q, &dq)?;
        close("dk", &gradients.k, &dk)?;
        close("dv", &gradients.v, &dv)?;
    }

    #[test]
    fn a_sequence_comes_out_the_same_to_the_bit_in_any_company(
        (before, len, after) in (0_usize..300, 1_usize..500, 0_usize..100),
        window in prop::option::of(1_usize..300),
        seed in any::<u64>(),
    ) {
        let attention = Attention { heads: 4, kv_heads: 2, size: 16, scale: 0.25, window };
        let total = before + len + after;
        let (q, k, v) = (numbers(seed, total * 64), numbers(seed ^ 1, total * 32), numbers(seed ^ 2, total * 32));
        let lengths: Vec<usize> = [before, len, after].into_iter().filter(|&len| len > 0).collect();
        let packed = attention::forward(&q, &k, &v, &Layout::packed(&lengths).unwrap(), &attention);
        let part = |x: &[f32], width: usize| x[before * width..(before + len) * width].to_vec();
        let alone = Layout::packed(&[len]).unwrap();
        let alone = attention::forward(&part(&q, 64), &part(&k, 32), &part(&v, 32), &alone, &attention);
        prop_assert_eq!(part(&packed.out, 64), alone.out);
        prop_assert_eq!(part(&packed.lse, 4), alone.lse);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let layout = Layout::shared(300, &[40, 200, 7]).unwrap();
    let attention = Attention { heads: 6, kv_heads: 2, size: 32, scale: 0.2, window: None };
    let keys = layout.keys();
    let (q, k, v) = (numbers(1, keys * 192), numbers(2, keys * 64), numbers(3, keys * 64));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let result = attention::forward(&q, &k, &v, &layout, &attention);
            let gradients =
                attention::backward([&q, &k, &v], (&result.out, &result.lse), &q, &layout, &attention);
            (result.out, gradients.q, gradients.k, gradients.v)
        })
    };
    assert!(run(1) == run(4));
}
