//! The only module with `unsafe`: matrix products by the crate `gemm`, and vectors that are filled without being zeroed
//! first. What it offers to the other modules is safe.

#![expect(unsafe_code, reason = "gemm takes pointers, and fresh buffers of megabytes are not worth zeroing")]

use std::mem::MaybeUninit;

use gemm::Parallelism;
use rayon::prelude::*;

/// A matrix that is read: element (i, j) lies at `i·row_step + j·column_step` of its slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

/// The place after the last element of such a matrix.
fn end(rows: usize, columns: usize, row_step: usize, column_step: usize) -> usize {
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
}

/// Who shares the work of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread alone, for products inside a parallel loop.
    One,
    /// All of the pool.
    All,
}

/// # Safety
///
/// `out` must be valid for writes (and initialised, if `add`) at `i·step + j` for every row i and column j of the product.
unsafe fn product(out: *mut f32, step: usize, add: bool, a: Mat<'_>, b: Mat<'_>, threads: Threads) {
    assert_eq!(a.columns, b.rows, "inner sizes of a product agree");
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    // SAFETY: the constructors of Mat checked that every element lies within its slice, the caller vouches for `out`,
    // and a shared borrow cannot overlap what the caller may write.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out,
            1,
            step as isize,
            add,
            a.data.as_ptr(),
            a.column_step as isize,
            a.row_step as isize,
            b.data.as_ptr(),
            b.column_step as isize,
            b.row_step as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `out = a·b`, or `out += a·b`; the rows of `out` begin `step` elements apart.
pub(crate) fn multiply(out: &mut [f32], step: usize, add: bool, a: Mat<'_>, b: Mat<'_>, threads: Threads) {
    assert!(step >= b.columns && end(a.rows, b.columns, step, 1) <= out.len(), "the product has room");
    // SAFETY: just checked; the slice is initialised.
    unsafe { product(out.as_mut_ptr(), step, add, a, b, threads) }
}

/// `a·b` in a new vector.
pub(crate) fn multiplied(a: Mat<'_>, b: Mat<'_>, threads: Threads) -> Vec<f32> {
    let len = a.rows * b.columns;
    if a.columns == 0 {
        return vec![0.0; len];
    }
    let mut out = Vec::with_capacity(len);
    // SAFETY: the capacity holds rows × columns elements, and gemm without `add` writes each of them before it reads
    // any, so all are initialised when the length is set.
    unsafe {
        product(out.as_mut_ptr(), b.columns, false, a, b, threads);
        out.set_len(len);
    }
    out
}

/// A part of a new vector, filled from front to back.
#[derive(Debug)]
pub(crate) struct Filler<'a> {
    out: &'a mut [MaybeUninit<f32>],
    filled: usize,
}

impl Filler<'_> {
    /// Appends `value(0)`, …, `value(count − 1)`.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "must be compiled with the vector instructions of its caller")]
    pub(crate) fn fill(&mut self, count: usize, value: impl Fn(usize) -> f32) {
        let out = &mut self.out[self.filled..self.filled + count];
        for (index, slot) in out.iter_mut().enumerate() {
            slot.write(value(index));
        }
        self.filled += count;
    }

    /// Appends a copy.
    pub(crate) fn copy(&mut self, values: &[f32]) {
        self.fill(values.len(), |index| values[index]);
    }
}

/// A new vector made of consecutive parts of these lengths, which `fill` fills in parallel; it must fill each whole.
pub(crate) fn filled(lengths: &[usize], fill: impl Fn(usize, &mut Filler<'_>) + Sync) -> Vec<f32> {
    let len = lengths.iter().sum();
    let mut out: Vec<f32> = Vec::with_capacity(len);
    let mut rest = &mut out.spare_capacity_mut()[..len];
    let mut parts = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let (part, tail) = rest.split_at_mut(length);
        parts.push(part);
        rest = tail;
    }
    parts.into_par_iter().with_max_len(1).enumerate().for_each(|(index, part)| {
        let mut filler = Filler { out: part, filled: 0 };
        fill(index, &mut filler);
        assert_eq!(filler.filled, filler.out.len(), "every part is filled");
    });
    // SAFETY: the parts cover the first `len` elements, and each was asserted to be written whole.
    unsafe { out.set_len(len) };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_with_steps_and_transposition() {
        // [1 2; 3 4] in rows of 3, times the transpose of [1 0; 1 1].
        let a = [1.0, 2.0, 9.0, 3.0, 4.0];
        let b = [1.0, 0.0, 1.0, 1.0];
        let (a, b) = (Mat::rows(&a, 2, 2, 3), Mat::dense(&b, 2, 2).t());
        assert_eq!(multiplied(a, b, Threads::One), [1.0, 3.0, 3.0, 7.0]);
        let mut out = [10.0; 5];
        multiply(&mut out, 3, true, a, b, Threads::All);
        assert_eq!(out, [11.0, 13.0, 10.0, 13.0, 17.0]);
    }

    #[test]
    fn no_inner_size_makes_zeros() {
        assert_eq!(multiplied(Mat::dense(&[], 2, 0), Mat::dense(&[], 0, 2), Threads::One), [0.0; 4]);
    }

    #[test]
    fn parts_are_filled_in_place() {
        let out = filled(&[2, 0, 3], |index, part| part.fill([2, 0, 3][index], |i| (index * 10 + i) as f32));
        assert_eq!(out, [0.0, 1.0, 20.0, 21.0, 22.0]);
    }

    #[test]
    #[should_panic(expected = "every part is filled")]
    fn a_part_that_is_not_filled_is_found_out() {
        filled(&[2], |_, part| part.fill(1, |_| 0.0));
    }

    #[test]
    #[should_panic(expected = "lies within its slice")]
    fn a_matrix_beyond_its_slice_is_refused() {
        Mat::rows(&[0.0; 5], 2, 3, 3);
    }
}
