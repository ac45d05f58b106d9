//! Matrices that are read.

use std::ops::Range;

/// Element (i, j) lies at `i·row_step + j·column_step` of its slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_step: usize,
    pub(super) column_step: usize,
}

/// The place after the last element of such a matrix.
pub(super) fn end(rows: usize, columns: usize, row_step: usize, column_step: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_step + (columns - 1) * column_step + 1 }
}

impl<'a> Mat<'a> {
    /// Rows of `columns` elements each, which begin `step` elements apart.
    pub(crate) fn rows(data: &'a [f32], rows: usize, columns: usize, step: usize) -> Self {
        assert!(end(rows, columns, step, 1) <= data.len(), "a matrix lies within its slice");
        Self { data, rows, columns, row_step: step, column_step: 1 }
    }

    /// Rows that follow one another.
    pub(crate) fn dense(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::rows(data, rows, columns, columns)
    }

    /// The same elements with rows and columns exchanged.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
            ..self
        }
    }

    /// A part of the rows and columns.
    pub(super) fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        assert!(rows.end <= self.rows && columns.end <= self.columns, "a part lies within its matrix");
        if rows.is_empty() || columns.is_empty() {
            // No step leads anywhere.
            return Self { data: &[], rows: rows.len(), columns: columns.len(), row_step: 0, column_step: 1 };
        }
        let first = rows.start * self.row_step + columns.start * self.column_step;
        let len = end(rows.len(), columns.len(), self.row_step, self.column_step);
        Self { data: &self.data[first..first + len], rows: rows.len(), columns: columns.len(), ..self }
    }
}
