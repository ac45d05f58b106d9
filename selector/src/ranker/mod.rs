//! The learned listwise ranker behind the `hybrid` policy.

mod calibrate;
mod dataset;
mod features;
mod fit;
mod listwise;
mod matrix;
mod model;
mod optimise;

pub use calibrate::{Calibrator, Input, Logistic};
pub(crate) use features::features;
pub(crate) use fit::Data;
pub use fit::{FitError, FitOptions, fit};
pub use model::{Feature, ModelError, RankerModel, Training};
