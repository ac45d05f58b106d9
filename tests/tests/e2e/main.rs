//! The real program, from its command line and over HTTP.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod admin;
mod adversarial;
mod collector;
mod data;
mod demo;
mod errors;
mod logs;
mod metrics;
mod pool;
mod scoring;
mod select;
mod service;
mod shared_data;
mod support;
mod tenants;
mod traces;
mod training;
mod verifier;
