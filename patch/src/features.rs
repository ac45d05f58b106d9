//! What ranking can use: each patch by itself and against the other patches of its pool.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{ClusterOptions, Clusters, Digest, FileClass, PoolStats, cluster::cluster_with};

/// The features of one candidate; the fields that count lines of code describe the files in [`Digest::scope`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// The values, in the order of [`Features::NAMES`].
    pub values: [f64; Features::COUNT],
    /// The place of each value within the pool, in [0, 1]: the share of the other candidates with a smaller one,
    /// equal ones counting half; 0.5 in a pool of one.
    pub ranks: [f64; Features::COUNT],
}

impl Features {
    /// Number of features.
    pub const COUNT: usize = 26;

    /// Names of the features, in order.
    pub const NAMES: [&'static str; Self::COUNT] = [
        // The patch by itself.
        "bytes",
        "changed_bytes",
        "files",
        "source_files",
        "test_files",
        "other_files",
        "new_files",
        "new_source_files",
        "deleted_files",
        "hunks",
        "runs",
        "added",
        "removed",
        "normal_added",
        "normal_removed",
        "test_share",
        "flags",
        // Against the pool.
        "exact_votes",
        "cluster_votes",
        "file_set_votes",
        "line_votes",
        "line_similarity",
        "token_similarity",
        "medoid_similarity",
        "rarity",
        "unique_lines",
    ];

    /// The value of the feature called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        Self::NAMES.iter().position(|known| *known == name).map(|at| self.values[at])
    }

    /// The rank within the pool of the feature called `name`.
    pub fn rank(&self, name: &str) -> Option<f64> {
        Self::NAMES.iter().position(|known| *known == name).map(|at| self.ranks[at])
    }
}

/// The features of every candidate of a pool.
pub fn features(digests: &[&Digest]) -> Vec<Features> {
    let stats = PoolStats::new(digests);
    let clusters = cluster_with(&stats, digests, &ClusterOptions::default());
    features_with(&stats, &clusters, digests)
}

/// As [`features`], on likenesses and clusters that are already computed.
///
/// - `*_votes` count candidates and include the candidate itself; `line_votes` is the mean over its changed lines of
///   the number of candidates that have the line;
/// - `medoid_similarity` is the mean of `line_similarity` and `token_similarity`, each the mean over all others;
/// - `rarity` is the mean over its distinct changed lines of ln(N / candidates that have the line), and
///   `unique_lines` the share of them that no other candidate has.
pub fn features_with(stats: &PoolStats, clusters: &Clusters, digests: &[&Digest]) -> Vec<Features> {
    let mut file_sets: FxHashMap<u128, f64> = FxHashMap::default();
    let mut holders: FxHashMap<u64, f64> = FxHashMap::default();
    for digest in digests {
        *file_sets.entry(digest.file_set().as_u128()).or_default() += 1.0;
        for line in distinct(digest.lines()) {
            *holders.entry(line).or_default() += 1.0;
        }
    }
    let similarity = stats.mean_similarity();
    let mut out: Vec<Features> = digests
        .iter()
        .enumerate()
        .map(|(at, digest)| {
            let (mut votes, mut rarity, mut unique, mut lines) = (0.0, 0.0, 0.0, 0.0_f64);
            for line in distinct(digest.lines()) {
                let count = holders[&line];
                lines += 1.0;
                votes += count;
                rarity += (digests.len() as f64 / count).ln();
                unique += f64::from(u8::from(count < 1.5));
            }
            let lines = lines.max(1.0);
            let counts = digest.counts();
            let (all, source) = (counts.total(), counts.class(FileClass::Source));
            let (test, scratch) = (counts.class(FileClass::Test), counts.class(FileClass::Reproduction));
            let changed = all.added + all.removed;
            let tested = test.added + test.removed + scratch.added + scratch.removed;
            let test_files = test.files + scratch.files;
            let values = [
                counts.bytes as f64,
                counts.changed_bytes as f64,
                all.files as f64,
                source.files as f64,
                test_files as f64,
                (all.files - source.files - test_files) as f64,
                all.new_files as f64,
                source.new_files as f64,
                all.deleted_files as f64,
                all.hunks as f64,
                counts.runs as f64,
                all.added as f64,
                all.removed as f64,
                counts.normal_added as f64,
                counts.normal_removed as f64,
                if changed == 0 { 0.0 } else { tested as f64 / changed as f64 },
                counts.flags as f64,
                f64::from(clusters.exact_sizes[clusters.exact[at] as usize]),
                f64::from(clusters.near_sizes[clusters.near[at] as usize]),
                file_sets[&digest.file_set().as_u128()],
                votes / lines,
                similarity[at].lines,
                similarity[at].tokens,
                similarity[at].mean(),
                rarity / lines,
                unique / lines,
            ];
            Features { values, ranks: [0.5; Features::COUNT] }
        })
        .collect();
    rank(&mut out);
    out
}

fn distinct(sorted: &[u64]) -> impl Iterator<Item = u64> + '_ {
    sorted.iter().enumerate().filter(|(at, line)| *at == 0 || sorted[at - 1] != **line).map(|(_, line)| *line)
}

/// Fills in the ranks.
fn rank(pool: &mut [Features]) {
    let others = pool.len().saturating_sub(1) as f64;
    if others < 1.0 {
        return;
    }
    for feature in 0..Features::COUNT {
        let mut sorted: Vec<f64> = pool.iter().map(|features| features.values[feature]).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        for features in pool.iter_mut() {
            let value = features.values[feature];
            let below = sorted.partition_point(|other| *other < value);
            let equal = sorted.partition_point(|other| *other <= value) - below;
            features.ranks[feature] = (below as f64 + (equal - 1) as f64 / 2.0) / others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(bodies: &[&str]) -> Vec<Features> {
        let digests: Vec<Digest> = bodies.iter().map(|body| Digest::of_text(body)).collect();
        features(&digests.iter().collect::<Vec<_>>())
    }

    const ONE: &str = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n";
    const TWO: &str = "--- a/x.py\n+++ b/x.py\n@@ -1 +1,2 @@\n-a = 1\n+a = 2\n+b = 3\n";

    #[test]
    fn votes_and_rarity() {
        let all = pool(&[ONE, TWO, ONE, ""]);
        let get = |at: usize, name: &str| all[at].get(name).expect("a known feature");
        assert_eq!((get(0, "exact_votes"), get(1, "exact_votes")), (2.0, 1.0));
        assert_eq!(get(1, "file_set_votes"), 3.0);
        assert_eq!(get(1, "line_votes"), (3.0 + 3.0 + 1.0) / 3.0);
        assert_eq!(get(1, "unique_lines"), 1.0 / 3.0);
        assert_eq!(get(0, "rarity"), (4.0_f64 / 3.0).ln());
        // Two of three others: the same patch, two thirds of the lines, and nothing.
        assert_eq!(get(0, "line_similarity"), (1.0 + 2.0 / 3.0) / 3.0);
        assert_eq!((get(3, "added"), get(3, "line_votes"), get(3, "medoid_similarity")), (0.0, 0.0, 0.0));
        assert_eq!(all[1].rank("normal_added"), Some(1.0));
        assert_eq!(all[0].rank("normal_added"), Some(0.5));
        assert_eq!(all[3].rank("normal_added"), Some(0.0));
        assert_eq!(all[0].get("no such feature"), None);
    }

    #[test]
    fn share_of_tests() {
        let patch = format!("{ONE}--- a/tests/test_x.py\n+++ b/tests/test_x.py\n@@ -1 +1,2 @@\n a\n+b\n+c\n");
        let all = pool(&[&patch]);
        assert_eq!(all[0].get("test_share"), Some(0.5));
        assert_eq!(all[0].get("normal_added"), Some(1.0));
        assert_eq!((all[0].rank("test_share"), all[0].get("medoid_similarity")), (Some(0.5), Some(1.0)));
    }

    #[test]
    fn empty_pool() {
        assert_eq!(pool(&[]), []);
    }
}
