//! Attention backward.
//!
//! With S the scaled scores, P = exp(S − lse) and δ = Σ dO·O per row: dV = Pᵀ·dO, dP = dO·Vᵀ, dS = P·(dP − δ),
//! dQ = scale·dS·K and dK = dSᵀ·(scale·Q). P is made again block by block.

use std::ops::Range;

use rayon::prelude::*;

use super::Attention;
use super::blocks::{Keys, Queries, span_blocks};
use super::forward::{gather, head_rows};
use crate::layout::{Layout, Span};
use crate::product::{Mat, Threads, multiply};
use crate::simd::{dot, exp, vectorised};

/// Gradients with respect to the three inputs, in their shapes.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// With respect to the queries.
    pub q: Vec<f32>,
    /// With respect to the keys; those that several spans see get the sum.
    pub k: Vec<f32>,
    /// With respect to the values.
    pub v: Vec<f32>,
}

/// Spans that share keys, and all of the keys that they see.
struct Component<'a> {
    spans: Vec<&'a Span>,
    keys: Range<usize>,
}

/// Puts the spans that share keys together; the key ranges of the components do not overlap.
fn components(layout: &Layout) -> Vec<Component<'_>> {
    let mut found: Vec<Component<'_>> = layout
        .spans()
        .iter()
        .map(|span| {
            let start = span.keys.iter().map(|range| range.start).min().unwrap_or(0);
            let end = span.keys.iter().map(|range| range.end).max().unwrap_or(0);
            Component { spans: vec![span], keys: start..end }
        })
        .collect();
    found.sort_by_key(|component| component.keys.start);
    let mut joined: Vec<Component<'_>> = Vec::with_capacity(found.len());
    for component in found {
        match joined.last_mut() {
            Some(last) if component.keys.start < last.keys.end => {
                last.keys.end = last.keys.end.max(component.keys.end);
                last.spans.extend(component.spans);
            }
            _ => joined.push(component),
        }
    }
    joined
}

/// What one key/value head of a component gives.
struct Part {
    /// Per block of queries: the rows it has in q, and `[queries·group, size]`.
    q: Vec<(Range<usize>, Vec<f32>)>,
    /// `[keys, size]`.
    k: Vec<f32>,
    v: Vec<f32>,
}

/// Everything that a task reads.
struct Inputs<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    out: &'a [f32],
    lse: &'a [f32],
    grad: &'a [f32],
    attention: &'a Attention,
}

/// Gradients of [`forward`](super::forward()), given its inputs q, k and v, its `out` and `lse`, and the gradient of
/// its `out`.
pub fn backward(
    [q, k, v]: [&[f32]; 3],
    (out, lse): (&[f32], &[f32]),
    grad: &[f32],
    layout: &Layout,
    attention: &Attention,
) -> Gradients {
    attention.check();
    assert!(grad.len() == q.len() && out.len() == q.len(), "the gradient has the shape of the queries");
    let inputs = Inputs { q, k, v, out, lse, grad, attention };
    let components = components(layout);
    let tasks: Vec<(usize, usize)> = (0..components.len())
        .flat_map(|component| (0..attention.kv_heads).map(move |head| (component, head)))
        .collect();
    let parts: Vec<Part> = tasks
        .par_iter()
        .with_max_len(1)
        .map(|&(component, head)| gradients(&inputs, &components[component], head))
        .collect();
    let mut out = Gradients { q: vec![0.0; q.len()], k: vec![0.0; k.len()], v: vec![0.0; v.len()] };
    let (width, group_width) = (attention.heads * attention.size, attention.group() * attention.size);
    for (&(component, head), part) in tasks.iter().zip(&parts) {
        for (rows, values) in &part.q {
            for (row, values) in rows.clone().zip(values.chunks_exact(group_width)) {
                out.q[row * width + head * group_width..][..group_width].copy_from_slice(values);
            }
        }
        let start = (components[component].keys.start * attention.kv_heads + head) * attention.size;
        scatter(&mut out.k[start..], &part.k, attention);
        scatter(&mut out.v[start..], &part.v, attention);
    }
    out
}

/// Puts the rows of one head in their places among those of all heads.
fn scatter(out: &mut [f32], rows: &[f32], attention: &Attention) {
    let width = attention.kv_heads * attention.size;
    for (index, row) in rows.chunks_exact(attention.size).enumerate() {
        out[index * width..][..attention.size].copy_from_slice(row);
    }
}

fn gradients(inputs: &Inputs<'_>, component: &Component<'_>, head: usize) -> Part {
    let size = inputs.attention.size;
    let mut part = Part {
        q: Vec::new(),
        k: vec![0.0; component.keys.len() * size],
        v: vec![0.0; component.keys.len() * size],
    };
    let mut scratch = Scratch::default();
    for span in &component.spans {
        for block in span_blocks(span, inputs.attention) {
            let dq = block_gradients(inputs, &block, component.keys.start, head, &mut part, &mut scratch);
            part.q.push((block.rows, dq));
        }
    }
    part
}

/// Buffers that one task uses for all of its blocks.
#[derive(Default)]
struct Scratch {
    weights: Vec<f32>,
    changes: Vec<f32>,
}

fn block_gradients(
    inputs: &Inputs<'_>,
    block: &Queries<'_>,
    first_key: usize,
    head: usize,
    part: &mut Part,
    scratch: &mut Scratch,
) -> Vec<f32> {
    let attention = inputs.attention;
    let (size, group) = (attention.size, attention.group());
    let rows = block.rows.len() * group;
    let q = gather(inputs.q, &block.rows, head, attention.scale, attention);
    let grad = gather(inputs.grad, &block.rows, head, 1.0, attention);
    let out = gather(inputs.out, &block.rows, head, 1.0, attention);
    let lse: Vec<f32> = block
        .rows
        .clone()
        .flat_map(|row| &inputs.lse[row * attention.heads + head * group..][..group])
        .copied()
        .collect();
    let mut delta = vec![0.0; rows];
    products(&grad, &out, &mut delta);
    let (q, grad) = (Mat::dense(&q, rows, size), Mat::dense(&grad, rows, size));
    let mut dq = vec![0.0; rows * size];
    for keys in block.keys(attention.window) {
        let len = keys.rows.len();
        let cells = rows * len;
        scratch.weights.resize(scratch.weights.len().max(cells), 0.0);
        scratch.changes.resize(scratch.changes.len().max(cells), 0.0);
        let (weights, changes) = (&mut scratch.weights[..cells], &mut scratch.changes[..cells]);
        let (k, v) =
            (head_rows(inputs.k, &keys, head, attention), head_rows(inputs.v, &keys, head, attention));
        multiply(weights, len, false, q, k.t(), Threads::One);
        multiply(changes, len, false, grad, v.t(), Threads::One);
        score_gradients(weights, changes, &keys, block.first, attention, &lse, &delta);
        let (weights, changes) = (Mat::dense(weights, rows, len), Mat::dense(changes, rows, len));
        let at = (keys.rows.start - first_key) * size;
        multiply(&mut part.v[at..], size, true, weights.t(), grad, Threads::One);
        multiply(&mut part.k[at..], size, true, changes.t(), q, Threads::One);
        multiply(&mut dq, size, true, changes, k, Threads::One);
    }
    for value in &mut dq {
        *value *= attention.scale;
    }
    dq
}

vectorised! {
    /// The product of each row of x with that of y.
    fn products<'a>(x: &'a [f32], y: &'a [f32], out: &'a mut [f32]) {
        let size = x.len() / out.len();
        for ((x, y), out) in x.chunks_exact(size).zip(y.chunks_exact(size)).zip(out) {
            *out = dot(x, y);
        }
    }

    /// Turns scores into probabilities, and the gradients of these into those of the scores; zero where a row does not
    /// look. Rows are queries from position `first` on, then heads.
    fn score_gradients<'a>(
        weights: &'a mut [f32],
        changes: &'a mut [f32],
        keys: &'a Keys,
        first: usize,
        attention: &'a Attention,
        lse: &'a [f32],
        delta: &'a [f32],
    ) {
        let len = keys.rows.len();
        let rows = weights.chunks_exact_mut(len).zip(changes.chunks_exact_mut(len));
        for (row, (weights, changes)) in rows.enumerate() {
            let seen = keys.seen(first + row / attention.group(), attention.window);
            for hidden in [0..seen.start, seen.end..len] {
                weights[hidden.clone()].fill(0.0);
                changes[hidden].fill(0.0);
            }
            let (lse, delta) = (lse[row], delta[row]);
            for (weight, change) in weights[seen.clone()].iter_mut().zip(&mut changes[seen]) {
                *weight = exp(*weight - lse);
                *change = *weight * (*change - delta);
            }
        }
    }
}
