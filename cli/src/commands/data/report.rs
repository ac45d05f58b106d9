//! What became of the input of `entropo data build`.

use std::fmt::Write as _;

use serde::Serialize;
use trainer::data::{Dropped, RowKind};

/// Counts, and the rules they follow from.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// What was made.
    pub(super) kind: RowKind,
    /// Rows written.
    pub(super) rows: usize,
    /// Issues that have rows.
    pub(super) issues_with_rows: usize,
    /// Rows that were made from runs.
    pub(super) rows_of_runs: usize,
    /// Runs that were read.
    pub(super) runs: usize,
    /// Issues they are of.
    pub(super) issues: usize,
    /// Runs that are in a row.
    pub(super) runs_used: usize,
    /// Runs that are in none, by reason.
    pub(super) dropped: Dropped,
    /// Candidates of issues whose candidates all have one outcome, where a contrast was asked for.
    pub(super) without_contrast: usize,
    /// Rows that were read from files of rows.
    pub(super) rows_read: usize,
    /// Rows made from them.
    pub(super) rows_of_rows: usize,
    /// Of these the ones that do not hold what the kind needs.
    pub(super) rows_of_other_kinds: usize,
    /// Lines of files of rows that could not be read.
    pub(super) lines_refused: usize,
    /// The rules.
    pub(super) rules: serde_json::Value,
    /// Files of rows with the BLAKE3 of their content.
    pub(super) files_of_rows: Vec<(String, String)>,
    /// Where the rows are.
    pub(super) output: String,
    /// BLAKE3 of what was written, in hexadecimal.
    pub(super) hash: String,
}

impl Report {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |count: usize, what: &str| {
            let _ = writeln!(text, "{count:>9}  {what}");
        };
        if self.runs > 0 {
            line(self.runs, &format!("runs of {} issues read", self.issues));
            line(
                self.runs_used,
                &format!("runs used, in {} rows of {} issues", self.rows_of_runs, self.issues_with_rows),
            );
            for (reason, count) in self.dropped.reasons().into_iter().filter(|(_, count)| *count > 0) {
                line(count, &format!("runs dropped: {reason}"));
            }
            if self.without_contrast > 0 {
                line(self.without_contrast, "runs dropped: all runs of their issue have one outcome");
            }
        }
        if self.rows_read + self.lines_refused > 0 {
            line(self.rows_read, &format!("rows read, {} written", self.rows_of_rows));
            if self.rows_of_other_kinds > 0 {
                line(self.rows_of_other_kinds, "rows dropped: they do not hold what this kind needs");
            }
            if self.lines_refused > 0 {
                line(self.lines_refused, "lines refused");
            }
        }
        line(self.rows, &format!("rows written to {}", self.output));
        let _ = writeln!(text, "           content {}", self.hash);
        text
    }
}
