//! Steps of optimisers on parameters, in place: each reads and writes memory once.

use rayon::prelude::*;

use crate::CHUNK;

/// A step of AdamW (arXiv 1711.05101), as PyTorch computes it: decay apart from the gradient, ε outside the root after
/// bias correction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Which step this is, from 1.
    pub step: u64,
    /// Factor of the gradient, from clipping.
    pub scale: f64,
}

impl AdamW {
    /// Moves `weight` and the moments.
    ///
    /// # Panics
    ///
    /// When the lengths differ.
    pub fn apply(&self, weight: &mut [f32], first: &mut [f32], second: &mut [f32], grad: &[f32]) {
        assert!(
            weight.len() == grad.len() && first.len() == grad.len() && second.len() == grad.len(),
            "moments and gradient for every weight"
        );
        let exponent = self.step as f64;
        let correction1 = 1.0 - self.beta1.powf(exponent);
        let correction2 = 1.0 - self.beta2.powf(exponent);
        let scale = self.scale as f32;
        let keep = (1.0 - self.learning_rate * self.weight_decay) as f32;
        let (beta2, rest1, rest2) = (self.beta2 as f32, (1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let size = (self.learning_rate / correction1) as f32;
        let (root2, epsilon) = (correction2.sqrt() as f32, self.epsilon as f32);
        let parts = weight.par_chunks_mut(CHUNK).zip(first.par_chunks_mut(CHUNK));
        let parts = parts.zip(second.par_chunks_mut(CHUNK)).zip(grad.par_chunks(CHUNK));
        parts.for_each(|(((weight, first), second), grad)| {
            let moments = first.iter_mut().zip(second.iter_mut());
            for ((weight, (first, second)), grad) in weight.iter_mut().zip(moments).zip(grad) {
                let grad = grad * scale;
                *first += rest1 * (grad - *first);
                *second = beta2 * *second + rest2 * grad * grad;
                let denominator = second.sqrt() / root2 + epsilon;
                *weight = keep * *weight - size * *first / denominator;
            }
        });
    }
}

/// A step of stochastic gradient descent, as PyTorch computes it: decay added to the gradient, momentum without
/// dampening.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub learning_rate: f64,
    /// Share of the last step that is kept; 0 for none.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Factor of the gradient, from clipping.
    pub scale: f64,
}

impl Sgd {
    /// Moves `weight` and, if there is one, the momentum.
    ///
    /// # Panics
    ///
    /// When the lengths differ.
    pub fn apply(&self, weight: &mut [f32], momentum: Option<&mut [f32]>, grad: &[f32]) {
        assert_eq!(weight.len(), grad.len(), "a gradient for every weight");
        let (rate, decay, scale) = (self.learning_rate as f32, self.weight_decay as f32, self.scale as f32);
        let Some(momentum) = momentum else {
            weight.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK)).for_each(|(weight, grad)| {
                for (weight, grad) in weight.iter_mut().zip(grad) {
                    *weight -= rate * (grad * scale + decay * *weight);
                }
            });
            return;
        };
        assert_eq!(momentum.len(), grad.len(), "a momentum for every weight");
        let kept = self.momentum as f32;
        let parts = weight.par_chunks_mut(CHUNK).zip(momentum.par_chunks_mut(CHUNK));
        parts.zip(grad.par_chunks(CHUNK)).for_each(|((weight, momentum), grad)| {
            for ((weight, momentum), grad) in weight.iter_mut().zip(momentum.iter_mut()).zip(grad) {
                *momentum = kept * *momentum + (grad * scale + decay * *weight);
                *weight -= rate * *momentum;
            }
        });
    }
}

/// A step of Lion (arXiv 2302.06675): the sign of an interpolated momentum, with half of AdamW's memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lion {
    /// Learning rate; three to ten times less than AdamW's.
    pub learning_rate: f64,
    /// Weight of the momentum in the step's direction.
    pub beta1: f64,
    /// Decay of the momentum.
    pub beta2: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Factor of the gradient, from clipping.
    pub scale: f64,
}

impl Lion {
    /// Moves `weight` and the momentum.
    ///
    /// # Panics
    ///
    /// When the lengths differ.
    pub fn apply(&self, weight: &mut [f32], momentum: &mut [f32], grad: &[f32]) {
        assert!(weight.len() == grad.len() && momentum.len() == grad.len(), "one of each for every weight");
        let (rate, scale) = (self.learning_rate as f32, self.scale as f32);
        let keep = (1.0 - self.learning_rate * self.weight_decay) as f32;
        let (beta1, beta2) = (self.beta1 as f32, self.beta2 as f32);
        let parts = weight.par_chunks_mut(CHUNK).zip(momentum.par_chunks_mut(CHUNK));
        parts.zip(grad.par_chunks(CHUNK)).for_each(|((weight, momentum), grad)| {
            for ((weight, momentum), grad) in weight.iter_mut().zip(momentum.iter_mut()).zip(grad) {
                let grad = grad * scale;
                let direction = beta1 * *momentum + (1.0 - beta1) * grad;
                // f32::signum is 1 at 0.
                let sign = if direction == 0.0 { 0.0 } else { direction.signum() };
                *weight = keep * *weight - rate * sign;
                *momentum = beta2 * *momentum + (1.0 - beta2) * grad;
            }
        });
    }
}

/// Σ x², in double precision and in an order that depends on the length alone.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let parts: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|part| part.iter().map(|&value| f64::from(value) * f64::from(value)).sum())
        .collect();
    parts.iter().sum()
}

/// Adds `more` to `sum`, element by element.
///
/// # Panics
///
/// When the lengths differ.
pub fn add(sum: &mut [f32], more: &[f32]) {
    assert_eq!(sum.len(), more.len(), "as many on both sides");
    sum.par_chunks_mut(CHUNK).zip(more.par_chunks(CHUNK)).for_each(|(sum, more)| {
        for (sum, more) in sum.iter_mut().zip(more) {
            *sum += more;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, random};

    #[test]
    fn adamw_is_its_formula() {
        let count = CHUNK + 7;
        let (mut weight, mut first, mut second) = (random(1, count), vec![0.0; count], vec![0.0; count]);
        let mut expected: Vec<[f64; 3]> = weight.iter().map(|&w| [f64::from(w), 0.0, 0.0]).collect();
        for step in 1..=5 {
            let grad = random(10 + step, count);
            let adamw = AdamW {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.99,
                epsilon: 1e-8,
                weight_decay: 0.1,
                step,
                scale: 0.5,
            };
            adamw.apply(&mut weight, &mut first, &mut second, &grad);
            for ([w, m, v], g) in expected.iter_mut().zip(&grad) {
                let g = 0.5 * f64::from(*g);
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.99 * *v + 0.01 * g * g;
                let (m, v) =
                    (*m / (1.0 - 0.9_f64.powi(step as i32)), *v / (1.0 - 0.99_f64.powi(step as i32)));
                *w -= 0.01 * (0.1 * *w + m / (v.sqrt() + 1e-8));
            }
        }
        let expected: Vec<f32> = expected.iter().map(|[w, ..]| *w as f32).collect();
        assert_close(&weight, &expected, 1e-5);
    }

    #[test]
    fn descent_goes_down_with_and_without_momentum() {
        let grad = [2.0, -4.0];
        let sgd = Sgd { learning_rate: 0.1, momentum: 0.0, weight_decay: 0.5, scale: 0.5 };
        let mut weight = [1.0, 1.0];
        sgd.apply(&mut weight, None, &grad);
        assert_close(&weight, &[1.0 - 0.1 * 1.5, 1.0 + 0.1 * 1.5], 1e-6);
        let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, scale: 1.0 };
        let (mut weight, mut momentum) = ([0.0, 0.0], [1.0, 0.0]);
        sgd.apply(&mut weight, Some(&mut momentum), &grad);
        assert_close(&momentum, &[2.9, -4.0], 1e-6);
        assert_close(&weight, &[-0.29, 0.4], 1e-6);
    }

    #[test]
    fn lion_steps_by_the_sign() {
        let lion = Lion { learning_rate: 0.1, beta1: 0.9, beta2: 0.99, weight_decay: 0.0, scale: 1.0 };
        let (mut weight, mut momentum) = ([1.0, 1.0, 1.0], [1.0, -1.0, 0.0]);
        lion.apply(&mut weight, &mut momentum, &[-1.0, 2.0, 0.0]);
        assert_close(&weight, &[0.9, 1.1, 1.0], 1e-6);
        assert_close(&momentum, &[0.98, -0.97, 0.0], 1e-6);
    }

    #[test]
    fn sums_are_those_of_their_elements() {
        let values = random(3, 3 * CHUNK + 1);
        let expected: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
        assert!((sum_of_squares(&values) - expected).abs() < 1e-9 * expected);
        let mut sum = values.clone();
        add(&mut sum, &values);
        assert!(sum.iter().zip(&values).all(|(sum, value)| *sum == 2.0 * value));
    }
}
