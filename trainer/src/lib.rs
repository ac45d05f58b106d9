//! Trains policies and verifiers from preferences over whole, tool-using trajectories.

pub mod closed_form;
pub mod config;
pub mod data;
pub mod engine;
pub mod export;
pub mod http;
pub mod objectives;
pub mod run;
pub mod service;

pub use service::Service;
