//! Decoder-only language models on Burn.
//!
//! This is the only crate that names a Burn backend; everything else works with what it hands out.

pub mod ops;

pub use kernels::{Layout, LayoutError, Node, Span};
