//! How fast the model works, from what it has done.

use std::time::Duration;

/// Weight of the latest batch in the mean.
const WEIGHT: f64 = 0.2;
/// What is promised before anything was measured.
const UNKNOWN: Duration = Duration::from_secs(1);
/// The longest wait that is asked of a client.
const LONGEST: Duration = Duration::from_mins(5);

/// Tokens a second, as a moving mean over batches.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    per_second: f64,
}

impl Rate {
    /// A batch of so many tokens took so long.
    pub fn observe(&mut self, tokens: u64, took: Duration) {
        let measured = tokens as f64 / took.as_secs_f64().max(1e-6);
        self.per_second = if self.per_second == 0.0 {
            measured
        } else {
            self.per_second + WEIGHT * (measured - self.per_second)
        };
    }

    /// How long so many tokens will take: at least a second, at most five minutes.
    pub fn time_for(&self, tokens: u64) -> Duration {
        if self.per_second <= 0.0 {
            return UNKNOWN;
        }
        let seconds = (tokens as f64 / self.per_second).clamp(0.0, LONGEST.as_secs_f64());
        Duration::from_secs_f64(seconds).max(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_what_was_measured_and_stay_within_reason() {
        let mut rate = Rate::default();
        assert_eq!(rate.time_for(1_000_000), UNKNOWN);
        rate.observe(10_000, Duration::from_secs(1));
        assert_eq!(rate.time_for(100_000), Duration::from_secs(10));
        rate.observe(20_000, Duration::from_secs(1));
        assert_eq!(rate.time_for(120_000), Duration::from_secs(10));
        assert_eq!(rate.time_for(u64::MAX), LONGEST);
        rate.observe(1, Duration::ZERO);
        assert_eq!(rate.time_for(1), UNKNOWN);
    }
}
