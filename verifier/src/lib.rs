//! Scores trajectories with a learned verifier.

pub mod backend;
pub mod calibration;
pub mod input;
pub mod openai;

pub use backend::{
    Backend, BackendError, Condensed, Example, Layout, ModelInfo, Payload, PrepareError, PrepareOptions,
    Prepared, Probability, RawScore, TokenizeInput, UnknownLayout,
};
