//! The built-in verifier: a linear model on facts of the run, the patch and the words. It needs nothing
//! installed, scores a trajectory in milliseconds and says why.

mod backend;
pub mod features;
pub mod fit;
mod loss;
pub mod measure;
pub mod model;

pub use backend::Linear;
pub use fit::{FitError, FitOptions, Fitted, Sample, fit};
pub use measure::{PoolQuality, measure};
pub use model::{LinearModel, ModelError};
