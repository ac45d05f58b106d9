//! Which rows belong to which step: a function of the seed and the step alone, so that a resumed run goes on with the
//! same rows.

use rand_xoshiro::{
    SplitMix64,
    rand_core::{RngCore as _, SeedableRng as _},
};

use crate::config::RowOrder;

/// How rows are dealt to steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) rows: usize,
    pub(crate) per_step: usize,
    pub(crate) kind: RowOrder,
    pub(crate) seed: u64,
}

impl Order {
    /// Steps of an epoch; the last one may have fewer rows.
    pub(crate) fn steps_of_epoch(&self) -> usize {
        self.rows.div_ceil(self.per_step).max(1)
    }

    /// The rows of an epoch, from 0, in their order (Fisher–Yates).
    fn epoch(&self, epoch: usize) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.rows).collect();
        if self.kind == RowOrder::Shuffled {
            let seed = self.seed ^ (epoch as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            let mut random = SplitMix64::seed_from_u64(seed);
            for last in (1..rows.len()).rev() {
                // The bias of the remainder is below 2⁻³² for any number of rows there can be.
                rows.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
            }
        }
        rows
    }

    /// The rows of a step, from 0.
    pub(crate) fn rows_of(&self, step: usize) -> Vec<usize> {
        let (epoch, step) = (step / self.steps_of_epoch(), step % self.steps_of_epoch());
        let rows = self.epoch(epoch);
        rows.into_iter().skip(step * self.per_step).take(self.per_step).collect()
    }

    /// Passes over the rows after so many steps.
    pub(crate) fn epochs(&self, steps: usize) -> f64 {
        let (epochs, rest) = (steps / self.steps_of_epoch(), steps % self.steps_of_epoch());
        epochs as f64 + (rest * self.per_step) as f64 / self.rows.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_every_row_once_and_epochs_differ() {
        let order = Order { rows: 10, per_step: 4, kind: RowOrder::Shuffled, seed: 3 };
        let epoch = |first: usize| -> Vec<usize> {
            (first..first + 3).flat_map(|step| order.rows_of(step)).collect()
        };
        let (one, two) = (epoch(0), epoch(3));
        for rows in [&one, &two] {
            let mut sorted = rows.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert!(one != two && one != (0..10).collect::<Vec<_>>());
        assert_ne!(Order { seed: 4, ..order }.rows_of(0), order.rows_of(0));
        assert_eq!(order.rows_of(2).len(), 2);
        assert_eq!(order.epochs(3), 1.0);
        assert!((order.epochs(4) - 1.4).abs() < 1e-12);
    }

    #[test]
    fn a_fixed_order_is_that_of_the_file() {
        let order = Order { rows: 5, per_step: 2, kind: RowOrder::Fixed, seed: 3 };
        assert_eq!([order.rows_of(0), order.rows_of(2), order.rows_of(3)], [vec![0, 1], vec![4], vec![0, 1]]);
    }
}
