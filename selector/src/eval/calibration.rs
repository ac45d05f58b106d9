//! Whether a confidence of 70 % is right 70 % of the time.

use serde::Serialize;

/// Bins of confidence.
const BINS: usize = 10;

/// Confidence against outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Picks that had a confidence.
    pub picks: usize,
    /// Expected calibration error: the mean over picks of |mean confidence − share resolved| of their bin.
    pub ece: f64,
    /// Mean squared difference of confidence and outcome.
    pub brier: f64,
    /// The bins that hold a pick.
    pub bins: Vec<Bin>,
}

/// Picks of similar confidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// Lower end, a multiple of a tenth.
    pub from: f64,
    /// Picks in it.
    pub picks: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that resolves.
    pub resolved: f64,
}

impl Calibration {
    /// Measures pairs of confidence in [0, 1] and (expected) outcome; a pair may weigh less than a whole pick.
    pub fn of(picks: &[(f64, f64)]) -> Self {
        let mut sums = [(0_usize, 0.0, 0.0); BINS];
        for &(confidence, outcome) in picks {
            let bin = &mut sums[((confidence * BINS as f64) as usize).min(BINS - 1)];
            *bin = (bin.0 + 1, bin.1 + confidence, bin.2 + outcome);
        }
        let count = picks.len().max(1) as f64;
        Self {
            picks: picks.len(),
            ece: sums.iter().map(|(_, confidence, outcome)| (confidence - outcome).abs()).sum::<f64>()
                / count,
            brier: picks.iter().map(|(confidence, outcome)| (confidence - outcome).powi(2)).sum::<f64>()
                / count,
            bins: sums
                .iter()
                .enumerate()
                .filter(|(_, bin)| bin.0 > 0)
                .map(|(at, &(picks, confidence, outcome))| Bin {
                    from: at as f64 / BINS as f64,
                    picks,
                    confidence: confidence / picks as f64,
                    resolved: outcome / picks as f64,
                })
                .collect(),
        }
    }
}

/// Unbiased chance that one of `k` candidates drawn from `n`, of which `right` resolve, resolves:
/// 1 − C(n − right, k) / C(n, k).
pub fn pass_at(n: usize, right: usize, k: usize) -> f64 {
    if k > n || n - right < k {
        return f64::from(u8::from(right > 0));
    }
    1.0 - (0..k).map(|drawn| (n - right - drawn) as f64 / (n - drawn) as f64).product::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pass_at_golden() {
        assert!((pass_at(16, 3, 1) - 0.1875).abs() < 1e-12);
        assert!((pass_at(16, 3, 4) - 0.607_142_857).abs() < 1e-9);
        assert_eq!(pass_at(16, 3, 16), 1.0);
        assert_eq!(pass_at(4, 0, 8), 0.0);
    }

    #[test]
    fn error_of_a_known_case() {
        let picks = [(0.25, 0.0), (0.25, 1.0), (0.95, 1.0), (1.0, 1.0)];
        let measured = Calibration::of(&picks);
        // bin .2: |.5 − 1| , bin .9: |1.95 − 2|, over four picks
        assert!((measured.ece - (0.5 + 0.05) / 4.0).abs() < 1e-12, "{measured:?}");
        assert_eq!(measured.bins.len(), 2);
    }
}
