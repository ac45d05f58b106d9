//! Rows of training data from JSON lines, in the shapes that other trainers read.
//!
//! | shape | fields |
//! |---|---|
//! | preference | `prompt` (text or messages), `chosen`, `rejected`; or `chosen` and `rejected` as whole conversations |
//! | unpaired preference | `prompt`, `completion`, `label` (or `kto_tag`) |
//! | demonstration | `messages`; or `prompt`, `completion` |
//! | LLaMA-Factory, ShareGPT | `conversations` (`from`, `value`) with `system`, `tools`, and `chosen`, `rejected` or `kto_tag` |
//! | LLaMA-Factory, Alpaca | `instruction`, `input`, `output`, `system`, `history`, and `chosen`, `rejected` or `kto_tag` |
//!
//! `tools` may be a list or JSON text; `chat_template_kwargs`, `instance_id` and `margin` are read where they stand.
//! What a row holds beside these is left alone; what is there and malformed is refused with its line and field.

mod fields;
mod shapes;

use std::{fmt, io::BufRead};

use super::Row;

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
    /// The line, from 1.
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

/// What reading came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Rows handed out.
    pub rows: usize,
    /// Rows refused.
    pub refused: usize,
}

/// Reads rows, one JSON object a line; empty lines are passed over. Every row or error goes to `sink` in order.
///
/// # Errors
/// When reading fails; a row that is refused is not an error of the file.
pub fn read_rows(
    mut reader: impl BufRead,
    mut sink: impl FnMut(Result<Row, RowError>),
) -> std::io::Result<ReadReport> {
    let mut report = ReadReport::default();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        let text = bytes.trim_ascii();
        let text = if line == 1 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) } else { text };
        if text.is_empty() {
            continue;
        }
        let parsed = serde_json::from_slice(text)
            .map_err(|error| RowErrorKind::Json(error.to_string()))
            .and_then(|value| row(line, value));
        if parsed.is_ok() {
            report.rows += 1;
        } else {
            report.refused += 1;
        }
        sink(parsed.map_err(|kind| RowError { line, kind }));
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
