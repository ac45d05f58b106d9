//! What the HTTP edge of every EntroPO service shares: configuration, problem+json errors, authentication, limits,
//! idempotency, telemetry, health and shutdown; and what calls to other services share. Nothing here knows what a
//! service does.
//!
//! A service builds an [`utoipa_axum::router::OpenApiRouter`], hands it to [`launch::Prepared`], which puts [`stack`]
//! around it and answers requests by [`serve`].

pub mod auth;
pub mod body;
pub mod config;
pub mod docs;
pub mod extract;
pub mod guard;
pub mod health;
pub mod idempotency;
pub mod intake;
pub mod launch;
pub mod memory;
pub mod metrics;
pub mod observe;
pub mod outgoing;
pub mod problem;
pub mod program;
mod rate;
mod seats;
pub mod serve;
pub mod stack;
pub mod stored;
mod strict;
pub mod telemetry;
pub mod trace;
mod wire;
mod work;

pub use config::{ByteSize, ConfigArgs, Secret, Span};
pub use extract::{Json, Path, Query};
pub use problem::{Kind, Problem, ProblemResponses};
pub use program::ProgramArgs;
pub use serve::serve;
pub use stack::{Edge, stack};
