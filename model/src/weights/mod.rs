//! Weights in safetensors files: found, mapped, checked against what the model needs, and written.

mod convert;
mod files;
mod folder;
mod random;
mod reader;
mod save;
mod tensor_file;

use std::path::PathBuf;

use burn::tensor::Tensor;

use crate::config::ConfigError;

pub use convert::Dtype;
pub use files::{Checkpoint, inspect};
pub(crate) use folder::{beside, replace, write_json};
pub(crate) use random::{Count, Random, mixed, stream};
pub(crate) use reader::{Check, Reader};
pub(crate) use save::save;
pub use save::{SaveError, SaveOptions};
pub use tensor_file::{TensorFile, TensorFileError};

/// Where the tensors of a model come from: one place names them, and checking, reading and random initialisation
/// follow it.
pub(crate) trait Source {
    /// The tensor of this name and shape.
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Tensor<D>;

    /// Whether there is a tensor of this name, for those that a model may go without.
    fn has(&self, name: &str) -> bool;
}

/// Why a model folder cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that cannot be read.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A folder without weights that can be read.
    #[error("{path}: {reason}")]
    NoWeights {
        /// The folder.
        path: PathBuf,
        /// What was looked for, and what is there.
        reason: String,
    },
    /// A configuration that is not valid or not supported.
    #[error("{path}: {error}")]
    Config {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        error: ConfigError,
    },
    /// A file that is not what it should be.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Tensors that do not fit the configuration.
    #[error("{path}: {problems}")]
    Tensors {
        /// The folder.
        path: PathBuf,
        /// All of them.
        problems: Problems,
    },
}

/// Every tensor that does not fit, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// Needed, and not there.
    pub missing: Vec<String>,
    /// There, and not needed.
    pub unexpected: Vec<String>,
    /// Of another shape: name, shape found, shape needed.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Of a type that is not read: name and type.
    pub types: Vec<(String, String)>,
}

impl Problems {
    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("missing: {}", self.missing.join(", ")));
        }
        if !self.unexpected.is_empty() {
            parts.push(format!("unexpected: {}", self.unexpected.join(", ")));
        }
        if !self.misshapen.is_empty() {
            let shown = |(name, found, wanted): &(String, Vec<usize>, Vec<usize>)| {
                format!("{name} is {found:?} and must be {wanted:?}")
            };
            parts.push(format!(
                "misshapen: {}",
                self.misshapen.iter().map(shown).collect::<Vec<_>>().join(", ")
            ));
        }
        if !self.types.is_empty() {
            let shown = |(name, dtype): &(String, String)| format!("{name} is {dtype}");
            let types: Vec<_> = self.types.iter().map(shown).collect();
            parts.push(format!("not F32, F16 or BF16: {}", types.join(", ")));
        }
        write!(out, "the tensors do not fit config.json; {}", parts.join("; "))
    }
}
