//! Every endpoint, through the whole stack of layers, on a database in memory.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod candidates;
mod openapi;
mod preferences;
mod selections;
mod service;
mod support;
mod verifier;
