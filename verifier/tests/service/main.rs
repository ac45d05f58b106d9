//! The service over a back end that is made up: every endpoint through the whole stack of layers, and the pipeline
//! with models that are slow, stuck, wrong or gone.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod compatible;
mod mock;
mod models;
mod openapi;
mod pipeline;
mod score;
mod start;
mod support;
