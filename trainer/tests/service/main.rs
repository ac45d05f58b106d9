//! The trainer service over real sockets, with an engine that trains nothing and misbehaves when told to.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod artifacts;
mod crash;
mod events;
mod fake;
mod openapi;
mod promote;
mod runs;
mod support;
