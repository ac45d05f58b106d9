//! Scores that were computed before, by what was scored and by which model.

use std::sync::Arc;

use moka::{policy::EvictionPolicy, sync::Cache};

use crate::RawScore;

/// What a score without turns or labels takes in memory, with its key and the cache's own records; measured, with a
/// million of them.
const OVERHEAD: usize = 448;

/// A cache bounded by bytes, shared by all models. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ScoreCache(Cache<Key, Arc<RawScore>>);

/// Content of the prepared example and revision of the model.
type Key = ([u8; 32], Arc<str>);

impl ScoreCache {
    /// Room for about so many bytes; with 0 nothing is kept.
    pub fn new(bytes: u64) -> Self {
        let weigh = |(_, revision): &Key, score: &Arc<RawScore>| {
            let numbers = score.turn_logits.len() + score.labels.len();
            u32::try_from(OVERHEAD + revision.len() + 8 * numbers).unwrap_or(u32::MAX)
        };
        // The oldest go first. By how often they were asked for, which is the library's default, a full cache would keep
        // scores of issues that are long settled, and take none of those that are being worked on.
        Self(
            Cache::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        )
    }

    pub(super) fn get(&self, content: [u8; 32], revision: &Arc<str>) -> Option<Arc<RawScore>> {
        self.0.get(&(content, Arc::clone(revision)))
    }

    pub(super) fn put(&self, content: [u8; 32], revision: &Arc<str>, score: Arc<RawScore>) {
        self.0.insert((content, Arc::clone(revision)), score);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cache_takes_new_scores() {
        let cache = ScoreCache::new(100_000);
        let revision: Arc<str> = "r".into();
        for index in 0..1_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&index.to_le_bytes());
            cache.put(key, &revision, Arc::default());
            cache.0.run_pending_tasks();
            assert!(cache.get(key, &revision).is_some(), "{index}");
        }
        assert_eq!(cache.get([0; 32], &revision), None);
    }

    #[test]
    fn scores_are_kept_by_content_and_revision_within_the_bound() {
        let cache = ScoreCache::new(100_000);
        let (one, two): (Arc<str>, Arc<str>) = ("r1".into(), "r2".into());
        let score = Arc::new(RawScore { logit: Some(1.0), ..RawScore::default() });
        cache.put([1; 32], &one, Arc::clone(&score));
        assert_eq!(cache.get([1; 32], &one), Some(score));
        assert_eq!(cache.get([1; 32], &two), None);
        assert_eq!(cache.get([2; 32], &one), None);
        let long = Arc::new(RawScore { turn_logits: vec![0.0; 1_000], ..RawScore::default() });
        for index in 0..200_u8 {
            cache.put([index; 32], &two, Arc::clone(&long));
        }
        cache.0.run_pending_tasks();
        assert!(cache.0.weighted_size() <= 100_000, "{}", cache.0.weighted_size());
        cache.clear();
        assert_eq!(cache.get([1; 32], &one), None);
    }
}
