//! Drawing a token.

use rand_xoshiro::{
    SplitMix64,
    rand_core::{RngCore as _, SeedableRng as _},
};

/// SplitMix64 (Steele, Lea and Flood, 2014): small, the same everywhere, and good enough to draw tokens with.
#[derive(Debug, Clone)]
pub struct Draws(SplitMix64);

impl Draws {
    /// The draws of a seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A token by the probabilities of its logits; None if no logit is finite.
    pub fn token(&mut self, logits: &[f32]) -> Option<u32> {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if !highest.is_finite() {
            return None;
        }
        let weight = |logit: f32| f64::from(logit - highest).exp();
        let total: f64 = logits.iter().map(|logit| weight(*logit)).sum();
        let mut left = self.uniform() * total;
        let mut chosen = None;
        for (id, logit) in logits.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY) {
            chosen = Some(id as u32);
            left -= weight(*logit);
            if left < 0.0 {
                break;
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        let mut draws = Draws::new(1_234_567);
        let first = [draws.0.next_u64(), draws.0.next_u64()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn draws_by_probability_and_never_what_was_removed() {
        let logits = [0.7_f32.ln(), f32::NEG_INFINITY, 0.3_f32.ln()];
        let mut draws = Draws::new(7);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[draws.token(&logits).unwrap() as usize] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((6_800..7_200).contains(&counts[0]), "{counts:?}");
        assert_eq!(draws.token(&[f32::NEG_INFINITY]), None);
    }
}
