//! Rotary position embedding and SwiGLU.

use rayon::prelude::*;

use crate::raw::{Filler, filled};
use crate::simd::{exp, vectorised};
use crate::{CHUNK, row_chunks};

vectorised! {
    /// Turns the heads of tokens by the angles of their rows of cos and sin.
    fn turn<'a, 'b>(
        rows: &'a [f32],
        cos: &'a [f32],
        sin: &'a [f32],
        half: usize,
        width: usize,
        sign: f32,
        out: &'a mut Filler<'b>,
    ) {
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (token, (cos, sin)) in rows.chunks_exact(width).zip(angles) {
            for head in token.chunks_exact(2 * half) {
                let (first, second) = head.split_at(half);
                out.fill(half, |i| first[i] * cos[i] - second[i] * (sin[i] * sign));
                out.fill(half, |i| second[i] * cos[i] + first[i] * (sin[i] * sign));
            }
        }
    }

    fn turn_in_place<'a>(rows: &'a mut [f32], cos: &'a [f32], sin: &'a [f32], half: usize, width: usize, sign: f32) {
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (token, (cos, sin)) in rows.chunks_exact_mut(width).zip(angles) {
            for head in token.chunks_exact_mut(2 * half) {
                let (first, second) = head.split_at_mut(half);
                for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
                    let sin = sin * sign;
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }

    fn gate_up<'a, 'b>(gate: &'a [f32], up: &'a [f32], out: &'a mut Filler<'b>) {
        let up = &up[..gate.len()];
        out.fill(gate.len(), |i| gate[i] / (1.0 + exp(-gate[i])) * up[i]);
    }

    fn gate_in_place<'a>(gate: &'a mut [f32], up: &'a [f32]) {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = *gate / (1.0 + exp(-*gate)) * up;
        }
    }

    fn gate_gradient<'a, 'b>(gate: &'a [f32], up: &'a [f32], dy: &'a [f32], out: &'a mut Filler<'b>) {
        let (up, dy) = (&up[..gate.len()], &dy[..gate.len()]);
        out.fill(gate.len(), |i| {
            let s = 1.0 / (1.0 + exp(-gate[i]));
            dy[i] * up[i] * (s * (1.0 + gate[i] * (1.0 - s)))
        });
    }
}

/// Rotary position embedding in the half-split order: element i of a head is paired with element i + D/2.
///
/// x `[T, heads, D]`; cos and sin `[T, D/2]`. With `inverse` it turns back, which is also the gradient.
pub fn rope(x: &[f32], cos: &[f32], sin: &[f32], heads: usize, half: usize, inverse: bool) -> Vec<f32> {
    let width = heads * half * 2;
    assert!(x.len() * half == cos.len() * width && cos.len() == sin.len(), "an angle for every pair");
    let sign = if inverse { -1.0 } else { 1.0 };
    let lengths = row_chunks(x.len() / width.max(1), width);
    filled(&lengths, |chunk, out| {
        let start = lengths[0] * chunk;
        let rows = &x[start..start + lengths[chunk]];
        let angles = start / width * half..(start + rows.len()) / width * half;
        turn(rows, &cos[angles.clone()], &sin[angles], half, width, sign, out);
    })
}

/// [`rope`] in the place of x.
pub fn rope_in_place(x: &mut [f32], cos: &[f32], sin: &[f32], heads: usize, half: usize, inverse: bool) {
    let width = heads * half * 2;
    assert!(x.len() * half == cos.len() * width && cos.len() == sin.len(), "an angle for every pair");
    let sign = if inverse { -1.0 } else { 1.0 };
    let rows = row_chunks(x.len() / width.max(1), width).first().map_or(1, |len| len / width.max(1));
    x.par_chunks_mut(rows * width.max(1))
        .zip(cos.par_chunks(rows * half.max(1)).zip(sin.par_chunks(rows * half.max(1))))
        .for_each(|(x, (cos, sin))| turn_in_place(x, cos, sin, half, width, sign));
}

/// `silu(gate) · up`, where silu(x) = x / (1 + e⁻ˣ).
pub fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    assert_eq!(gate.len(), up.len(), "gate and up have one shape");
    let lengths = row_chunks(gate.len(), 1);
    filled(&lengths, |chunk, out| {
        let part = chunk * CHUNK..chunk * CHUNK + lengths[chunk];
        gate_up(&gate[part.clone()], &up[part], out);
    })
}

/// [`swiglu`] in the place of the gate.
pub fn swiglu_in_place(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate and up have one shape");
    gate.par_chunks_mut(CHUNK).zip(up.par_chunks(CHUNK)).for_each(|(gate, up)| gate_in_place(gate, up));
}

/// Gradients of [`swiglu`] with respect to gate and up.
///
/// With s = 1/(1 + e⁻ᵍ): d up = dy·g·s and d gate = dy·up·s·(1 + g·(1 − s)).
pub fn swiglu_backward(gate: &[f32], up: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
    assert!(gate.len() == up.len() && gate.len() == grad.len(), "gate, up and gradient have one shape");
    let lengths = row_chunks(gate.len(), 1);
    let part = |chunk: usize| chunk * CHUNK..chunk * CHUNK + lengths[chunk];
    let d_gate = filled(&lengths, |chunk, out| {
        gate_gradient(&gate[part(chunk)], &up[part(chunk)], &grad[part(chunk)], out);
    });
    (d_gate, swiglu(gate, grad))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, numeric_gradient, random, weighted};

    #[test]
    fn rope_turns_pairs_half_a_head_apart_and_back() {
        let (cos, sin): (Vec<f32>, Vec<f32>) = random(1, 300 * 4).iter().map(|a| (a.cos(), a.sin())).unzip();
        let x = random(2, 300 * 3 * 8);
        let turned = rope(&x, &cos, &sin, 3, 4, false);
        let (a, b) = (x[8 * 3 * 7 + 8 + 1], x[8 * 3 * 7 + 8 + 5]);
        let (cosine, sine) = (cos[7 * 4 + 1], sin[7 * 4 + 1]);
        assert_close(&turned[8 * 3 * 7 + 8 + 1..][..1], &[a * cosine - b * sine], 1e-6);
        assert_close(&turned[8 * 3 * 7 + 8 + 5..][..1], &[b * cosine + a * sine], 1e-6);
        assert_close(&rope(&turned, &cos, &sin, 3, 4, true), &x, 1e-6);
        for inverse in [false, true] {
            let mut place = x.clone();
            rope_in_place(&mut place, &cos, &sin, 3, 4, inverse);
            assert_eq!(place, rope(&x, &cos, &sin, 3, 4, inverse));
        }
    }

    #[test]
    fn swiglu_and_its_gradient() {
        let (gate, up, grad) = (random(3, 201), random(4, 201), random(5, 201));
        let silu = |g: f32| f64::from(g) / (1.0 + (-f64::from(g)).exp());
        let value = |gate: &[f32], up: &[f32]| -> Vec<f64> {
            gate.iter().zip(up).map(|(&g, &u)| silu(g) * f64::from(u)).collect()
        };
        let expected: Vec<f32> = value(&gate, &up).into_iter().map(|v| v as f32).collect();
        assert_close(&swiglu(&gate, &up), &expected, 1e-6);
        let mut place = gate.clone();
        swiglu_in_place(&mut place, &up);
        assert_eq!(place, swiglu(&gate, &up));
        let (d_gate, d_up) = swiglu_backward(&gate, &up, &grad);
        assert_close(&d_gate, &numeric_gradient(&gate, |g| weighted(&value(g, &up), &grad)), 1e-4);
        assert_close(&d_up, &numeric_gradient(&up, |u| weighted(&value(&gate, u), &grad)), 1e-4);
    }

    #[test]
    fn extreme_gates_stay_finite() {
        let gate = [-1e30, -200.0, 0.0, 200.0, 1e30];
        assert_eq!(swiglu(&gate, &[1.0; 5]), [0.0, 0.0, 0.0, 200.0, 1e30]);
        let (d_gate, d_up) = swiglu_backward(&gate, &[1.0; 5], &[1.0; 5]);
        assert!(d_gate.iter().chain(&d_up).all(|v| v.is_finite()));
    }
}
