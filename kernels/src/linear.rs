//! Products with weights `[O, I]` as checkpoints hold them.

use rayon::prelude::*;

use crate::product::{Mat, Threads, multiplied};
use crate::row_chunks;
use crate::simd::vectorised;

/// `x · weightᵀ + bias`; x `[rows, inputs]`, weight `[outputs, inputs]`, bias `[outputs]`.
pub fn linear(x: &[f32], weight: &[f32], bias: Option<&[f32]>, inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = x.len() / inputs;
    assert!(x.len() == rows * inputs && weight.len() == inputs * outputs, "rows are as wide as the weight");
    assert!(bias.is_none_or(|bias| bias.len() == outputs), "a bias for every output");
    let (x, weight) = (Mat::dense(x, rows, inputs), Mat::dense(weight, outputs, inputs));
    multiplied(x, weight.t(), bias, Threads::All)
}

/// Gradient of [`linear`] with respect to x: `grad · weight`.
pub fn linear_backward_input(grad: &[f32], weight: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = grad.len() / outputs;
    multiplied(Mat::dense(grad, rows, outputs), Mat::dense(weight, outputs, inputs), None, Threads::All)
}

/// Gradient of [`linear`] with respect to the weight: `gradᵀ · x`.
pub fn linear_backward_weight(grad: &[f32], x: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = grad.len() / outputs;
    assert_eq!(x.len(), rows * inputs, "a gradient for every row");
    multiplied(Mat::dense(grad, rows, outputs).t(), Mat::dense(x, rows, inputs), None, Threads::All)
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
                assert_eq!(some, all[..rows * outputs]);
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
