//! Sizes of all pairwise intersections of a family of multisets, in one go.

use rustc_hash::FxHashMap;

use crate::fingerprint::combine;
use crate::similarity::jaccard;

/// How many elements each two of N multisets share.
///
/// Elements that only one set has can never be shared and are dropped first; the rest are numbered, most frequent
/// first, and each set becomes a bit string, cut after its last one. A pair costs one `AND` and one population count
/// per 64 shared elements, which keeps even a thousand sets (half a million pairs) in the tens of milliseconds.
#[derive(Debug, Clone)]
pub struct Overlap {
    lens: Vec<u32>,
    /// Row-wise upper triangle without the diagonal.
    shared: Vec<u32>,
}

impl Overlap {
    /// Counts over `sets`, each sorted; an element that occurs k times counts k times.
    pub fn new(sets: &[&[u64]]) -> Self {
        let keyed: Vec<Vec<u64>> = sets.iter().map(|set| occurrences(set)).collect();
        let bits = bits(&keyed);
        let n = sets.len();
        let mut shared = Vec::with_capacity(n * n.saturating_sub(1) / 2);
        for (row, a) in bits.iter().enumerate() {
            for b in &bits[row + 1..] {
                shared.push(a.iter().zip(b).map(|(a, b)| (a & b).count_ones()).sum());
            }
        }
        Self { lens: sets.iter().map(|set| set.len() as u32).collect(), shared }
    }

    /// Number of sets.
    pub fn len(&self) -> usize {
        self.lens.len()
    }

    /// Whether there is no set.
    pub fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    /// Size of set `a`.
    pub fn size(&self, a: usize) -> usize {
        self.lens[a] as usize
    }

    /// How many elements sets `a` and `b` share.
    pub fn shared(&self, a: usize, b: usize) -> usize {
        if a == b {
            return self.size(a);
        }
        let (low, high) = (a.min(b), a.max(b));
        let row = low * (2 * self.len() - low - 1) / 2;
        self.shared[row + high - low - 1] as usize
    }

    /// Jaccard index of sets `a` and `b`; 1 for two empty ones.
    pub fn jaccard(&self, a: usize, b: usize) -> f64 {
        jaccard(self.shared(a, b), self.size(a), self.size(b))
    }
}

/// Turns a sorted multiset into a set: the kth occurrence of an element gets a key of its own.
fn occurrences(set: &[u64]) -> Vec<u64> {
    let mut nth = 0;
    set.iter()
        .enumerate()
        .map(|(at, element)| {
            nth = if at > 0 && set[at - 1] == *element { nth + 1 } else { 0 };
            if nth == 0 { *element } else { combine(*element, nth) }
        })
        .collect()
}

fn bits(sets: &[Vec<u64>]) -> Vec<Vec<u64>> {
    let mut counts: FxHashMap<u64, u32> = FxHashMap::default();
    for key in sets.iter().flatten() {
        *counts.entry(*key).or_default() += 1;
    }
    let mut order: Vec<(u32, u64)> =
        counts.into_iter().filter(|(_, count)| *count > 1).map(|(key, count)| (count, key)).collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    let number: FxHashMap<u64, usize> = order.iter().enumerate().map(|(at, (_, key))| (*key, at)).collect();
    sets.iter()
        .map(|set| {
            let places: Vec<usize> = set.iter().filter_map(|key| number.get(key).copied()).collect();
            let mut bits = vec![0_u64; places.iter().max().map_or(0, |last| last / 64 + 1)];
            for place in places {
                bits[place / 64] |= 1 << (place % 64);
            }
            bits
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::similarity::shared;

    proptest! {
        #[test]
        fn agrees_with_merging(mut sets in prop::collection::vec(prop::collection::vec(0_u64..30, 0..40), 0..9)) {
            for set in &mut sets {
                set.sort_unstable();
            }
            let slices: Vec<&[u64]> = sets.iter().map(Vec::as_slice).collect();
            let overlap = Overlap::new(&slices);
            for (a, left) in slices.iter().enumerate() {
                for (b, right) in slices.iter().enumerate() {
                    prop_assert_eq!(overlap.shared(a, b), shared(left, right));
                }
            }
        }
    }
}
