//! Picks the candidate that most likely resolves an issue.
//!
//! [`select`] is a pure function of a [`Pool`], its [`Evidence`] and a [`PolicyRequest`]: no clock, no files, no
//! randomness, so the same request always gets the same answer. Labels never reach it; `fit` and `eval` keep them
//! apart.

mod agreement;
pub mod eval;
mod evidence;
pub mod http;
mod policies;
mod policy;
mod pool;
pub mod ranker;
mod select;
mod test_evidence;
pub mod web;

pub use common::facts::{self, Facts};
pub use evidence::{Evidence, SelectError};
pub use policy::{Policy, PolicyInfo, PolicyRequest, UnknownPolicy};
pub use pool::{Pool, Prepared, PreparedPool};
pub use ranker::{FitError, FitOptions, ModelError, RankerModel, fit};
pub use select::{select, select_prepared};
pub use test_evidence::Touched;
