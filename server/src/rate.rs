//! How many requests a caller may send in a second: one bucket a token, refilled steadily.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{
    auth::Caller,
    problem::{Kind, Problem},
};

/// Buckets that are kept at most; beyond it those that are full are forgotten, which changes nothing for their owners.
const MOST: usize = 4096;

/// The buckets of one service; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Rates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Requests in a second, and at once after a pause; 0 for no limit.
    per_second: f64,
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    pub(crate) fn new(per_second: u32) -> Self {
        Self(Arc::new(Inner { per_second: f64::from(per_second), buckets: Mutex::default() }))
    }

    /// Takes one request out of a caller's bucket, or says when there will be one.
    fn take(&self, who: &str, now: Instant) -> Result<(), Duration> {
        let Inner { per_second, buckets } = &*self.0;
        if *per_second == 0.0 {
            return Ok(());
        }
        let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let refilled = |bucket: &Bucket| {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.left + passed * per_second).min(*per_second)
        };
        if buckets.len() >= MOST && !buckets.contains_key(who) {
            buckets.retain(|_, bucket| refilled(bucket) < *per_second);
        }
        let bucket = buckets.entry(who.to_owned()).or_insert(Bucket { left: *per_second, at: now });
        let left = refilled(bucket);
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) / per_second));
        }
        *bucket = Bucket { left: left - 1.0, at: now };
        Ok(())
    }
}

/// Refuses callers that send more than they may, with the time after which they may again.
pub(crate) async fn limit_rate(State(rates): State<Rates>, request: Request, next: Next) -> Response {
    // Before this layer only those that were let in.
    let Some(caller) = request.extensions().get::<Caller>() else { return next.run(request).await };
    match rates.take(&format!("{} {}", caller.tenant, caller.id), Instant::now()) {
        Ok(()) => next.run(request).await,
        Err(wait) => {
            let detail = format!("this token may send {} requests a second", rates.0.per_second);
            Problem::new(Kind::RateLimited, detail).with_retry_after(wait).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_it_holds_and_refills() {
        let rates = Rates::new(10);
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(rates.take("a", start), Ok(()));
        }
        let wait = rates.take("a", start).unwrap_err();
        assert!((0.09..=0.11).contains(&wait.as_secs_f64()), "{wait:?}");
        assert_eq!(rates.take("b", start), Ok(()), "others have their own");
        assert_eq!(rates.take("a", start + Duration::from_millis(101)), Ok(()));
        assert!(rates.take("a", start + Duration::from_millis(102)).is_err());
        // A pause does not save up more than a second's worth.
        let later = start + Duration::from_secs(100);
        assert_eq!((0..20).filter(|_| rates.take("a", later).is_ok()).count(), 10);
    }

    #[test]
    fn zero_is_no_limit_and_memory_is_bounded() {
        let off = Rates::new(0);
        assert!((0..1000).all(|_| off.take("a", Instant::now()).is_ok()));
        let rates = Rates::new(1);
        let start = Instant::now();
        for number in 0..3 * MOST as u64 {
            let now = start + Duration::from_secs(number);
            assert_eq!(rates.take(&format!("caller {number}"), now), Ok(()));
        }
        assert!(rates.0.buckets.lock().unwrap().len() <= MOST);
    }
}
