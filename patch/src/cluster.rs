//! Groups patches: first those that do exactly the same, then those that nearly do.

use kodama::{Method, linkage};
use serde::{Deserialize, Serialize};

use crate::{Digest, PoolStats};

/// How near is near.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClusterOptions {
    /// Two groups are joined while their linkage similarity is at least this.
    pub threshold: f64,
    /// How the similarity of two groups follows from that of their members.
    pub linkage: Linkage,
}

impl Default for ClusterOptions {
    /// Average linkage at 0.8 (see `docs/patches.md` for how the threshold was chosen).
    fn default() -> Self {
        Self { threshold: 0.8, linkage: Linkage::Average }
    }
}

/// How the similarity of two groups follows from that of their members. Members are exact classes, not candidates:
/// a change that many candidates share has no more pull than one that few do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Linkage {
    /// The mean over all pairs.
    Average,
    /// The least over all pairs: every two members of a group are at least as near as the threshold.
    Complete,
}

/// The groups of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clusters {
    /// For each candidate, its group, from 0: largest first, then by first member.
    pub near: Vec<u32>,
    /// For each candidate, its group of equal normalised change, numbered in the same way.
    pub exact: Vec<u32>,
    /// Size of each group of [`Clusters::near`].
    pub near_sizes: Vec<u32>,
    /// Size of each group of [`Clusters::exact`].
    pub exact_sizes: Vec<u32>,
}

/// Groups the patches of a pool. Deterministic, and up to the numbering independent of the order of candidates.
pub fn cluster(digests: &[&Digest], options: &ClusterOptions) -> Clusters {
    cluster_with(&PoolStats::new(digests), digests, options)
}

/// As [`cluster`], on likenesses that are already computed.
pub fn cluster_with(stats: &PoolStats, digests: &[&Digest], options: &ClusterOptions) -> Clusters {
    let members = stats.exact_members();
    // Ties in the linkage fall by place, so the places must not depend on the order of candidates.
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_unstable_by_key(|class| digests[members[*class][0]].exact());
    let group_of = join(stats, &order, options);
    let near: Vec<usize> = stats.exact_classes().iter().map(|class| group_of[*class]).collect();
    let (near, near_sizes) = number(&near);
    let (exact, exact_sizes) = number(stats.exact_classes());
    Clusters { near, exact, near_sizes, exact_sizes }
}

/// Joins exact classes; returns for each class any label that its group shares.
fn join(stats: &PoolStats, order: &[usize], options: &ClusterOptions) -> Vec<usize> {
    let n = order.len();
    let mut distances = Vec::with_capacity(n * n.saturating_sub(1) / 2);
    for (at, a) in order.iter().enumerate() {
        for b in &order[at + 1..] {
            distances.push(1.0 - stats.class_similarity(*a, *b).mean());
        }
    }
    let method = match options.linkage {
        Linkage::Average => Method::Average,
        Linkage::Complete => Method::Complete,
    };
    // Label of the group that each node of the dendrogram stands for; a step that is too far joins nothing, and
    // since steps only grow further apart, nothing above it either.
    let mut label: Vec<usize> = order.to_vec();
    let mut group: Vec<usize> = (0..n).collect();
    if n > 1 {
        let tree = linkage(&mut distances, n, method);
        for step in tree.steps() {
            let (a, b) = (label[step.cluster1], label[step.cluster2]);
            // Rounding in the linkage must not part two groups that are exactly at the threshold.
            if 1.0 - step.dissimilarity + 1e-9 >= options.threshold {
                let (from, to) = (a.max(b), a.min(b));
                for class in &mut group {
                    if *class == from {
                        *class = to;
                    }
                }
                label.push(to);
            } else {
                label.push(a);
            }
        }
    }
    group
}

/// Numbers groups by size, largest first, then by first member.
fn number(labels: &[usize]) -> (Vec<u32>, Vec<u32>) {
    let labels_end = labels.iter().max().map_or(0, |last| last + 1);
    let mut groups: Vec<(usize, usize)> = vec![(0, usize::MAX); labels_end];
    for (at, label) in labels.iter().enumerate() {
        let group = &mut groups[*label];
        group.0 += 1;
        group.1 = group.1.min(at);
    }
    let mut order: Vec<usize> = (0..labels_end).filter(|label| groups[*label].0 > 0).collect();
    order.sort_unstable_by_key(|label| (std::cmp::Reverse(groups[*label].0), groups[*label].1));
    let mut place = vec![0; labels_end];
    for (at, label) in order.iter().enumerate() {
        place[*label] = at as u32;
    }
    let sizes = order.iter().map(|label| groups[*label].0 as u32).collect();
    (labels.iter().map(|label| place[*label]).collect(), sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(body: &str) -> Digest {
        Digest::of_text(&format!("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n{body}"))
    }

    fn run(bodies: &[&str]) -> Clusters {
        let digests: Vec<Digest> = bodies.iter().map(|body| digest(body)).collect();
        let refs: Vec<&Digest> = digests.iter().collect();
        let options = ClusterOptions { threshold: 0.6, ..ClusterOptions::default() };
        let complete = ClusterOptions { linkage: Linkage::Complete, ..options };
        let clusters = cluster(&refs, &options);
        assert_eq!(clusters, cluster(&refs, &complete));
        clusters
    }

    const LONG: &str = "-x = 1\n+x = f(a, b)\n+y = g(x)\n+z = h(y)\n+return z\n";
    const NEAR: &str = "-x = 1\n+x = f(a, b)\n+y = g(x)\n+z = h(y)\n+return y\n";
    const FAR: &str = "-q = 7\n+q = 8\n";

    #[test]
    fn exact_then_near() {
        let clusters =
            run(&[FAR, LONG, NEAR, LONG, "-x = 1\n+# c\n+x = f(a,  b)\n+y = g(x)\n+z = h(y)\n+return z\n"]);
        assert_eq!(clusters.exact, [1, 0, 2, 0, 0]);
        assert_eq!(clusters.near, [1, 0, 0, 0, 0]);
        assert_eq!((clusters.exact_sizes, clusters.near_sizes), (vec![3, 1, 1], vec![4, 1]));
    }

    #[test]
    fn order_of_candidates_does_not_matter() {
        let (there, back) = (run(&[FAR, LONG, NEAR, FAR]), run(&[FAR, NEAR, LONG, FAR]));
        assert_eq!(there.near, [0, 1, 1, 0]);
        assert_eq!(back.near, [0, 1, 1, 0]);
    }

    #[test]
    fn the_threshold_parts() {
        let digests = [digest(LONG), digest(NEAR)];
        let near = |threshold| {
            cluster(&[&digests[0], &digests[1]], &ClusterOptions { threshold, ..ClusterOptions::default() })
                .near
        };
        let similarity = crate::similarity(&digests[0], &digests[1]).mean();
        assert_eq!(near(similarity), [0, 0]);
        assert_eq!(near(similarity + 0.01), [0, 1]);
    }

    #[test]
    fn small_pools() {
        assert_eq!(run(&[]).near, Vec::<u32>::new());
        assert_eq!(run(&[LONG]).near, [0]);
        assert_eq!(run(&["", ""]).exact_sizes, [2]);
        assert_eq!(run(&["", LONG]).near, [0, 1]);
    }
}
