//! Rows of tokens as a forest: what several rows begin with is computed once.

use model::{Layout, LayoutError, Node};

/// Rows laid out for one pass.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forest {
    /// The tokens of all nodes, end to end.
    pub(super) tokens: Vec<u32>,
    nodes: Vec<Node>,
    /// Of every row, in the order given: where its tokens stand, as (position in the row, place in `tokens`) of the
    /// first token of each node on its path.
    paths: Vec<Vec<(usize, usize)>>,
}

/// A common beginning shorter than this is computed for each row: a span of its own costs more than it saves.
const LEAST: usize = 16;

impl Forest {
    /// Lays out rows, none of them empty.
    pub(super) fn of(rows: &[&[u32]]) -> Self {
        let mut forest = Self { tokens: Vec::new(), nodes: Vec::new(), paths: vec![Vec::new(); rows.len()] };
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|&a, &b| rows[a].cmp(rows[b]));
        // Groups of neighbours that have `done` tokens in common, which `parent` holds. A stack rather than a call:
        // rows that each go on where the one before ends would nest as deep as there are rows.
        let mut groups = vec![(0..order.len(), 0, None)];
        while let Some((group, done, parent)) = groups.pop() {
            let mut start = group.start;
            let mut parts = Vec::new();
            for at in group.start..group.end {
                let apart = |here: &[u32], next: &[u32]| here != next && common(here, next) < done + LEAST;
                if at + 1 == group.end || apart(rows[order[at]], rows[order[at + 1]]) {
                    parts.push(start..at + 1);
                    start = at + 1;
                }
            }
            // In reverse, so that the stack gives them in order.
            let mut deeper = Vec::new();
            for part in parts {
                let first = rows[order[part.start]];
                let end = common(first, rows[order[part.end - 1]]);
                let node = forest.add(&first[done..end], parent, done, &order[part.clone()]).or(parent);
                // Rows that end here come first.
                let ended = part.clone().take_while(|&at| rows[order[at]].len() == end).count();
                if part.start + ended < part.end {
                    deeper.push((part.start + ended..part.end, end, node));
                }
            }
            groups.extend(deeper.into_iter().rev());
        }
        forest
    }

    fn add(&mut self, tokens: &[u32], parent: Option<usize>, done: usize, rows: &[usize]) -> Option<usize> {
        if tokens.is_empty() {
            return None;
        }
        for &row in rows {
            self.paths[row].push((done, self.tokens.len()));
        }
        self.tokens.extend_from_slice(tokens);
        self.nodes.push(Node { parent, len: tokens.len() });
        Some(self.nodes.len() - 1)
    }

    /// Which tokens attend to which.
    pub(super) fn layout(&self) -> Result<Layout, LayoutError> {
        Layout::forest(&self.nodes)
    }

    /// The place in [`Self::tokens`] of a row's token.
    pub(super) fn place(&self, row: usize, position: usize) -> usize {
        let path = &self.paths[row];
        let (from, at) = path[path.partition_point(|(from, _)| *from <= position) - 1];
        at + position - from
    }
}

/// How many tokens two rows begin with in common.
pub(super) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every row can be read back along its path, positions included.
    fn check(rows: &[Vec<u32>]) -> Forest {
        let slices: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let forest = Forest::of(&slices);
        let layout = forest.layout().unwrap();
        let positions = layout.positions();
        assert_eq!(layout.queries(), forest.tokens.len());
        for (at, row) in rows.iter().enumerate() {
            for (position, token) in row.iter().enumerate() {
                let place = forest.place(at, position);
                assert_eq!((forest.tokens[place], positions[place]), (*token, position));
            }
            // What the last token sees is the row, in order.
            let last = forest.place(at, row.len() - 1);
            let span = layout.spans().iter().find(|span| span.queries.contains(&last)).unwrap();
            let keys: Vec<usize> = span.keys.iter().flat_map(Clone::clone).collect();
            let seen: Vec<u32> = keys[..keys.len() + last + 1 - span.queries.end]
                .iter()
                .map(|&key| forest.tokens[key])
                .collect();
            assert_eq!(&seen, row);
        }
        forest
    }

    #[test]
    fn what_rows_share_is_there_once_also_nested() {
        let prefix: Vec<u32> = (0..100).collect();
        let row = |parts: &[&[u32]]| [prefix.as_slice(), &parts.concat()].concat();
        let branch: Vec<u32> = (200..240).collect();
        let forest = check(&[
            row(&[&branch, &[1]]),
            row(&[&[7, 8]]),
            row(&[&branch, &[2, 3]]),
            row(&[&branch]),
            row(&[&[7, 8]]),
            vec![9; 30],
        ]);
        // Equal rows are one, however short.
        assert_eq!(forest.tokens.len(), 100 + 40 + 1 + 2 + 2 + 30);
    }

    #[test]
    fn short_beginnings_are_not_worth_a_span() {
        let forest = check(&[vec![1, 2, 3, 4], vec![1, 2, 3, 5]]);
        assert_eq!(forest.nodes.len(), 2);
    }

    proptest! {
        #[test]
        fn every_row_is_read_back(rows in prop::collection::vec((0_usize..3, 0_usize..60, prop::collection::vec(0_u32..3, 1..40)), 1..12)) {
            // Rows that begin with stretches of the same few sequences.
            let rows: Vec<Vec<u32>> = rows
                .into_iter()
                .map(|(base, len, tail)| (0..len as u32).map(|at| at * (base as u32 + 1) % 7).chain(tail).collect())
                .collect();
            let forest = check(&rows);
            prop_assert!(forest.tokens.len() <= rows.iter().map(Vec::len).sum());
        }
    }
}
