//! What a task computes: the rows of a matrix times a packed strip of columns.

#![expect(unsafe_code, reason = "tasks write side by side, and tiles must stay in registers")]
#![expect(
    clippy::needless_range_loop,
    reason = "loops that are unrolled and index several arrays of registers"
)]

use std::{marker::PhantomData, ops::Range};

use pulp::Simd;

use super::{
    ahead::Ahead,
    mat::{Mat, end},
};

/// Vectors that make up a strip.
pub(super) const VECTORS: usize = 3;

/// How a sum gets into the result.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finish<'a> {
    /// As it is.
    Set,
    /// With the value of its column added.
    Bias(&'a [f32]),
    /// Added to what is there.
    Add,
}

/// A matrix that is written: element (i, j) lies at `i·step + j`.
#[derive(Debug)]
pub(super) struct Target<'a> {
    data: *mut f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    step: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a mutable borrow of numbers, which may go to other threads. `multiply_strip` alone writes through a
// shared reference, and its callers vouch that no two write the same element at a time.
unsafe impl Sync for Target<'_> {}

impl<'a> Target<'a> {
    /// A matrix in a slice.
    pub(super) fn new(out: &'a mut [f32], rows: usize, columns: usize, step: usize) -> Self {
        assert!(step >= columns && end(rows, columns, step, 1) <= out.len(), "the product has room");
        Self { data: out.as_mut_ptr(), rows, columns, step, slice: PhantomData }
    }

    /// A new vector of `rows × columns` elements.
    ///
    /// # Safety
    ///
    /// `write` writes all of them, and before it reads them.
    pub(super) unsafe fn fresh(rows: usize, columns: usize, write: impl FnOnce(&Target<'_>)) -> Vec<f32> {
        let len = rows * columns;
        let mut out: Vec<f32> = Vec::with_capacity(len);
        let data = out.spare_capacity_mut()[..len].as_mut_ptr().cast();
        write(&Target { data, rows, columns, step: columns, slice: PhantomData });
        // SAFETY: the capacity is there, and `write` has written all of it, as the caller vouches.
        unsafe { out.set_len(len) };
        out
    }
}

/// A cache.
#[derive(Debug, Clone, Copy)]
pub(super) enum Level {
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "nothing turns blocks in registers there")
    )]
    First,
    Second,
}

/// Asks for the line of the cache that holds a value.
#[inline]
pub(super) fn prefetch(value: &f32, level: Level) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it only gives a hint, and every processor of this kind has the instruction.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let place = std::ptr::from_ref(value).cast();
        match level {
            Level::First => _mm_prefetch::<_MM_HINT_T0>(place),
            Level::Second => _mm_prefetch::<_MM_HINT_T1>(place),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, level);
}

/// `target[rows, columns] = finish(a · panel)`, where `panel` has for every inner index the elements of `columns`, padded
/// to whole vectors.
///
/// # Safety
///
/// Nobody else reads or writes these elements of the target meanwhile, and they were written before if `finish` adds to
/// them.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled with the vector instructions of its caller")]
pub(super) unsafe fn multiply_strip<S: Simd>(
    simd: S,
    target: &Target<'_>,
    (rows, columns): (Range<usize>, Range<usize>),
    a: Mat<'_>,
    panel: &[f32],
    finish: Finish<'_>,
    ahead: &mut Ahead<'_>,
) {
    let vectors = columns.len().div_ceil(S::F32_LANES);
    assert!(rows.end <= target.rows && columns.end <= target.columns, "a strip lies within its matrix");
    assert!(a.rows == rows.len() && a.column_step == 1, "a row of the left matrix for each of the result");
    assert!(end(a.rows, a.columns, a.row_step, 1) <= a.data.len(), "a matrix lies within its slice");
    assert!(
        (1..=VECTORS).contains(&vectors) && panel.len() >= a.columns * vectors * S::F32_LANES,
        "the panel is whole"
    );
    assert!(!matches!(finish, Finish::Bias(bias) if bias.len() < columns.len()), "a bias for every column");
    let strip = Strip {
        simd,
        a: a.data.as_ptr(),
        a_step: a.row_step,
        depth: a.columns,
        panel: panel.as_ptr(),
        // SAFETY: within the target, as was asserted.
        out: unsafe { target.data.add(rows.start * target.step + columns.start) },
        out_step: target.step,
        width: columns.len(),
        finish,
    };
    // SAFETY: all that the tiles read and write was asserted to be there; the caller vouches for the rest.
    unsafe {
        match vectors {
            1 => strip.rows::<1>(a.rows, ahead),
            2 => strip.rows::<2>(a.rows, ahead),
            _ => strip.rows::<3>(a.rows, ahead),
        }
    }
}

/// The arguments of all tiles of a strip.
#[derive(Clone, Copy)]
struct Strip<'a, S> {
    simd: S,
    a: *const f32,
    a_step: usize,
    depth: usize,
    panel: *const f32,
    out: *mut f32,
    out_step: usize,
    width: usize,
    finish: Finish<'a>,
}

impl<S: Simd> Strip<'_, S> {
    /// # Safety
    ///
    /// `a` and `out` have so many rows, `a` and the panel the depth, the panel V vectors, and `out` the width.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled with the vector instructions of its caller")]
    unsafe fn rows<const V: usize>(self, rows: usize, ahead: &mut Ahead<'_>) {
        // As many sums as the registers hold beside a row of the panel and an element of a.
        let most = if S::REGISTER_COUNT >= 32 { 8 } else { 4 };
        let mut row = 0;
        // SAFETY: rows below `rows`, as the caller vouches.
        unsafe {
            while row + most <= rows {
                ahead.fetch();
                if S::REGISTER_COUNT >= 32 {
                    self.tile::<8, V>(row);
                } else {
                    self.tile::<4, V>(row);
                }
                row += most;
            }
            match rows - row {
                0 => {}
                1 => self.tile::<1, V>(row),
                2 => self.tile::<2, V>(row),
                3 => self.tile::<3, V>(row),
                4 => self.tile::<4, V>(row),
                5 => self.tile::<5, V>(row),
                6 => self.tile::<6, V>(row),
                _ => self.tile::<7, V>(row),
            }
        }
    }

    /// R rows from `row` on.
    ///
    /// # Safety
    ///
    /// As for `rows`; these rows are among them.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled with the vector instructions of its caller")]
    unsafe fn tile<const R: usize, const V: usize>(self, row: usize) {
        let simd = self.simd;
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let mut a = [self.a; R];
        for (r, a) in a.iter_mut().enumerate() {
            // SAFETY: the rows are within a.
            *a = unsafe { a.add((row + r) * self.a_step) };
        }
        let mut panel = self.panel.cast::<S::f32s>();
        for depth in 0..self.depth {
            // SAFETY: `depth` is within the rows of a and the panel.
            unsafe {
                let columns = panel.cast::<[S::f32s; V]>().read_unaligned();
                for r in 0..R {
                    let value = simd.splat_f32s(*a[r].add(depth));
                    for v in 0..V {
                        sums[r][v] = simd.mul_add_e_f32s(value, columns[v], sums[r][v]);
                    }
                }
                panel = panel.add(V);
            }
        }
        // These loops are simple so that the compiler unrolls them: sums that are indexed by a variable would lie in
        // memory from the beginning.
        if self.width < V * S::F32_LANES {
            let mut spilled = [[simd.splat_f32s(0.0); V]; R];
            for r in 0..R {
                for v in 0..V {
                    spilled[r][v] = sums[r][v];
                }
            }
            // SAFETY: as the caller vouches.
            return unsafe { self.finish_part(row, spilled.as_ptr().cast(), R, V * S::F32_LANES) };
        }
        // SAFETY: V whole vectors of these rows lie in `out`, and of the bias.
        unsafe {
            let out = self.out.add(row * self.out_step);
            let place = |r: usize, v: usize| out.add(r * self.out_step + v * S::F32_LANES).cast::<S::f32s>();
            match self.finish {
                Finish::Set => {
                    for r in 0..R {
                        for v in 0..V {
                            place(r, v).write_unaligned(sums[r][v]);
                        }
                    }
                }
                Finish::Bias(bias) => {
                    let bias = bias.as_ptr().cast::<[S::f32s; V]>().read_unaligned();
                    for r in 0..R {
                        for v in 0..V {
                            place(r, v).write_unaligned(simd.add_f32s(sums[r][v], bias[v]));
                        }
                    }
                }
                Finish::Add => {
                    for r in 0..R {
                        for v in 0..V {
                            let place = place(r, v);
                            place.write_unaligned(simd.add_f32s(place.read_unaligned(), sums[r][v]));
                        }
                    }
                }
            }
        }
    }

    /// Rows whose last vector goes beyond the strip; `sums` are `rows × padded`.
    ///
    /// # Safety
    ///
    /// As for `rows`; these rows are among them.
    unsafe fn finish_part(self, row: usize, sums: *const f32, rows: usize, padded: usize) {
        for r in 0..rows {
            for at in 0..self.width {
                // SAFETY: below the width of the row, of `sums` and of the bias.
                unsafe {
                    let place = self.out.add((row + r) * self.out_step + at);
                    let sum = *sums.add(r * padded + at);
                    *place = match self.finish {
                        Finish::Set => sum,
                        Finish::Bias(bias) => sum + bias[at],
                        Finish::Add => *place + sum,
                    };
                }
            }
        }
    }
}
