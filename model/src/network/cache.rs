//! Keys and values of the tokens that were already read.

use burn::tensor::{Tensor, s};

/// Keys and values of one sequence, for reading further tokens without reading the earlier ones again.
///
/// A clone is cheap and independent of the original: sampling several continuations of one prompt starts from clones.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    layers: Vec<Option<Buffers>>,
    len: usize,
}

/// Rows `[capacity, K, D]`, of which the first are in use.
#[derive(Debug, Clone)]
struct Buffers {
    keys: Tensor<3>,
    values: Tensor<3>,
}

/// Rows of the smallest buffer.
const SMALLEST: usize = 64;

impl KvCache {
    /// An empty cache for a model of so many layers.
    pub(crate) fn with_layers(layers: usize) -> Self {
        Self { layers: vec![None; layers], len: 0 }
    }

    /// Number of tokens in the cache.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all tokens but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(crate) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Adds rows to a layer and returns all of its rows; [`Self::advance`] follows when every layer has them.
    pub(crate) fn append(&mut self, layer: usize, k: Tensor<3>, v: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let (len, end) = (self.len, self.len + k.dims()[0]);
        let buffers = match self.layers[layer].take() {
            Some(buffers) if buffers.keys.dims()[0] >= end => buffers,
            old => {
                let capacity = end.next_power_of_two().max(SMALLEST);
                let grow = |old: Option<Tensor<3>>, new: &Tensor<3>| {
                    let [_, heads, size] = new.dims();
                    let buffer = Tensor::zeros([capacity, heads, size], (&new.device(), new.dtype()));
                    match old {
                        Some(old) if len > 0 => buffer.slice_assign(s![0..len], old.narrow(0, 0, len)),
                        _ => buffer,
                    }
                };
                let (keys, values) = old.map_or((None, None), |old| (Some(old.keys), Some(old.values)));
                Buffers { keys: grow(keys, &k), values: grow(values, &v) }
            }
        };
        // The buffers were taken out of the cache, so that they have one owner and are written in place.
        let keys = buffers.keys.slice_assign(s![len..end], k);
        let values = buffers.values.slice_assign(s![len..end], v);
        let rows = (keys.clone().narrow(0, 0, end), values.clone().narrow(0, 0, end));
        self.layers[layer] = Some(Buffers { keys, values });
        rows
    }

    pub(crate) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }
}
