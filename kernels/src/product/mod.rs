//! Matrix products.
//!
//! The columns of a product are cut into strips as wide as a few vector registers. A task packs a strip of the right
//! matrix, so that what meets an element of the left matrix lies together, and then goes through the rows of the left
//! matrix, which are read where they lie. An element of the result is the sum of its terms in the order of the inner
//! index, by fused multiply-adds in blocks of [`DEPTH`]: where it lies, what is computed beside it and how the work is
//! shared make no difference to it.

#![expect(unsafe_code, reason = "tasks write side by side into what is fresh")]

mod ahead;
mod mat;
mod pack;
mod tile;
mod turn;

use std::{
    cell::RefCell,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use ahead::Ahead;
pub(crate) use mat::Mat;
use tile::{Finish, Target, VECTORS};

use crate::{
    meter::{Part, measured},
    simd,
};

/// Terms that are summed up before they are added to the result: more of them would be a little faster, and make the
/// rounding of long sums worse. A packed strip of so many fits the second-level cache.
const DEPTH: usize = 512;

/// Multiply-adds below which a product is not worth sharing out: some tens of microseconds.
const SHARED: usize = 1 << 20;

/// Parts that the rows of the last strips are cut into.
const PARTS: usize = 3;

/// Rows below which a task would spend much of its time on packing.
const ROWS: usize = 128;

/// Who shares the work of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread alone, for products inside a parallel loop.
    One,
    /// All of the pool.
    All,
}

/// `out = a·b`, or `out += a·b`; the rows of `out` begin `step` elements apart.
pub(crate) fn multiply(out: &mut [f32], step: usize, add: bool, a: Mat<'_>, b: Mat<'_>, threads: Threads) {
    let target = Target::new(out, a.rows, b.columns, step);
    counted(&target, if add { Finish::Add } else { Finish::Set }, a, b, threads);
}

/// `a·b` in a new vector, plus a value for every column if there is one.
pub(crate) fn multiplied(a: Mat<'_>, b: Mat<'_>, bias: Option<&[f32]>, threads: Threads) -> Vec<f32> {
    let finish = bias.map_or(Finish::Set, Finish::Bias);
    // SAFETY: a product writes every element, and only adds to what it wrote: `finish` sets.
    unsafe { Target::fresh(a.rows, b.columns, |target| counted(target, finish, a, b, threads)) }
}

/// [`product`], counted unless it is a part of something else.
fn counted(target: &Target<'_>, finish: Finish<'_>, a: Mat<'_>, b: Mat<'_>, threads: Threads) {
    match threads {
        Threads::One => product(target, finish, a, b, threads),
        Threads::All => {
            let operations = 2 * (a.rows * a.columns * b.columns) as u64;
            measured(Part::Products, operations, || product(target, finish, a, b, threads));
        }
    }
}

/// Writes every element of the target.
fn product(target: &Target<'_>, finish: Finish<'_>, a: Mat<'_>, b: Mat<'_>, threads: Threads) {
    assert_eq!(a.columns, b.rows, "inner sizes of a product agree");
    if target.rows == 0 || target.columns == 0 {
        return;
    }
    let shared = threads == Threads::All && a.rows * a.columns * b.columns >= SHARED;
    let turned;
    let a = if a.column_step == 1 {
        a
    } else {
        turned = pack::turned(a, shared);
        Mat::dense(&turned, a.rows, a.columns)
    };
    let width = simd::run(Width);
    let strips = b.columns.div_ceil(width);
    let task = |rows: Range<usize>, strip: usize, threads: usize| {
        let columns = |strip: usize| strip * width..((strip + 1) * width).min(b.columns);
        // The strip that this thread takes next, most often.
        let next = (strip + threads < strips).then(|| columns(strip + threads));
        let columns = columns(strip);
        PANEL.with_borrow_mut(|panel| simd::run(Task { target, finish, a, b, rows, columns, next, panel }));
    };
    if !shared {
        return (0..strips).for_each(|strip| task(0..a.rows, strip, 1));
    }
    let threads = rayon::current_num_threads();
    let tasks = tasks(a.rows, strips, threads);
    let next = AtomicUsize::new(0);
    (0..threads.min(tasks.len())).into_par_iter().with_max_len(1).for_each(|_| {
        while let Some((rows, strip)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            task(rows.clone(), *strip, threads);
        }
    });
}

/// The rows and strips of tasks: whole strips, and parts of the last ones, so that threads finish together.
fn tasks(rows: usize, strips: usize, threads: usize) -> Vec<(Range<usize>, usize)> {
    let parts = rows.div_ceil(ROWS).min(PARTS);
    let part = rows.div_ceil(parts).next_multiple_of(ROW_STEP);
    let whole = (strips / threads).saturating_sub(1) * threads;
    let of = |rows: Range<usize>, strips: Range<usize>| strips.map(move |strip| (rows.clone(), strip));
    let ends = (0..rows).step_by(part).flat_map(|start| of(start..(start + part).min(rows), whole..strips));
    of(0..rows, 0..whole).chain(ends).collect()
}

/// Parts of the rows begin at multiples of this, so that tiles are whole.
const ROW_STEP: usize = 8;

/// Columns of the widest strip.
struct Width;

impl WithSimd for Width {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        VECTORS * S::F32_LANES
    }
}

/// Some rows of a strip.
struct Task<'a> {
    target: &'a Target<'a>,
    finish: Finish<'a>,
    a: Mat<'a>,
    b: Mat<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    next: Option<Range<usize>>,
    panel: &'a mut Vec<f32>,
}

thread_local! {
    /// Where a task packs.
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Elements in a line of the cache.
const LINE: usize = 16;

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "must be compiled with the vector instructions of the caller")]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { target, finish, a, b, rows, columns, next, panel } = self;
        let width = columns.len().next_multiple_of(S::F32_LANES);
        let len = DEPTH.min(a.columns) * width;
        if panel.len() < len + LINE {
            *panel = vec![0.0; len + LINE];
        }
        let start = panel.as_ptr().align_offset(LINE * size_of::<f32>());
        for first in (0..a.columns.max(1)).step_by(DEPTH) {
            let depth = first..(first + DEPTH).min(a.columns);
            let panel = &mut panel[start..start + depth.len() * width];
            pack::pack(panel, width, b.part(depth.clone(), columns.clone()));
            let finish = match finish {
                _ if first > 0 => Finish::Add,
                Finish::Bias(bias) => Finish::Bias(&bias[columns.clone()]),
                other => other,
            };
            let next = if depth.end < b.rows {
                Some(b.part(depth.end..(depth.end + DEPTH).min(b.rows), columns.clone()))
            } else {
                next.clone().map(|next| b.part(0..DEPTH.min(b.rows), next))
            };
            let mut ahead = Ahead::new(next, rows.len() / ROW_STEP);
            let (place, a) = ((rows.clone(), columns.clone()), a.part(rows.clone(), depth));
            // SAFETY: whoever makes a task gives no other the same elements, and all but the first depths add to what the
            // first one wrote.
            unsafe { tile::multiply_strip(simd, target, place, a, panel, finish, &mut ahead) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, random};

    #[test]
    fn products_with_steps_and_transposition() {
        // [1 2; 3 4] in rows of 3, times the transpose of [1 0; 1 1].
        let a = [1.0, 2.0, 9.0, 3.0, 4.0];
        let b = [1.0, 0.0, 1.0, 1.0];
        let (a, b) = (Mat::rows(&a, 2, 2, 3), Mat::dense(&b, 2, 2).t());
        assert_eq!(multiplied(a, b, None, Threads::One), [1.0, 3.0, 3.0, 7.0]);
        let mut out = [10.0; 5];
        multiply(&mut out, 3, true, a, b, Threads::All);
        assert_eq!(out, [11.0, 13.0, 10.0, 13.0, 17.0]);
    }

    /// The product in double precision.
    fn reference(a: Mat<'_>, b: Mat<'_>) -> Vec<f32> {
        let at = |x: Mat<'_>, i: usize, j: usize| f64::from(x.data[i * x.row_step + j * x.column_step]);
        let cell = |i, j| (0..a.columns).map(|k| at(a, i, k) * at(b, k, j)).sum::<f64>() as f32;
        (0..a.rows).flat_map(|i| (0..b.columns).map(move |j| (i, j))).map(|(i, j)| cell(i, j)).collect()
    }

    #[test]
    fn products_of_all_sizes_and_layouts() {
        for (rows, depth, columns) in [
            (1, 1, 1),
            (7, 3, 47),
            (9, 20, 48),
            (16, 33, 50),
            (3, 9, 200),
            (23, DEPTH + 5, 17),
            (70, 130, 97),
        ] {
            let (x, y) = (random(1, rows * depth), random(2, depth * columns));
            for a in [Mat::dense(&x, rows, depth), Mat::dense(&x, depth, rows).t()] {
                for b in [Mat::dense(&y, depth, columns), Mat::dense(&y, columns, depth).t()] {
                    let expected = reference(a, b);
                    for threads in [Threads::One, Threads::All] {
                        assert_close(&multiplied(a, b, None, threads), &expected, 2e-5);
                    }
                }
            }
        }
    }

    /// A whole product by one kind of instructions.
    struct By<'a>(&'a Target<'a>, Mat<'a>, Mat<'a>);

    impl WithSimd for By<'_> {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            let (Self(target, a, b), width, mut panel) = (self, VECTORS * S::F32_LANES, Vec::new());
            for first in (0..b.columns).step_by(width) {
                let (rows, columns) = (0..a.rows, first..(first + width).min(b.columns));
                let (finish, panel) = (Finish::Set, &mut panel);
                Task { target, finish, a, b, rows, columns, next: None, panel }.with_simd(simd);
            }
        }
    }

    #[test]
    fn every_kind_of_instructions_computes_the_same() {
        for (rows, depth, columns) in [(1, 1, 1), (7, 3, 47), (23, DEPTH + 5, 17), (70, 130, 97)] {
            let (x, y) = (random(1, rows * depth), random(2, depth * columns));
            let (a, b) = (Mat::dense(&x, rows, depth), Mat::dense(&y, columns, depth).t());
            let expected = reference(a, b);
            let check = |run: &dyn Fn(By<'_>)| {
                // SAFETY: the strips cover the product.
                let found = unsafe { Target::fresh(rows, columns, |target| run(By(target, a, b))) };
                assert_close(&found, &expected, 2e-5);
            };
            check(&|product| simd::run(product));
            check(&|product| product.with_simd(pulp::Scalar::new()));
            #[cfg(target_arch = "x86_64")]
            if let Some(avx2) = pulp::x86::V3::try_new() {
                check(&|product| Simd::vectorize(avx2, product));
            }
        }
    }

    #[test]
    fn tasks_cover_every_row_of_every_strip_once() {
        for (rows, strips, threads) in [(1, 1, 2), (540, 16, 2), (540, 43, 2), (2_000, 3, 2), (130, 7, 16)] {
            let mut seen = vec![0; rows * strips];
            for (rows, strip) in tasks(rows, strips, threads) {
                assert!(!rows.is_empty());
                rows.for_each(|row| seen[row * strips + strip] += 1);
            }
            assert!(seen.iter().all(|&count| count == 1), "{rows} rows, {strips} strips, {threads} threads");
        }
    }

    #[test]
    fn an_element_is_the_same_whatever_is_computed_beside_it() {
        let (rows, depth, columns) = (450, DEPTH + 100, 130);
        let (x, y, bias) = (random(3, rows * depth), random(4, columns * depth), random(5, columns));
        let (a, b) = (Mat::dense(&x, rows, depth), Mat::dense(&y, columns, depth).t());
        let all = multiplied(a, b, Some(&bias), Threads::All);
        assert_eq!(multiplied(a, b, Some(&bias), Threads::One), all);
        for (first, count) in [(0, 1), (3, 2), (17, 30), (449, 1), (200, 100)] {
            let part = Mat::dense(&x[first * depth..], count, depth);
            let some = multiplied(part, b, Some(&bias), Threads::All);
            assert_eq!(some, all[first * columns..(first + count) * columns], "{count} rows from {first}");
        }
        let other = Mat::dense(&y[50 * depth..], 40, depth).t();
        let some = multiplied(a, other, Some(&bias[50..]), Threads::One);
        for (some, all) in some.chunks(40).zip(all.chunks(columns)) {
            assert_eq!(some, &all[50..90]);
        }
    }

    #[test]
    fn what_is_there_is_added_to_and_what_lies_between_is_left_alone() {
        let (x, y) = (random(6, 20 * 30), random(7, 30 * 60));
        let (a, b) = (Mat::dense(&x, 20, 30), Mat::dense(&y, 30, 60));
        let product = multiplied(a, b, None, Threads::One);
        let mut out = vec![0.5; 20 * 64];
        multiply(&mut out, 64, true, a, b, Threads::One);
        for (out, product) in out.chunks(64).zip(product.chunks(60)) {
            let expected: Vec<f32> = product.iter().map(|value| 0.5 + value).chain([0.5; 4]).collect();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn no_inner_size_makes_zeros_or_the_bias() {
        let (a, b) = (Mat::dense(&[], 2, 0), Mat::dense(&[], 0, 2));
        assert_eq!(multiplied(a, b, None, Threads::One), [0.0; 4]);
        assert_eq!(multiplied(a, b, Some(&[1.0, 2.0]), Threads::One), [1.0, 2.0, 1.0, 2.0]);
        assert_eq!(multiplied(Mat::dense(&[], 0, 3), Mat::dense(&[0.0; 6], 3, 2), None, Threads::All), []);
    }

    #[test]
    #[should_panic(expected = "lies within its slice")]
    fn a_matrix_beyond_its_slice_is_refused() {
        Mat::rows(&[0.0; 5], 2, 3, 3);
    }

    #[test]
    #[should_panic(expected = "inner sizes")]
    fn matrices_that_do_not_fit_are_refused() {
        multiplied(Mat::dense(&[0.0; 6], 2, 3), Mat::dense(&[0.0; 4], 2, 2), None, Threads::One);
    }

    #[test]
    #[should_panic(expected = "the product has room")]
    fn a_result_without_room_is_refused() {
        let a = [0.0; 4];
        multiply(&mut [0.0; 3], 2, false, Mat::dense(&a, 2, 2), Mat::dense(&a, 2, 2), Threads::One);
    }
}
