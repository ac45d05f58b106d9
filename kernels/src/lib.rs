//! Fused kernels of a decoder-only language model, over plain slices of `f32`.
//!
//! Nothing here knows tensors or back ends: the crate `model` wires these functions into Burn. All matrices are
//! row-major and contiguous.

pub mod layout;
pub mod mapped;

pub use layout::{Layout, LayoutError, Node, Span};
