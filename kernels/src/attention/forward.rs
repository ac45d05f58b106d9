//! Attention forward.

use std::ops::Range;

use rayon::prelude::*;

use super::Attention;
use super::blocks::{Keys, Queries, blocks};
use crate::layout::Layout;
use crate::product::{Mat, Threads, multiply};
use crate::raw::filled;
use crate::simd::{exp, max, replace_and_sum, vectorised};

/// What attention leaves.
#[derive(Debug, Clone)]
pub struct Forward {
    /// `[T, heads, size]`.
    pub out: Vec<f32>,
    /// log Σ exp of each row's scores, `[T, heads]`.
    pub lse: Vec<f32>,
}

/// Attention of queries `[T, heads, size]` to keys and values `[S, kv_heads, size]`.
pub fn forward(q: &[f32], k: &[f32], v: &[f32], layout: &Layout, attention: &Attention) -> Forward {
    attention.check();
    let (width, kv_width) = (attention.heads * attention.size, attention.kv_heads * attention.size);
    assert_eq!(q.len(), layout.queries() * width, "queries of the layout's number");
    assert!(k.len() == v.len() && k.len() >= layout.keys() * kv_width, "keys of the layout's number");
    let blocks = blocks(layout, attention);
    let lengths: Vec<usize> = blocks.iter().map(|block| block.rows.len() * width).collect();
    let mut lse = vec![0.0; layout.queries() * attention.heads];
    let lse_parts = std::sync::Mutex::new(Vec::with_capacity(blocks.len()));
    let out = filled(&lengths, |index, out| {
        let block = &blocks[index];
        let heads: Vec<Head> = (0..attention.kv_heads)
            .into_par_iter()
            .map(|head| attend(q, k, v, block, head, attention))
            .collect();
        let group_width = attention.group() * attention.size;
        for query in 0..block.rows.len() {
            for head in &heads {
                out.copy(&head.out[query * group_width..][..group_width]);
            }
        }
        let part: Vec<f32> = (0..block.rows.len())
            .flat_map(|query| heads.iter().map(move |head| (head, query)))
            .flat_map(|(head, query)| &head.lse[query * attention.group()..][..attention.group()])
            .copied()
            .collect();
        lse_parts.lock().expect("no thread panics while it holds the lock").push((block.rows.start, part));
    });
    for (start, part) in lse_parts.into_inner().expect("no thread panicked") {
        lse[start * attention.heads..][..part.len()].copy_from_slice(&part);
    }
    Forward { out, lse }
}

/// What one key/value head gives a block of queries: rows are queries, then the heads of the group.
struct Head {
    out: Vec<f32>,
    lse: Vec<f32>,
}

/// The rows of a block of queries and one group of heads as one matrix `[queries·group, size]`, times `scale`.
pub(super) fn gather(
    x: &[f32],
    rows: &Range<usize>,
    head: usize,
    scale: f32,
    attention: &Attention,
) -> Vec<f32> {
    let (width, group_width) = (attention.heads * attention.size, attention.group() * attention.size);
    let mut out = Vec::with_capacity(rows.len() * group_width);
    for row in rows.clone() {
        let part = &x[row * width + head * group_width..][..group_width];
        out.extend(part.iter().map(|value| value * scale));
    }
    out
}

/// The rows of a block of keys for one head.
pub(super) fn head_rows<'a>(x: &'a [f32], keys: &Keys, head: usize, attention: &Attention) -> Mat<'a> {
    let width = attention.kv_heads * attention.size;
    let start = keys.rows.start * width + head * attention.size;
    Mat::rows(&x[start..], keys.rows.len(), attention.size, width)
}

fn attend(q: &[f32], k: &[f32], v: &[f32], block: &Queries<'_>, head: usize, attention: &Attention) -> Head {
    let size = attention.size;
    let rows = block.rows.len() * attention.group();
    let q = gather(q, &block.rows, head, attention.scale, attention);
    let q = Mat::dense(&q, rows, size);
    let keys = block.keys(attention.window);
    let widest = keys.iter().map(|keys| keys.rows.len()).max().unwrap_or(0);
    let mut scores = vec![0.0; rows * widest];
    let mut out = vec![0.0; rows * size];
    let mut highest = vec![f32::NEG_INFINITY; rows];
    let mut total = vec![0.0; rows];
    for keys in &keys {
        let len = keys.rows.len();
        multiply(&mut scores, len, false, q, head_rows(k, keys, head, attention).t(), Threads::One);
        let cells = &mut scores[..rows * len];
        weigh(cells, keys, block.first, attention, &mut highest, &mut total, &mut out);
        let weights = Mat::dense(&scores, rows, len);
        multiply(&mut out, size, true, weights, head_rows(v, keys, head, attention), Threads::One);
    }
    divide(&mut out, &total);
    let lse = highest.iter().zip(&total).map(|(highest, total)| highest + total.ln()).collect();
    Head { out, lse }
}

vectorised! {
    /// Turns the scores of a block into weights relative to each row's highest so far, zero where a row does not look,
    /// and brings the sums and results of earlier blocks to the same measure. Rows are queries from position `first`
    /// on, then heads.
    fn weigh<'a>(
        scores: &'a mut [f32],
        keys: &'a Keys,
        first: usize,
        attention: &'a Attention,
        highest: &'a mut [f32],
        total: &'a mut [f32],
        out: &'a mut [f32],
    ) {
        let rows = scores.chunks_exact_mut(keys.rows.len()).zip(out.chunks_exact_mut(attention.size));
        for ((row, (scores, out)), (highest, total)) in rows.enumerate().zip(highest.iter_mut().zip(total)) {
            let seen = keys.seen(first + row / attention.group(), attention.window);
            scores[..seen.start].fill(0.0);
            scores[seen.end..].fill(0.0);
            let seen = &mut scores[seen];
            if seen.is_empty() {
                continue;
            }
            let before = *highest;
            let top = max(seen);
            if top > before {
                *highest = top;
                let rescale = exp(before - top);
                *total *= rescale;
                for value in out {
                    *value *= rescale;
                }
            }
            // A row of nothing but −∞ becomes NaN here, as it does in a plain softmax.
            let base = *highest;
            *total += replace_and_sum(seen, |score| exp(score - base));
        }
    }

    fn divide<'a>(rows: &'a mut [f32], totals: &'a [f32]) {
        for (row, total) in rows.chunks_exact_mut(rows.len() / totals.len()).zip(totals) {
            let inverse = total.recip();
            for value in row {
                *value *= inverse;
            }
        }
    }
}
