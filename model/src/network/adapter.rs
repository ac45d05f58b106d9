//! Low-rank adapters (LoRA, arXiv 2106.09685): what is trained in place of a projection's matrix.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor, TensorData},
};
use rayon::prelude::*;

use crate::{ops, weights::mixed};

/// Elements of a mask that are drawn together.
const CHUNK: usize = 1 << 14;

/// Drops elements of the adapters' inputs while a round is on. The same round drops the same elements, so a pass can be
/// computed twice; adapters of one model share the round.
#[derive(Debug, Clone)]
pub(crate) struct Dropout {
    /// Share of the elements that are dropped.
    pub(crate) rate: f64,
    /// 0 outside training.
    pub(crate) round: Arc<AtomicU64>,
    /// Tells the adapters of a model apart.
    pub(crate) stream: u64,
}

impl Dropout {
    /// Elements that stay are enlarged, so that the mean stays.
    fn mask(&self, round: u64, dims: [usize; 2], device: &Device) -> Tensor<2> {
        let seed = mixed(round ^ mixed(self.stream));
        let threshold = (self.rate * u64::MAX as f64) as u64;
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        let mut values = vec![0.0_f32; dims[0] * dims[1]];
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            for (index, value) in values.iter_mut().enumerate() {
                if mixed(seed.wrapping_add((chunk * CHUNK + index) as u64)) >= threshold {
                    *value = kept;
                }
            }
        });
        Tensor::from_data(TensorData::new(values, dims), device)
    }

    fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        let round = self.round.load(Ordering::Relaxed);
        if round == 0 || self.rate == 0.0 {
            return x;
        }
        let mask = self.mask(round, x.dims(), &x.device()).cast(x.dtype());
        x * mask
    }
}

/// Adds `scale · x · aᵀ · bᵀ` to a projection.
#[derive(Module, Debug)]
pub struct Adapter {
    /// `[rank, in]`
    pub a: Param<Tensor<2>>,
    /// `[out, rank]`
    pub b: Param<Tensor<2>>,
    #[module(skip)]
    pub(crate) scale: f64,
    #[module(skip)]
    pub(crate) dropout: Dropout,
}

impl Adapter {
    /// x `[T, in]` → what is added, `[T, out]`.
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let dtype = x.dtype();
        let low = ops::linear(self.dropout.apply(x), self.a.val().cast(dtype), None);
        ops::linear(low, self.b.val().cast(dtype), None) * self.scale
    }

    /// The matrix that the adapter adds, `[out, in]`.
    pub(crate) fn matrix(&self) -> Tensor<2> {
        self.b.val().matmul(self.a.val()) * self.scale
    }
}
