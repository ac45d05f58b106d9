//! What is wrong with a configuration.

use std::{fmt, io, path::PathBuf};

use serde::Serialize;

/// A field that cannot stay as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Its dotted name, such as `training.learning_rate`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl FieldProblem {
    /// A field and what is wrong with it.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// Notes a number that is not in the range described by `expected`, unless `holds`.
    pub(super) fn unless(
        holds: bool,
        field: &str,
        value: impl fmt::Display,
        expected: &str,
        problems: &mut Vec<Self>,
    ) {
        if !holds {
            problems.push(Self::new(field, format!("is {value}, but must be {expected}")));
        }
    }
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the run's configuration {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not TOML.
    #[error("{name}:{line}: not valid TOML: {message}")]
    Syntax {
        /// What was read.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What was expected.
        message: String,
    },
    /// An assignment on the command line has no `=`, or no name.
    #[error("`{0}` is not of the form key=value, such as training.learning_rate=1e-6")]
    Set(String),
    /// Fields that cannot stay as they are.
    #[error("{name}: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Fields {
        /// What was read.
        name: String,
        /// All of them.
        problems: Vec<FieldProblem>,
    },
}

impl ConfigError {
    /// The fields at fault.
    pub fn fields(&self) -> &[FieldProblem] {
        match self {
            Self::Fields { problems, .. } => problems,
            _ => &[],
        }
    }
}
