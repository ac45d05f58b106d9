//! Fetching what the next task will pack while this one computes.

use super::{
    mat::Mat,
    tile::{Level, prefetch},
};

/// Elements in a line of the cache.
const LINE: usize = 16;

/// Lines that are asked for at once: more would wait for one another.
const LINES: usize = 64;

/// The lines of a matrix, a few at a time.
#[derive(Debug)]
pub(super) struct Ahead<'a> {
    data: &'a [f32],
    /// Elements between the beginnings of rows (or columns, if these lie together).
    step: usize,
    /// Elements of a row.
    width: usize,
    rows: usize,
    /// Calls that do nothing yet: what is fetched early may be gone when it is needed.
    idle: usize,
    row: usize,
    at: usize,
}

impl<'a> Ahead<'a> {
    /// Fetches the matrix in so many calls of [`Ahead::fetch`].
    pub(super) fn new(b: Option<Mat<'a>>, calls: usize) -> Self {
        let Some(b) = b else {
            return Self { data: &[], step: 0, width: 0, rows: 0, idle: 0, row: 0, at: 0 };
        };
        let (rows, width, step) = if b.column_step == 1 {
            (b.rows, b.columns, b.row_step)
        } else {
            (b.columns, b.rows, b.column_step)
        };
        let idle = calls.saturating_sub((rows * width.div_ceil(LINE)).div_ceil(LINES));
        Self { data: b.data, step, width, rows, idle, row: 0, at: 0 }
    }

    /// Asks for the next lines.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a few instructions between tiles")]
    pub(super) fn fetch(&mut self) {
        if self.idle > 0 {
            self.idle -= 1;
            return;
        }
        for _ in 0..LINES {
            if self.row == self.rows {
                return;
            }
            prefetch(&self.data[self.row * self.step + self.at], Level::Second);
            self.at += LINE;
            if self.at >= self.width {
                self.at = 0;
                self.row += 1;
            }
        }
    }
}
