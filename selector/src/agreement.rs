//! How much the candidates of a pool agree with one another.

use common::Votes;

use crate::pool::PreparedPool;

/// Agreement of every candidate with its pool, by position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agreement {
    /// Cluster of near-duplicates, 0 the largest.
    pub(crate) cluster: Vec<u32>,
    /// Group of equal normalised changes.
    pub(crate) exact: Vec<usize>,
    /// Counts at every level.
    pub(crate) votes: Vec<Votes>,
}

impl Agreement {
    /// Compares the candidates of a pool.
    pub(crate) fn of(pool: &PreparedPool) -> Self {
        let patches: Vec<&str> = pool.candidates.iter().map(|candidate| candidate.patch.as_str()).collect();
        let first = |patch: &str| patches.iter().position(|other| *other == patch).unwrap_or_default();
        let exact: Vec<usize> = patches.iter().map(|patch| first(patch)).collect();
        let count = |group: usize| exact.iter().filter(|other| **other == group).count() as u32;
        let votes = exact
            .iter()
            .map(|&group| Votes {
                exact: count(group),
                cluster: count(group),
                files: count(group),
                similarity: 0.0,
            })
            .collect();
        Self { cluster: exact.iter().map(|&group| group as u32).collect(), exact, votes }
    }
}
