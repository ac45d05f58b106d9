//! Cosines and sines of the rotation, computed once for every position.

use std::sync::RwLock;

use burn::tensor::{Device, Tensor, TensorData};

use crate::config::Config;

/// A table that grows with the longest context seen.
#[derive(Debug)]
pub(crate) struct Angles {
    /// Angle of a pair at position 1.
    frequencies: Vec<f32>,
    /// Factor of cos and sin.
    factor: f32,
    table: RwLock<Table>,
}

/// Row-major, a row of `D/2` a position.
#[derive(Debug, Default)]
struct Table {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    pub(crate) fn new(config: &Config) -> Self {
        let (frequencies, factor) = config.rope.frequencies(config.head_size);
        Self { frequencies, factor, table: RwLock::default() }
    }

    /// The rows of these positions: cos and sin, `[T, D/2]`.
    pub(crate) fn rows(&self, positions: &[usize], device: &Device) -> (Tensor<2>, Tensor<2>) {
        let pairs = self.frequencies.len();
        let longest = positions.iter().max().map_or(0, |last| last + 1);
        self.grow(longest);
        let table = self.table.read().expect("nothing panics while it is written");
        let rows = |values: &[f32]| {
            let mut rows = Vec::with_capacity(positions.len() * pairs);
            for position in positions {
                rows.extend_from_slice(&values[position * pairs..(position + 1) * pairs]);
            }
            Tensor::from_data(TensorData::new(rows, [positions.len(), pairs]), device)
        };
        (rows(&table.cos), rows(&table.sin))
    }

    fn grow(&self, positions: usize) {
        let pairs = self.frequencies.len();
        let wanted = positions * pairs;
        if self.table.read().expect("nothing panics while it is written").cos.len() >= wanted {
            return;
        }
        let mut table = self.table.write().expect("nothing panics while it is written");
        let Table { cos, sin } = &mut *table;
        for position in cos.len() / pairs..positions.next_power_of_two() {
            for frequency in &self.frequencies {
                // The product in single precision, as the models were trained.
                let angle = f64::from(position as f32 * frequency);
                cos.push(angle.cos() as f32 * self.factor);
                sin.push(angle.sin() as f32 * self.factor);
            }
        }
    }
}
