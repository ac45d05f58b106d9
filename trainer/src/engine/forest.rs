//! Which tokens are computed together: sequences laid end to end, what they have in common once.

use std::sync::Arc;

use model::{Layout, Node};

/// Tokens that sequences must have in common for it to be worth a run of its own. Every run costs a little in the
/// kernels of attention.
const WORTHWHILE: usize = 8;

/// Where a part of a sequence lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// Its first position in the sequence.
    position: usize,
    /// Its first row in the pass.
    row: usize,
    /// Its tokens.
    len: usize,
}

/// Sequences as the model reads them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forest {
    /// All tokens, end to end.
    pub(crate) tokens: Vec<u32>,
    /// Who attends to whom.
    pub(crate) layout: Arc<Layout>,
    /// Of each sequence, its parts from the first to the last.
    parts: Vec<Vec<Part>>,
}

impl Forest {
    /// Lays out groups of sequences. With `share`, what the sequences of a group begin with in common is laid out once;
    /// sequences of different groups share nothing.
    ///
    /// # Panics
    /// When a sequence is empty.
    pub(crate) fn new(groups: &[Vec<&[u32]>], share: bool) -> Self {
        let mut grower = Grower { tokens: Vec::new(), nodes: Vec::new(), parts: Vec::new() };
        for group in groups {
            let first = grower.parts.len();
            grower.parts.resize(first + group.len(), Vec::new());
            let all: Vec<(usize, &[u32])> =
                group.iter().enumerate().map(|(index, ids)| (first + index, *ids)).collect();
            assert!(group.iter().all(|ids| !ids.is_empty()), "no sequence is empty");
            if share {
                grower.grow(&all, 0, None);
            } else {
                for sequence in all {
                    grower.leaf(sequence, 0, None);
                }
            }
        }
        let layout = Layout::forest(&grower.nodes).expect("nodes are not empty and follow their parents");
        Self { tokens: grower.tokens, layout: Arc::new(layout), parts: grower.parts }
    }

    /// The row of a position of a sequence.
    pub(crate) fn row(&self, sequence: usize, position: usize) -> usize {
        let parts = &self.parts[sequence];
        let part = parts.partition_point(|part| part.position <= position) - 1;
        let part = parts[part];
        debug_assert!(position < part.position + part.len, "the position is one of the sequence");
        part.row + position - part.position
    }
}

struct Grower {
    tokens: Vec<u32>,
    nodes: Vec<Node>,
    parts: Vec<Vec<Part>>,
}

impl Grower {
    /// A run of tokens that these sequences have in common from `start` on.
    fn node(
        &mut self,
        sequences: &[(usize, &[u32])],
        start: usize,
        end: usize,
        parent: Option<usize>,
    ) -> usize {
        let row = self.tokens.len();
        self.tokens.extend_from_slice(&sequences[0].1[start..end]);
        self.nodes.push(Node { parent, len: end - start });
        for (index, _) in sequences {
            self.parts[*index].push(Part { position: start, row, len: end - start });
        }
        self.nodes.len() - 1
    }

    fn leaf(&mut self, sequence: (usize, &[u32]), start: usize, parent: Option<usize>) {
        let end = sequence.1.len();
        if start < end {
            self.node(&[sequence], start, end, parent);
        }
    }

    fn grow(&mut self, sequences: &[(usize, &[u32])], start: usize, parent: Option<usize>) {
        let (first, rest) = match sequences {
            [] => return,
            [only] => return self.leaf(*only, start, parent),
            [first, rest @ ..] => (first.1, rest),
        };
        let common = rest.iter().fold(first.len(), |end, (_, ids)| {
            let same = first[start..end].iter().zip(&ids[start..]).take_while(|(left, right)| left == right);
            start + same.count()
        });
        if common - start < WORTHWHILE {
            // Some of them may still have more in common with one another.
            let mut groups: Vec<Vec<(usize, &[u32])>> = Vec::new();
            for &(index, ids) in sequences {
                let head = &ids[start..ids.len().min(start + WORTHWHILE)];
                let found = groups.iter_mut().find(|group| {
                    let (_, ids) = group[0];
                    head.len() == WORTHWHILE && ids[start..].starts_with(head)
                });
                match found {
                    Some(group) => group.push((index, ids)),
                    None => groups.push(vec![(index, ids)]),
                }
            }
            for group in groups {
                self.grow(&group, start, parent);
            }
            return;
        }
        let node = self.node(sequences, start, common, parent);
        self.grow(sequences, common, Some(node));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tokens that a sequence is made of, read back from the layout.
    fn read_back(forest: &Forest, sequence: usize, len: usize) -> Vec<u32> {
        (0..len).map(|position| forest.tokens[forest.row(sequence, position)]).collect()
    }

    #[test]
    fn a_pair_shares_its_prompt() {
        let prompt: Vec<u32> = (0..20).collect();
        let chosen = [prompt.clone(), vec![100, 101]].concat();
        let rejected = [prompt.clone(), vec![200, 201, 202]].concat();
        let group = vec![chosen.as_slice(), rejected.as_slice()];
        let shared = Forest::new(std::slice::from_ref(&group), true);
        assert_eq!(shared.tokens.len(), 25);
        assert_eq!(shared.row(0, 19), shared.row(1, 19));
        assert_eq!(read_back(&shared, 0, 22), chosen);
        assert_eq!(read_back(&shared, 1, 23), rejected);
        assert_eq!(Forest::new(&[group], false).tokens.len(), 45);
    }

    #[test]
    fn a_sequence_may_be_the_beginning_of_another_or_the_same() {
        let long: Vec<u32> = (0..40).collect();
        let group = vec![long.as_slice(), &long[..25], &long];
        let forest = Forest::new(std::slice::from_ref(&group), true);
        assert_eq!(forest.tokens.len(), 40);
        for (index, ids) in group.iter().enumerate() {
            assert_eq!(read_back(&forest, index, ids.len()), *ids);
        }
    }

    proptest! {
        #[test]
        fn every_sequence_is_there_in_order(
            groups in prop::collection::vec(
                prop::collection::vec((0_usize..40, prop::collection::vec(0_u32..3, 1..30)), 1..6), 1..4),
            share: bool,
        ) {
            let groups: Vec<Vec<Vec<u32>>> = groups
                .into_iter()
                .map(|group| group.into_iter().map(|(prompt, rest)| {
                    (0..prompt as u32).chain(rest).collect()
                }).collect())
                .collect();
            let slices: Vec<Vec<&[u32]>> =
                groups.iter().map(|group| group.iter().map(Vec::as_slice).collect()).collect();
            let forest = Forest::new(&slices, share);
            let positions = forest.layout.positions();
            for (index, ids) in groups.iter().flatten().enumerate() {
                prop_assert_eq!(&read_back(&forest, index, ids.len()), ids);
                for position in 0..ids.len() {
                    prop_assert_eq!(positions[forest.row(index, position)], position);
                }
            }
            let plain: usize = groups.iter().flatten().map(Vec::len).sum();
            prop_assert!(forest.tokens.len() <= plain && (share || forest.tokens.len() == plain));
        }
    }
}
