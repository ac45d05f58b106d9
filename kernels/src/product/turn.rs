//! Transposition.

#![expect(unsafe_code, reason = "instructions that only some processors have, and moves of whole vectors")]

#[cfg(target_arch = "x86_64")]
use super::tile::{Level, prefetch};

/// Rows and columns that are exchanged at a time.
const BLOCK: usize = 8;

/// `out[i, j] = x[j, i]` for i below `rows` and j below `columns`; the rows of `out` begin `out_step` elements apart,
/// those of `x` `step`.
pub(super) fn turn(out: &mut [f32], out_step: usize, x: &[f32], step: usize, rows: usize, columns: usize) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((rows - 1) * out_step + columns <= out.len(), "the result has room");
    assert!((columns - 1) * step + rows <= x.len(), "a matrix lies within its slice");
    let (whole_rows, whole_columns) = (rows / BLOCK * BLOCK, columns / BLOCK * BLOCK);
    blocks(out, out_step, x, step, whole_rows, whole_columns);
    for row in 0..rows {
        let first = if row < whole_rows { whole_columns } else { 0 };
        for column in first..columns {
            out[row * out_step + column] = x[column * step + row];
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn blocks(out: &mut [f32], out_step: usize, x: &[f32], step: usize, rows: usize, columns: usize) {
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the processor has the instructions.
        unsafe { blocks_avx(out, out_step, x, step, rows, columns) }
    } else {
        blocks_portable(out, out_step, x, step, rows, columns);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn blocks(out: &mut [f32], out_step: usize, x: &[f32], step: usize, rows: usize, columns: usize) {
    blocks_portable(out, out_step, x, step, rows, columns);
}

fn blocks_portable(out: &mut [f32], out_step: usize, x: &[f32], step: usize, rows: usize, columns: usize) {
    for column in (0..columns).step_by(BLOCK) {
        for row in (0..rows).step_by(BLOCK) {
            block_portable(&mut out[row * out_step + column..], out_step, &x[column * step + row..], step);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn blocks_avx(out: &mut [f32], out_step: usize, x: &[f32], step: usize, rows: usize, columns: usize) {
    for column in (0..columns).step_by(BLOCK) {
        for row in (0..rows).step_by(BLOCK) {
            let first = column * step + row;
            for ahead in (0..BLOCK).filter_map(|j| x.get(first + j * step + AHEAD)) {
                prefetch(ahead, Level::First);
            }
            block_avx(&mut out[row * out_step + column..], out_step, &x[first..], step);
        }
    }
}

/// Elements of a row between what is turned and what is asked for: what is ahead comes from the second-level cache.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 64;

fn block_portable(out: &mut [f32], out_step: usize, x: &[f32], step: usize) {
    let rows: [&[f32; BLOCK]; BLOCK] =
        std::array::from_fn(|j| x[j * step..].first_chunk().expect("a block lies within the matrix"));
    for i in 0..BLOCK {
        let turned: [f32; BLOCK] = std::array::from_fn(|j| rows[j][i]);
        out[i * out_step..][..BLOCK].copy_from_slice(&turned);
    }
}

/// In registers: pairs, then fours, then halves of rows are interleaved.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
#[inline]
fn block_avx(out: &mut [f32], out_step: usize, x: &[f32], step: usize) {
    use std::arch::x86_64::{
        __m256, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
        _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };
    let rows: [__m256; BLOCK] = std::array::from_fn(|j| {
        let row: &[f32; BLOCK] = x[j * step..].first_chunk().expect("a block lies within the matrix");
        // SAFETY: eight elements, aligned or not.
        unsafe { _mm256_loadu_ps(row.as_ptr()) }
    });
    let pairs: [__m256; BLOCK] = std::array::from_fn(|j| {
        let (a, b) = (rows[j / 2 * 2], rows[j / 2 * 2 + 1]);
        if j % 2 == 0 { _mm256_unpacklo_ps(a, b) } else { _mm256_unpackhi_ps(a, b) }
    });
    let fours: [__m256; BLOCK] = std::array::from_fn(|j| {
        let (a, b) = (pairs[j / 4 * 4 + j / 2 % 2], pairs[j / 4 * 4 + j / 2 % 2 + 2]);
        if j % 2 == 0 { _mm256_shuffle_ps::<0x44>(a, b) } else { _mm256_shuffle_ps::<0xee>(a, b) }
    });
    for i in 0..BLOCK {
        let (a, b) = (fours[i % 4], fours[i % 4 + 4]);
        let column =
            if i < 4 { _mm256_permute2f128_ps::<0x20>(a, b) } else { _mm256_permute2f128_ps::<0x31>(a, b) };
        let place: &mut [f32; BLOCK] =
            out[i * out_step..].first_chunk_mut().expect("a block lies within the result");
        // SAFETY: room for eight elements, aligned or not.
        unsafe { _mm256_storeu_ps(place.as_mut_ptr(), column) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn rows_become_columns_whatever_the_sizes() {
        for (rows, columns) in [(1, 1), (8, 8), (7, 9), (16, 24), (37, 19), (0, 3), (3, 0)] {
            let (step, out_step) = (rows + 3, columns + 2);
            let x = random(1, columns * step);
            let mut out = vec![9.0; rows * out_step];
            turn(&mut out, out_step, &x, step, rows, columns);
            for row in 0..rows {
                for column in 0..out_step {
                    let expected = if column < columns { x[column * step + row] } else { 9.0 };
                    assert_eq!(out[row * out_step + column], expected);
                }
            }
        }
    }

    #[test]
    fn both_ways_to_turn_a_block_agree() {
        let x = random(2, 100);
        let (mut a, mut b) = ([0.0; 80], [0.0; 80]);
        blocks(&mut a, 9, &x, 11, 8, 8);
        blocks_portable(&mut b, 9, &x, 11, 8, 8);
        assert_eq!(a, b);
    }
}
