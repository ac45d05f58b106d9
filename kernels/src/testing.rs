//! What the unit tests share: random numbers, comparisons, numeric gradients.

use rand_xoshiro::{
    SplitMix64,
    rand_core::{RngCore as _, SeedableRng as _},
};

/// Numbers in −2..2 from a seed (SplitMix64).
pub(crate) fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut random = SplitMix64::seed_from_u64(seed);
    (0..count).map(|_| (random.next_u64() >> 40) as f32 / 16_777_216.0 * 4.0 - 2.0).collect()
}

/// Fails if elements differ by more than `tolerance`, absolutely or relative to the largest.
#[track_caller]
pub(crate) fn assert_close(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1.0_f32, |scale, v| scale.max(v.abs()));
    for (index, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "element {index}: {a} instead of {b}");
    }
}

/// `Σ value · weight`: makes one number of a result, so that the weights are the gradient of the result.
pub(crate) fn weighted(values: &[f64], weights: &[f32]) -> f64 {
    values.iter().zip(weights).map(|(value, &weight)| value * f64::from(weight)).sum()
}

/// The gradient of `value` at x by central differences.
pub(crate) fn numeric_gradient(x: &[f32], value: impl Fn(&[f32]) -> f64) -> Vec<f32> {
    let step = 1.0 / 256.0;
    let mut x = x.to_vec();
    let at = |x: &mut Vec<f32>, index: usize, moved: f32| {
        let old = x[index];
        x[index] = moved;
        let result = value(x);
        x[index] = old;
        result
    };
    (0..x.len())
        .map(|index| {
            let old = x[index];
            let (up, down) = (old + step, old - step);
            let rise = at(&mut x, index, up) - at(&mut x, index, down);
            (rise / f64::from(up - down)) as f32
        })
        .collect()
}
