//! The learned listwise ranker behind the `hybrid` policy.

mod calibrate;
mod dataset;
mod evidence;
mod features;
mod fit;
mod listwise;
mod model;
mod sketch;

pub use calibrate::{Calibrator, Input, Logistic};
pub(crate) use features::Columns;
pub(crate) use fit::Data;
pub use fit::{FitError, FitOptions, fit};
pub use model::{ModelError, RankerModel, Training, Weight};
pub use sketch::Sketch;
