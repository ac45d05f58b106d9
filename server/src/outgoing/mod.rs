//! Calling another service over HTTP: a connection pool, bounded concurrency, time limits, retries within a budget,
//! a circuit breaker, and answers of bounded size.
//!
//! The address comes from the configuration only, never from a request, and redirects are not followed: nobody who can
//! send requests can make the service call somewhere else.

mod breaker;
mod call;
mod client;
mod retry;
mod target;

pub use breaker::{Attempt, Breaker, BreakerSettings, Circuit, Health, Leave, SharedBreaker};
pub use call::{CallError, Reply};
pub use client::Client;
pub use retry::{Budget, RetrySettings, is_transient, retry_after, wait};
pub use target::{Target, TargetError};
