//! Whether and when to try again. Pure: time and randomness are handed in.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, StatusCode, header};

/// How often and how patiently to try again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetrySettings {
    /// Attempts after the first.
    pub retries: u32,
    /// The first wait is random up to this; each later one up to twice as much.
    pub base: Duration,
    /// No wait is longer.
    pub cap: Duration,
    /// Retries that every call earns: with 0.2 there is at most one retry per five calls in the long run.
    pub ratio: f64,
    /// Retries that may be saved up.
    pub burst: f64,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            retries: 3,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(5),
            ratio: 0.2,
            burst: 10.0,
        }
    }
}

/// Retries that may be spent. Without a budget, retries multiply the load on a service just when it has too much.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    left: f64,
    ratio: f64,
    burst: f64,
}

impl Budget {
    /// A full budget.
    pub fn new(settings: &RetrySettings) -> Self {
        Self { left: settings.burst, ratio: settings.ratio, burst: settings.burst }
    }

    /// A call (not a retry) earns its share.
    pub fn earn(&mut self) {
        self.left = (self.left + self.ratio).min(self.burst);
    }

    /// Takes one retry, if there is one.
    pub fn spend(&mut self) -> bool {
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

/// The wait before retry `number` (from 0): uniform between nothing and an exponentially growing bound ("full
/// jitter"), so that callers who failed together do not come back together. `random` is uniform in [0, 1).
pub fn wait(settings: &RetrySettings, number: u32, random: f64) -> Duration {
    let bound = settings.base.saturating_mul(1 << number.min(20)).min(settings.cap);
    bound.mul_f64(random.clamp(0.0, 1.0))
}

/// Whether the same request may succeed later: timeouts, too many requests, and errors of the server's side, except
/// those that say that the request itself cannot be served.
pub fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504 | 529)
}

/// What `Retry-After` asks for: seconds or a date.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Whether there is time for a wait before the deadline.
pub(super) fn fits(wait: Duration, now: Instant, deadline: Instant) -> bool {
    now.checked_add(wait).is_some_and(|then| then < deadline)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_budget_bounds_retries_in_the_long_run() {
        let mut budget = Budget::new(&RetrySettings { ratio: 0.2, burst: 2.0, ..RetrySettings::default() });
        let mut retries = 0;
        for _ in 0..1000 {
            budget.earn();
            retries += u32::from(budget.spend());
        }
        assert!((200..=202).contains(&retries), "{retries}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let headers = |value: &str| HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        assert_eq!(retry_after(&headers("7"), now), Some(Duration::from_secs(7)));
        let date = headers("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(retry_after(&date, now), Some(Duration::from_secs(77)));
        assert_eq!(retry_after(&headers("soon"), now), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn only_what_may_pass_is_transient() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(is_transient(StatusCode::from_u16(status).unwrap()), "{status}");
        }
        for status in [200, 301, 400, 401, 403, 404, 413, 422, 501] {
            assert!(!is_transient(StatusCode::from_u16(status).unwrap()), "{status}");
        }
    }

    proptest! {
        #[test]
        fn waits_stay_within_their_bounds(number in 0_u32..100, random in 0.0..1.0_f64) {
            let settings = RetrySettings::default();
            let waited = wait(&settings, number, random);
            prop_assert!(waited <= settings.cap);
            prop_assert!(waited <= settings.base * (1 << number.min(20)));
        }
    }
}
