//! Medians and percentiles of measured times.

use std::time::Duration;

/// Times in milliseconds, sorted.
#[derive(Debug)]
pub(super) struct Times(Vec<f64>);

impl Times {
    pub(super) fn new(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<f64> = times.into_iter().map(|time| 1000.0 * time.as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// The nearest-rank percentile in milliseconds; NaN when nothing was measured.
    pub(super) fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}

/// Three significant digits or so, for a table.
pub(super) fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let times = Times::new((1..=100).rev().map(Duration::from_millis));
        assert_eq!(
            [times.percentile(50.0), times.percentile(99.0), times.percentile(100.0)],
            [50.0, 99.0, 100.0]
        );
        assert!(Times::new([]).percentile(50.0).is_nan());
    }

    #[test]
    fn figures_keep_three_digits() {
        assert_eq!(
            [rounded(1234.5), rounded(12.34), rounded(1.234)],
            ["1234", "12.3", "1.23"].map(str::to_owned)
        );
    }
}
