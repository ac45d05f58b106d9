//! Loops over slices that the compiler turns into vector instructions.
//!
//! A function defined by [`vectorised!`] is compiled once for each kind of vector instructions there is, and runs the
//! widest that the processor has. What it calls must be `inline(always)` to be compiled along with it. Sums go through
//! a fixed number of partial sums, so results do not depend on that width.

#![expect(clippy::inline_always, reason = "must be compiled with the vector instructions of the caller")]

use std::sync::LazyLock;

use pulp::{Arch, WithSimd};

static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Runs what [`vectorised!`] made.
pub(crate) fn run<W: WithSimd>(work: W) -> W::Output {
    ARCH.dispatch(work)
}

/// Defines functions that are compiled for every kind of vector instructions. (A closure would not do: the compiler
/// decides whether to inline one, and what is not inlined is compiled for the oldest processors.)
macro_rules! vectorised {
    ($($(#[$doc:meta])* fn $name:ident<$($life:lifetime),+>($($arg:ident: $kind:ty),+ $(,)?) $body:block)+) => {
        $(
            $(#[$doc])*
            fn $name<$($life),+>($($arg: $kind),+) {
                struct Work<$($life),+> {
                    $($arg: $kind,)+
                }
                impl<$($life),+> pulp::WithSimd for Work<$($life),+> {
                    type Output = ();
                    #[inline(always)]
                    fn with_simd<S: pulp::Simd>(self, _: S) {
                        let Self { $($arg),+ } = self;
                        $body
                    }
                }
                $crate::simd::run(Work { $($arg),+ });
            }
        )+
    };
}
pub(crate) use vectorised;

const LANES: usize = 32;

/// eˣ with a relative error below 2⁻²²; 0 below −87, infinite above 88.
///
/// x = n·ln 2 + r with |r| ≤ ½ ln 2; the polynomial for eʳ is that of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding this rounds to an integer, which then lies in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, so that the remainder is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let clamped = if x > 88.0 { 88.0 } else { x };
    let clamped = if clamped < -87.0 { -87.0 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = clamped - whole * LN_2[0] - whole * LN_2[1];
    let mut power = 1.987_569_2e-4_f32;
    power = power * rest + 1.398_2e-3;
    power = power * rest + 8.333_452e-3;
    power = power * rest + 4.166_579_6e-2;
    power = power * rest + 1.666_666_5e-1;
    power = power * rest + 0.5;
    power = power * (rest * rest) + rest + 1.0;
    let scaled = f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23));
    let scaled = if x > 88.0 { f32::INFINITY } else { scaled };
    if x < -87.0 { 0.0 } else { scaled }
}

/// Adds the partial sums pairwise.
#[inline(always)]
fn fold(mut partial: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            partial[lane] = join(partial[lane], partial[lane + width]);
        }
        width /= 2;
    }
    partial[0]
}

/// `Σ term(i)` for i below `count`.
#[inline(always)]
pub(crate) fn sum(count: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut partial = [0.0; LANES];
    let whole = count / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in partial.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    for index in whole..count {
        partial[index - whole] += term(index);
    }
    fold(partial, |a, b| a + b)
}

/// Two sums at once, each as [`sum`] has it.
#[inline(always)]
pub(crate) fn sums(count: usize, term: impl Fn(usize) -> (f32, f32)) -> (f32, f32) {
    let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
    let whole = count / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for lane in 0..LANES {
            let (a, b) = term(start + lane);
            first[lane] += a;
            second[lane] += b;
        }
    }
    for index in whole..count {
        let (a, b) = term(index);
        first[index - whole] += a;
        second[index - whole] += b;
    }
    (fold(first, |a, b| a + b), fold(second, |a, b| a + b))
}

/// Replaces every element by `value` of it and returns the sum of what came of them, as [`sum`] has it.
#[inline(always)]
pub(crate) fn replace_and_sum(x: &mut [f32], value: impl Fn(f32) -> f32) -> f32 {
    let mut partial = [0.0; LANES];
    let (chunks, rest) = x.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (x, sum) in chunk.iter_mut().zip(&mut partial) {
            *x = value(*x);
            *sum += *x;
        }
    }
    for (x, sum) in rest.iter_mut().zip(&mut partial) {
        *x = value(*x);
        *sum += *x;
    }
    fold(partial, |a, b| a + b)
}

/// `x·y`.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let y = &y[..x.len()];
    sum(x.len(), |i| x[i] * y[i])
}

/// The largest element, −∞ of none; NaN is passed over.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut partial = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            partial[lane] = if chunk[lane] > partial[lane] { chunk[lane] } else { partial[lane] };
        }
    }
    let largest = fold(partial, |a, b| if b > a { b } else { a });
    rest.iter().fold(largest, |a, &b| if b > a { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_single_precision() {
        for step in -8_700..=8_800 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "exp({x}) is off by {error:e}");
        }
        assert_eq!((exp(0.0), exp(-1e9), exp(f32::NEG_INFINITY), exp(1e9)), (1.0, 0.0, 0.0, f32::INFINITY));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_and_maxima_of_any_length() {
        for len in 0..100_usize {
            let x: Vec<f32> = (0..len).map(|i| (i * 7 % 13) as f32).collect();
            assert_eq!(dot(&x, &x), x.iter().map(|a| a * a).sum::<f32>());
            let mut doubled = x.clone();
            assert_eq!(replace_and_sum(&mut doubled, |a| 2.0 * a), 2.0 * x.iter().sum::<f32>());
            assert!(doubled.iter().zip(&x).all(|(doubled, a)| *doubled == 2.0 * a));
            assert_eq!(max(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
