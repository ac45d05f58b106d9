//! One pass of the model over some sequences: what goes in, and what of the result belongs to which sequence.

use std::collections::BTreeMap;

use super::{forest::Forest, judge::Slope};
use crate::data::Tokens;

/// Sequences of some rows as one pass.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pass {
    /// What the model reads.
    pub(crate) forest: Forest,
    /// Rows of hidden states that are used. The same one may be there several times, with different targets.
    pub(crate) places: Vec<usize>,
    /// The token that follows each place; empty where scores are read.
    pub(crate) targets: Vec<u32>,
    /// Of each sequence, the indices into `places` of what it is judged by.
    pub(crate) of_sequence: Vec<Vec<usize>>,
}

/// What a sequence is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// The log-probabilities of its trained tokens.
    Tokens,
    /// The score at its last token.
    Score,
    /// The scores at the ends of the policy's turns.
    TurnScores,
}

impl Read {
    /// The positions of a sequence after which something is read.
    fn positions(self, tokens: &Tokens) -> Vec<usize> {
        match self {
            Self::Tokens => (1..tokens.ids.len()).filter(|&at| tokens.trained[at]).map(|at| at - 1).collect(),
            Self::Score => vec![tokens.ids.len() - 1],
            Self::TurnScores if tokens.turn_ends.is_empty() => vec![tokens.ids.len() - 1],
            Self::TurnScores => tokens.turn_ends.clone(),
        }
    }
}

impl Pass {
    /// A pass over groups of sequences, see [`Forest::new`].
    pub(crate) fn new(groups: &[Vec<&Tokens>], share: bool, read: Read) -> Self {
        let ids: Vec<Vec<&[u32]>> =
            groups.iter().map(|group| group.iter().map(|tokens| tokens.ids.as_slice()).collect()).collect();
        let forest = Forest::new(&ids, share);
        let target = |tokens: &Tokens, position: usize| match read {
            Read::Tokens => tokens.ids[position + 1],
            Read::Score | Read::TurnScores => 0,
        };
        // What two sequences share and both are judged by is computed once. In the order of rows, which lie in memory
        // as they are computed.
        let mut wanted: BTreeMap<(usize, u32), usize> = BTreeMap::new();
        let mut keys: Vec<Vec<(usize, u32)>> = Vec::new();
        for (sequence, tokens) in groups.iter().flatten().enumerate() {
            let positions = read.positions(tokens).into_iter();
            let of_sequence: Vec<(usize, u32)> = positions
                .map(|position| (forest.row(sequence, position), target(tokens, position)))
                .collect();
            wanted.extend(of_sequence.iter().map(|key| (*key, 0)));
            keys.push(of_sequence);
        }
        for (index, slot) in wanted.values_mut().enumerate() {
            *slot = index;
        }
        let of_sequence = keys.into_iter().map(|keys| keys.iter().map(|key| wanted[key]).collect()).collect();
        let (places, targets): (Vec<usize>, Vec<u32>) = wanted.into_keys().unzip();
        let targets = if read == Read::Tokens { targets } else { Vec::new() };
        Self { forest, places, targets, of_sequence }
    }

    /// The values that belong to a sequence, in the order of its tokens.
    pub(crate) fn of<T: Copy>(&self, sequence: usize, values: &[T]) -> Vec<T> {
        self.of_sequence[sequence].iter().map(|&place| values[place]).collect()
    }

    /// Turns a derivative for each sequence into one for each place.
    pub(crate) fn spread(&self, slopes: &[Slope]) -> Vec<f32> {
        let mut sums = vec![0.0_f64; self.places.len()];
        for (places, slope) in self.of_sequence.iter().zip(slopes) {
            for (index, &place) in places.iter().enumerate() {
                sums[place] += match slope {
                    Slope::Even(slope) => *slope,
                    Slope::Each(slopes) => slopes[index],
                };
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }
}

/// Deals rows of these sizes, in tokens, into batches of at most `budget` tokens: longest first, each into the first
/// batch that has room. A row that is larger is alone. Batches and rows within them come in the order of the rows.
pub(crate) fn deal(sizes: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&row| (std::cmp::Reverse(sizes[row]), row));
    let mut batches: Vec<(usize, Vec<usize>)> = Vec::new();
    for row in order {
        match batches.iter_mut().find(|(filled, _)| filled + sizes[row] <= budget) {
            Some((filled, rows)) => {
                *filled += sizes[row];
                rows.push(row);
            }
            None => batches.push((sizes[row], vec![row])),
        }
    }
    let mut batches: Vec<Vec<usize>> = batches.into_iter().map(|(_, rows)| rows).collect();
    for rows in &mut batches {
        rows.sort_unstable();
    }
    batches.sort_unstable();
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(ids: Vec<u32>, trained: &[usize]) -> Tokens {
        let trained = (0..ids.len()).map(|at| trained.contains(&at)).collect();
        Tokens { ids, trained, ..Tokens::default() }
    }

    #[test]
    fn what_both_are_judged_by_is_computed_once() {
        let prompt: Vec<u32> = (0..10).collect();
        let chosen = tokens([prompt.clone(), vec![50, 51]].concat(), &[9, 10, 11]);
        let rejected = tokens([prompt, vec![60]].concat(), &[9, 10]);
        let pass = Pass::new(&[vec![&chosen, &rejected]], true, Read::Tokens);
        // Token 9 is trained in both, the first tokens after the prompt follow the same row.
        assert_eq!(pass.places, [8, 9, 9, 10]);
        assert_eq!(pass.targets, [9, 50, 60, 51]);
        assert_eq!(pass.of_sequence, [vec![0, 1, 3], vec![0, 2]]);
        assert_eq!(pass.spread(&[Slope::Even(1.0), Slope::Even(-0.25)]), [0.75, 1.0, -0.25, 1.0]);
        assert_eq!(pass.of(1, &[1.0, 2.0, 3.0, 4.0]), [1.0, 3.0]);
        let scores = Pass::new(&[vec![&chosen, &rejected]], true, Read::Score);
        assert_eq!((scores.places, scores.of_sequence), (vec![11, 12], vec![vec![0], vec![1]]));
    }

    proptest! {
        #[test]
        fn every_row_is_dealt_once_within_the_budget(
            sizes in prop::collection::vec(1_usize..200, 0..40),
            budget in 1_usize..300,
        ) {
            let batches = deal(&sizes, budget);
            let mut rows: Vec<usize> = batches.iter().flatten().copied().collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..sizes.len()).collect::<Vec<_>>());
            for rows in &batches {
                let total: usize = rows.iter().map(|&row| sizes[row]).sum();
                prop_assert!(total <= budget || rows.len() == 1);
            }
        }
    }
}
