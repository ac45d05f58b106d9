//! What the patches of one issue have in common, computed once and used by clusters and features alike.

use rustc_hash::FxHashMap;

use crate::{Digest, Overlap, Similarity};

/// The pairwise likeness of the patches of a pool. Patches with one exact fingerprint are compared once.
#[derive(Debug, Clone)]
pub struct PoolStats {
    /// For each candidate, its exact class; classes are numbered by first member.
    class: Vec<usize>,
    /// For each class, its members in order.
    members: Vec<Vec<usize>>,
    lines: Overlap,
    tokens: Overlap,
}

impl PoolStats {
    /// Compares all patches of a pool.
    pub fn new(digests: &[&Digest]) -> Self {
        let mut known: FxHashMap<u128, usize> = FxHashMap::default();
        let mut members: Vec<Vec<usize>> = Vec::new();
        let mut class = Vec::with_capacity(digests.len());
        for (at, digest) in digests.iter().enumerate() {
            let next = members.len();
            let found = *known.entry(digest.exact().as_u128()).or_insert(next);
            if found == next {
                members.push(Vec::new());
            }
            members[found].push(at);
            class.push(found);
        }
        let each = |part: fn(&Digest) -> &[u64]| -> Overlap {
            Overlap::new(&members.iter().map(|members| part(digests[members[0]])).collect::<Vec<_>>())
        };
        let (lines, tokens) = (each(Digest::lines), each(Digest::file_tokens));
        Self { class, members, lines, tokens }
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.class.len()
    }

    /// Whether the pool is empty.
    pub fn is_empty(&self) -> bool {
        self.class.is_empty()
    }

    /// For each candidate, its class of equal normalised change; classes are numbered by first member.
    pub fn exact_classes(&self) -> &[usize] {
        &self.class
    }

    /// For each exact class, its members in order.
    pub fn exact_members(&self) -> &[Vec<usize>] {
        &self.members
    }

    /// Likeness of candidates `a` and `b`: what [`crate::similarity`] gives.
    pub fn similarity(&self, a: usize, b: usize) -> Similarity {
        self.class_similarity(self.class[a], self.class[b])
    }

    /// Likeness of two exact classes.
    pub fn class_similarity(&self, a: usize, b: usize) -> Similarity {
        if a == b {
            return Similarity::SAME;
        }
        Similarity { lines: self.lines.jaccard(a, b), tokens: self.tokens.jaccard(a, b) }
    }

    /// For each candidate, the mean of its similarity to all others; 1 for a pool of one.
    pub fn mean_similarity(&self) -> Vec<Similarity> {
        let others = self.len().saturating_sub(1);
        let per_class: Vec<Similarity> = (0..self.members.len())
            .map(|a| {
                if others == 0 {
                    return Similarity::SAME;
                }
                let mut sum = Similarity::default();
                for (b, members) in self.members.iter().enumerate() {
                    let weight = (members.len() - usize::from(a == b)) as f64;
                    let similarity = self.class_similarity(a, b);
                    sum.lines += weight * similarity.lines;
                    sum.tokens += weight * similarity.tokens;
                }
                Similarity { lines: sum.lines / others as f64, tokens: sum.tokens / others as f64 }
            })
            .collect();
        self.class.iter().map(|class| per_class[*class]).collect()
    }
}
