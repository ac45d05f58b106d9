//! Fused kernels of a decoder-only language model, forward and backward, over plain slices of `f32`.
//!
//! Nothing here knows tensors or back ends: the crate `model` wires these functions into Burn. All matrices are
//! row-major and contiguous, and sizes that do not fit one another are a programming error and panic. Work is shared
//! among the threads of rayon's pool in pieces that depend on the sizes alone, and no sum depends on who computed what:
//! results are the same for any number of threads.

pub mod attention;
mod elementwise;
mod head;
pub mod layout;
mod linear;
pub mod mapped;
pub mod memory;
pub mod meter;
mod norm;
pub mod optimizer;
mod product;
mod raw;
mod simd;
#[cfg(test)]
mod testing;

pub use attention::Attention;
pub use elementwise::{rope, rope_in_place, swiglu, swiglu_backward, swiglu_in_place};
pub use head::{TokenStats, token_stats, token_stats_backward, token_stats_kept};
pub use layout::{Layout, LayoutError, Node, Span};
pub use linear::{linear, linear_backward_input, linear_backward_weight, sum_rows};
pub use norm::{rms_norm, rms_norm_backward};

/// Elements that one thread works on at a time in the loops that do little with each: 64 KiB.
const CHUNK: usize = 16 * 1024;

/// The lengths of chunks of whole rows, about [`CHUNK`] elements each.
fn row_chunks(rows: usize, width: usize) -> Vec<usize> {
    let per = (CHUNK / width.max(1)).max(1);
    (0..rows).step_by(per).map(|start| per.min(rows - start) * width).collect()
}
