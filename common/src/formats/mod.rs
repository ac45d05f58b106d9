//! Readers of every format that coding agents, their harnesses and benchmarks write.
//!
//! [`read`] takes any reader (compressed or not), finds the format of each record by its content and hands
//! [`Record`]s to a callback, one at a time. JSON lines are read in bounded memory: at most one line is held.
//! Everything that tells whether a candidate resolves its issue leaves it here, for an
//! [`Outcome`](crate::Outcome).

mod context;
mod convert;
mod decompress;
mod detect;
mod driver;
mod exit;
mod ids;
mod inspect;
mod json;
mod labels;
mod lenient;
mod lines;
mod stream;

pub use context::{CandidateRecord, Limits, Problem, ReadContext, ReadError, ReadReport, Record};
pub use decompress::decompress;
pub use detect::detect;
pub use driver::{Sink, read, read_value};
pub use exit::exit_status;
pub use ids::instance_in_name;
pub use inspect::{Inspection, inspect};
pub use lenient::parse_json;
