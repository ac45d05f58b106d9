//! Weights drawn at random, the same ones for the same seed on every machine.

use burn::tensor::{Device, Tensor, TensorData};
use rand_xoshiro::{
    SplitMix64,
    rand_core::{RngCore as _, SeedableRng as _},
};

use super::Source;

/// Draws matrices from a normal distribution, sets norms to one and biases to zero, as `transformers` does.
#[derive(Debug)]
pub(crate) struct Random {
    pub(crate) seed: u64,
    /// Standard deviation of matrices.
    pub(crate) spread: f64,
    pub(crate) device: Device,
}

/// One output of SplitMix64 for a state: a number in which every bit depends on every bit of the state.
pub(crate) fn mixed(state: u64) -> u64 {
    SplitMix64::seed_from_u64(state).next_u64()
}

/// Uniform in (0, 1).
fn uniform(random: &mut SplitMix64) -> f64 {
    ((random.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// A stream of its own for every name (FNV-1a), so that a tensor does not depend on those before it.
pub(crate) fn stream(name: &str) -> u64 {
    name.bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

impl Random {
    /// Values of a uniform distribution over (−bound, bound).
    pub(crate) fn uniform(&self, name: &str, count: usize, bound: f64) -> Vec<f32> {
        let mut random = SplitMix64::seed_from_u64(self.seed ^ stream(name));
        (0..count).map(|_| ((2.0 * uniform(&mut random) - 1.0) * bound) as f32).collect()
    }

    fn normal(&self, name: &str, count: usize) -> Vec<f32> {
        let mut random = SplitMix64::seed_from_u64(self.seed ^ stream(name));
        let mut values = Vec::with_capacity(count + 1);
        while values.len() < count {
            // Box–Muller
            let radius = (-2.0 * uniform(&mut random).ln()).sqrt();
            let angle = std::f64::consts::TAU * uniform(&mut random);
            values.push((self.spread * radius * angle.cos()) as f32);
            values.push((self.spread * radius * angle.sin()) as f32);
        }
        values.truncate(count);
        values
    }
}

impl Source for Random {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Tensor<D> {
        if D > 1 {
            let values = self.normal(name, shape.iter().product());
            return Tensor::from_data(TensorData::new(values, shape), &self.device);
        }
        let value = if name.ends_with("bias") { 0.0 } else { 1.0 };
        Tensor::full(shape, value, &self.device)
    }

    fn has(&self, _: &str) -> bool {
        false
    }
}

/// Counts parameters.
#[derive(Debug, Default)]
pub(crate) struct Count(pub(crate) usize);

impl Source for Count {
    fn tensor<const D: usize>(&mut self, _: &str, shape: [usize; D]) -> Tensor<D> {
        self.0 += shape.iter().product::<usize>();
        // Nobody computes with it.
        Tensor::zeros([1; D], &crate::device::cpu())
    }

    fn has(&self, _: &str) -> bool {
        false
    }
}
