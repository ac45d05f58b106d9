//! Scores trajectories with a learned verifier.

pub mod backend;
pub mod calibration;
pub mod http;
pub mod input;
pub mod linear;
pub mod models;
pub mod native;
pub mod openai;
pub mod pipeline;
pub mod service;

pub use backend::{
    Backend, BackendError, Condensed, Example, Layout, ModelInfo, Payload, PrepareError, PrepareOptions,
    Prepared, Probability, RawScore, TokenizeInput, UnknownLayout,
};
pub use service::Service;
