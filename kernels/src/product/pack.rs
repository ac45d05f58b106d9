//! Packing: the right matrix of a product as the tiles read it.

use rayon::prelude::*;

use super::mat::Mat;
use super::turn::turn;

/// Inner indices that are packed together: the part of a panel that they make fits the first-level cache.
const DEPTH: usize = 128;

/// Writes the rows of `b` to the rows of `panel`, which are `width` wide: what is left of them is zero.
pub(super) fn pack(panel: &mut [f32], width: usize, b: Mat<'_>) {
    assert!(b.columns <= width && panel.len() == b.rows * width, "a panel as large as the strip");
    if b.columns < width {
        for row in panel.chunks_exact_mut(width) {
            row[b.columns..].fill(0.0);
        }
    }
    if b.column_step == 1 {
        for (index, row) in panel.chunks_exact_mut(width).enumerate() {
            row[..b.columns].copy_from_slice(&b.data[index * b.row_step..][..b.columns]);
        }
    } else {
        assert_eq!(b.row_step, 1, "rows or columns lie together");
        for (part, panel) in panel.chunks_mut(DEPTH * width).enumerate() {
            turn(panel, width, &b.data[part * DEPTH..], b.column_step, panel.len() / width, b.columns);
        }
    }
}

/// The elements of `a` row by row.
pub(super) fn turned(a: Mat<'_>, shared: bool) -> Vec<f32> {
    assert_eq!(a.row_step, 1, "rows or columns lie together");
    let mut out = vec![0.0; a.rows * a.columns];
    if a.columns == 0 {
        return out;
    }
    let part = |(part, out): (usize, &mut [f32])| {
        turn(out, a.columns, &a.data[part * DEPTH..], a.column_step, out.len() / a.columns, a.columns);
    };
    if shared {
        out.par_chunks_mut(DEPTH * a.columns).enumerate().for_each(part);
    } else {
        out.chunks_mut(DEPTH * a.columns).enumerate().for_each(part);
    }
    out
}
