//! Root-mean-square norm.

use rayon::prelude::*;

use crate::raw::{Filler, filled};
use crate::row_chunks;
use crate::simd::{dot, sum, vectorised};

/// `1 / sqrt(mean(x²) + eps)`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled with the vector instructions of its caller")]
fn inverse_rms(x: &[f32], eps: f64) -> f32 {
    ((f64::from(dot(x, x)) / x.len() as f64 + eps).sqrt().recip()) as f32
}

vectorised! {
    fn norm_rows<'a, 'b>(rows: &'a [f32], weight: &'a [f32], eps: f64, out: &'a mut Filler<'b>) {
        let width = weight.len();
        for row in rows.chunks_exact(width) {
            let scale = inverse_rms(row, eps);
            out.fill(width, |i| row[i] * scale * weight[i]);
        }
    }

    /// Gradients with respect to rows.
    fn row_gradients<'a, 'b>(
        rows: &'a [f32],
        grads: &'a [f32],
        weight: &'a [f32],
        eps: f64,
        out: &'a mut Filler<'b>,
    ) {
        let width = weight.len();
        for (x, dy) in rows.chunks_exact(width).zip(grads.chunks_exact(width)) {
            let r = inverse_rms(x, eps);
            let inner = sum(width, |i| dy[i] * weight[i] * x[i]);
            let pull = inner * r * r * r / width as f32;
            out.fill(width, |i| dy[i] * weight[i] * r - x[i] * pull);
        }
    }

    /// Adds the gradients that rows give to the weight.
    fn add_weight_gradients<'a>(rows: &'a [f32], grads: &'a [f32], eps: f64, total: &'a mut [f32]) {
        let width = total.len();
        for (x, dy) in rows.chunks_exact(width).zip(grads.chunks_exact(width)) {
            let r = inverse_rms(x, eps);
            for (i, sum) in total.iter_mut().enumerate() {
                *sum += dy[i] * x[i] * r;
            }
        }
    }
}

/// `x / sqrt(mean(x²) + eps) · weight` for every row of x `[rows, weight.len()]`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f64) -> Vec<f32> {
    let width = weight.len();
    assert_eq!(x.len() % width, 0, "rows are as wide as the weight");
    let lengths = row_chunks(x.len() / width, width);
    filled(&lengths, |chunk, out| {
        let start = lengths[0] * chunk;
        norm_rows(&x[start..start + lengths[chunk]], weight, eps, out);
    })
}

/// Gradients of [`rms_norm`] with respect to x and the weight, given that of its result.
///
/// With r = 1/sqrt(mean(x²) + eps) and n the width: dx = r·w·dy − x·r³/n·Σ(dy·w·x), dw = Σ over rows of dy·x·r.
pub fn rms_norm_backward(x: &[f32], weight: &[f32], grad: &[f32], eps: f64) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    assert!(x.len().is_multiple_of(width) && grad.len() == x.len(), "the gradient has the shape of the rows");
    let lengths = row_chunks(x.len() / width, width);
    let part = |chunk: usize| lengths[0] * chunk..lengths[0] * chunk + lengths[chunk];
    let dx = filled(&lengths, |chunk, out| {
        row_gradients(&x[part(chunk)], &grad[part(chunk)], weight, eps, out);
    });
    // One partial sum per chunk, added up in order.
    let partial: Vec<Vec<f32>> = (0..lengths.len())
        .into_par_iter()
        .map(|chunk| {
            let mut total = vec![0.0; width];
            add_weight_gradients(&x[part(chunk)], &grad[part(chunk)], eps, &mut total);
            total
        })
        .collect();
    let mut dw = vec![0.0; width];
    for total in &partial {
        for (sum, part) in dw.iter_mut().zip(total) {
            *sum += part;
        }
    }
    (dx, dw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, numeric_gradient, random, weighted};

    #[test]
    fn the_gradient_is_that_of_the_sum() {
        let (x, weight, grad) = (random(1, 5 * 37), random(2, 37), random(3, 5 * 37));
        let (dx, dw) = rms_norm_backward(&x, &weight, &grad, 1e-6);
        assert_close(&dx, &numeric_gradient(&x, |x| weighted(&reference(x, &weight), &grad)), 1e-4);
        let x = &x;
        assert_close(&dw, &numeric_gradient(&weight, |w| weighted(&reference(x, w), &grad)), 1e-4);
    }

    fn reference(x: &[f32], weight: &[f32]) -> Vec<f64> {
        let rows = x.chunks(weight.len()).flat_map(|row| {
            let mean = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / row.len() as f64;
            row.iter().zip(weight).map(move |(&v, &w)| f64::from(v) / (mean + 1e-6).sqrt() * f64::from(w))
        });
        rows.collect()
    }

    #[test]
    fn rows_of_many_chunks_are_normed_each_for_itself() {
        let (x, weight) = (random(4, 701 * 64), random(5, 64));
        let expected: Vec<f32> = reference(&x, &weight).into_iter().map(|v| v as f32).collect();
        assert_close(&rms_norm(&x, &weight, 1e-6), &expected, 1e-6);
    }
}
