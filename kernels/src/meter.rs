//! What the kernels of this process have done so far: seconds and arithmetic, by kind.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A kind of kernel. No call of one is a part of another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Matrix products over all threads: projections, the head's and all their gradients.
    Products,
    /// Attention with its own products, forward and backward.
    Attention,
    /// Log-softmax in the head and its gradient, between the products.
    Head,
    /// RMSNorm, forward and backward.
    Norms,
    /// Rotary embedding and SwiGLU, forward and backward.
    Elementwise,
    /// Sums of gradients, their length, and the steps of optimisers.
    Optimizer,
}

/// Of the parts, in their order.
const NAMES: [&str; 6] = ["products", "attention", "head", "norms", "elementwise", "optimizer"];

static NANOSECONDS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];
static OPERATIONS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

/// What kernels of one kind have taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// The kind: `products`, `attention`, `head`, `norms`, `elementwise` or `optimizer`.
    pub name: &'static str,
    /// Time of the calls, from the calling thread's view: a call that all threads share counts once.
    pub time: Duration,
    /// Floating-point operations of the matrix products among them, a multiply-add as two.
    pub operations: u64,
}

/// What was done since the process started.
pub fn totals() -> Vec<Total> {
    let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
    let times = NANOSECONDS.iter().map(|value| Duration::from_nanos(load(value)));
    let parts = NAMES.iter().zip(times).zip(OPERATIONS.iter().map(load));
    parts.map(|((&name, time), operations)| Total { name, time, operations }).collect()
}

/// Does some work of a kind and counts it.
pub fn measured<T>(part: Part, operations: u64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    // u64 holds five centuries of nanoseconds.
    NANOSECONDS[part as usize].fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    OPERATIONS[part as usize].fetch_add(operations, Ordering::Relaxed);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_counted_under_its_name() {
        let norms = || totals().into_iter().find(|total| total.name == "norms").expect("a kind");
        let before = norms();
        let result = measured(Part::Norms, 1 << 40, || {
            std::thread::sleep(Duration::from_millis(2));
            5
        });
        let after = norms();
        assert_eq!(result, 5);
        assert!(after.operations >= before.operations + (1 << 40));
        assert!(after.time >= before.time + Duration::from_millis(2));
    }

    #[test]
    fn products_count_their_arithmetic() {
        let products = || totals()[Part::Products as usize].operations;
        let before = products();
        crate::linear(&[1.0; 6], &[1.0; 12], None, 3, 4);
        assert!(products() >= before + 2 * 2 * 3 * 4);
    }
}
