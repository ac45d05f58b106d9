//! The learned listwise ranker behind the `hybrid` policy.

mod model;

pub use model::{Feature, ModelError, RankerModel};
