//! Rows of training data from JSON lines or lists, in the shapes that other trainers read.
//!
//! | shape | fields |
//! |---|---|
//! | preference | `prompt` (text or messages), `chosen`, `rejected`; or `chosen` and `rejected` as whole conversations |
//! | unpaired preference | `prompt`, `completion`, `label` (or `kto_tag`) |
//! | demonstration | `messages`; or `prompt`, `completion` |
//! | candidates for a verifier | `issue`, `candidates` (native candidates, each with a `label`) |
//! | LLaMA-Factory, ShareGPT | `conversations` (`from`, `value`) with `system`, `tools`, and `chosen`, `rejected` or `kto_tag` |
//! | LLaMA-Factory, Alpaca | `instruction`, `input`, `output`, `system`, `history`, and `chosen`, `rejected` or `kto_tag` |
//!
//! `tools` may be a list or JSON text; `chat_template_kwargs`, `instance_id` and `margin` are read where they stand.
//! What a row holds beside these is left alone; what is there and malformed is refused with its line and field.

mod fields;
mod load;
mod parquet;
mod shapes;
mod table;

use std::fmt;

pub use load::{LoadRowsError, Loaded, load_rows, parse_rows};
pub(super) use shapes::row;

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowErrorKind {
    /// The line is no JSON object.
    #[error("not a JSON object: {0}")]
    Json(String),
    /// A field has the wrong type or value.
    #[error("`{field}`: {problem}")]
    Field {
        /// The field's path.
        field: String,
        /// What is wrong and what it should be.
        problem: String,
    },
    /// None of the shapes fits.
    #[error(
        "no known shape: expected `chosen` and `rejected`, or `completion` (with `label` for preferences), or `messages`, \
         or `conversations`, or `instruction` and `output`; found {0}"
    )]
    Shape(String),
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The line, from 1; in a file that is one list the place in it.
    pub line: usize,
    /// What is wrong.
    pub kind: RowErrorKind,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

impl std::error::Error for RowError {}

#[cfg(test)]
mod tests;
