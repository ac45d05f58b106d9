//! Decoder-only language models on Burn.
//!
//! This is the only crate that names a Burn backend; everything else works with what it hands out.

pub mod chat;
pub mod config;
pub mod device;
pub mod generate;
pub mod judge;
mod language_model;
pub mod network;
pub mod ops;
pub mod raw;
pub mod tokenizer;
pub mod training;
pub mod weights;

pub use burn::tensor::Device;
pub use chat::{ChatError, ChatRequest, Rendering};
pub use config::Config;
pub use kernels::{Layout, LayoutError, Node, Span, meter};
pub use language_model::{InputError, LanguageModel, LoadOptions, NewScores};
pub use network::KvCache;
pub use tokenizer::{Tokenizer, TokenizerError};
pub use weights::{Dtype, LoadError, SaveError, SaveOptions};
