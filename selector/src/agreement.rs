//! How much the candidates of a pool agree with one another.

use common::Votes;
use patch::{ClusterOptions, Digest, PoolStats, cluster_with};
use rustc_hash::FxHashMap;

use crate::pool::PreparedPool;

/// Agreement of every candidate with its pool, by position.
#[derive(Debug, Clone)]
pub(crate) struct Agreement {
    /// Cluster of near-duplicates, 0 the largest.
    pub(crate) cluster: Vec<u32>,
    /// Group of equal normalised changes, numbered by first member.
    pub(crate) exact: Vec<usize>,
    /// Counts at every level.
    pub(crate) votes: Vec<Votes>,
    /// Likeness of any two candidates.
    pub(crate) stats: PoolStats,
}

impl Agreement {
    /// Compares the candidates of a pool.
    pub(crate) fn of(pool: &PreparedPool) -> Self {
        let digests: Vec<&Digest> = pool.candidates.iter().map(|candidate| &candidate.digest).collect();
        let stats = PoolStats::new(&digests);
        let clusters = cluster_with(&stats, &digests, &ClusterOptions::default());
        let mut files: FxHashMap<u128, u32> = FxHashMap::default();
        for digest in &digests {
            *files.entry(digest.file_set().as_u128()).or_default() += 1;
        }
        let votes = stats
            .mean_similarity()
            .into_iter()
            .enumerate()
            .map(|(at, similarity)| Votes {
                exact: clusters.exact_sizes[clusters.exact[at] as usize],
                cluster: clusters.near_sizes[clusters.near[at] as usize],
                files: files[&digests[at].file_set().as_u128()],
                similarity: similarity.mean().clamp(0.0, 1.0),
            })
            .collect();
        Self { exact: stats.exact_classes().to_vec(), cluster: clusters.near, votes, stats }
    }
}
