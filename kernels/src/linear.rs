//! Products with weights `[O, I]` as checkpoints hold them.

use rayon::prelude::*;

use crate::raw::{Mat, Threads, filled, multiplied, multiply};
use crate::row_chunks;
use crate::simd::vectorised;

/// `x · weightᵀ + bias`; x `[rows, inputs]`, weight `[outputs, inputs]`, bias `[outputs]`.
pub fn linear(x: &[f32], weight: &[f32], bias: Option<&[f32]>, inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = x.len() / inputs;
    assert!(x.len() == rows * inputs && weight.len() == inputs * outputs, "rows are as wide as the weight");
    assert!(bias.is_none_or(|bias| bias.len() == outputs), "a bias for every output");
    let (x, weight) = (Mat::dense(x, rows, inputs), Mat::dense(weight, outputs, inputs));
    // The product packs the matrix whose rows become columns of its result: the weight, or x if the result is made the
    // other way round and turned afterwards. For few rows that is half the work.
    if (2..=FEW).contains(&rows) && rows * (inputs + outputs) < inputs * outputs {
        return turned(&multiplied(weight, x.t(), Threads::All), bias, rows, outputs);
    }
    let Some(bias) = bias else { return multiplied(x, weight.t(), Threads::All) };
    let mut out = bias.repeat(rows);
    multiply(&mut out, outputs, true, x, weight.t(), Threads::All);
    out
}

/// Rows up to which turning the result was found to be faster.
const FEW: usize = 128;

/// Rows that are turned together: what is read of a column fills a line of the cache.
const TURNED: usize = 16;

/// The transpose `[rows, outputs]` of columns `[outputs, rows]`, plus the bias.
fn turned(columns: &[f32], bias: Option<&[f32]>, rows: usize, outputs: usize) -> Vec<f32> {
    let lengths: Vec<usize> =
        (0..rows).step_by(TURNED).map(|first| TURNED.min(rows - first) * outputs).collect();
    // Rows of a power of two would all fall on the same few places of the cache.
    let step = outputs + TURNED;
    filled(&lengths, |block, out| {
        let (first, count) = (block * TURNED, lengths[block] / outputs);
        let mut turned = vec![0.0; count * step];
        for (output, column) in columns.chunks_exact(rows).enumerate() {
            let add = bias.map_or(0.0, |bias| bias[output]);
            for (row, value) in column[first..first + count].iter().enumerate() {
                turned[row * step + output] = value + add;
            }
        }
        for row in turned.chunks_exact(step) {
            out.copy(&row[..outputs]);
        }
    })
}

/// Gradient of [`linear`] with respect to x: `grad · weight`.
pub fn linear_backward_input(grad: &[f32], weight: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = grad.len() / outputs;
    multiplied(Mat::dense(grad, rows, outputs), Mat::dense(weight, outputs, inputs), Threads::All)
}

/// Gradient of [`linear`] with respect to the weight: `gradᵀ · x`.
pub fn linear_backward_weight(grad: &[f32], x: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = grad.len() / outputs;
    assert_eq!(x.len(), rows * inputs, "a gradient for every row");
    multiplied(Mat::dense(grad, rows, outputs).t(), Mat::dense(x, rows, inputs), Threads::All)
}

/// The sum of rows of this width, which is the gradient of a bias.
pub fn sum_rows(x: &[f32], width: usize) -> Vec<f32> {
    let chunk = row_chunks(x.len() / width, width).first().copied().unwrap_or(width);
    let partial: Vec<Vec<f32>> = x
        .par_chunks(chunk)
        .map(|rows| {
            let mut total = vec![0.0; width];
            add_rows(&mut total, rows);
            total
        })
        .collect();
    let mut total = vec![0.0; width];
    for part in &partial {
        add_rows(&mut total, part);
    }
    total
}

vectorised! {
    fn add_rows<'a>(total: &'a mut [f32], rows: &'a [f32]) {
        for row in rows.chunks_exact(total.len()) {
            for (sum, value) in total.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, random};

    #[test]
    fn few_rows_and_many_rows_come_out_alike() {
        let (inputs, outputs) = (40, 50);
        let (x, weight, bias) = (random(5, 60 * inputs), random(6, outputs * inputs), random(7, outputs));
        for bias in [None, Some(bias.as_slice())] {
            let all = linear(&x, &weight, bias, inputs, outputs);
            for rows in [1, 2, 16, 17, 21] {
                let some = linear(&x[..rows * inputs], &weight, bias, inputs, outputs);
                assert_close(&some, &all[..rows * outputs], 1e-6);
            }
        }
    }

    #[test]
    fn a_product_with_bias_and_its_gradients() {
        let (x, weight, bias, grad) = (random(1, 7 * 5), random(2, 3 * 5), random(3, 3), random(4, 7 * 3));
        let y = linear(&x, &weight, Some(&bias), 5, 3);
        let dx = linear_backward_input(&grad, &weight, 5, 3);
        let dw = linear_backward_weight(&grad, &x, 5, 3);
        let db = sum_rows(&grad, 3);
        for row in 0..7 {
            for o in 0..3 {
                let dot: f32 = (0..5).map(|i| x[row * 5 + i] * weight[o * 5 + i]).sum();
                assert_close(&[y[row * 3 + o]], &[dot + bias[o]], 1e-5);
            }
            for i in 0..5 {
                let dot: f32 = (0..3).map(|o| grad[row * 3 + o] * weight[o * 5 + i]).sum();
                assert_close(&[dx[row * 5 + i]], &[dot], 1e-5);
            }
        }
        for o in 0..3 {
            assert_close(&[db[o]], &[(0..7).map(|row| grad[row * 3 + o]).sum()], 1e-5);
            for i in 0..5 {
                let dot: f32 = (0..7).map(|row| grad[row * 3 + o] * x[row * 5 + i]).sum();
                assert_close(&[dw[o * 5 + i]], &[dot], 1e-5);
            }
        }
    }
}
