//! Which tokens attend to which.
//!
//! A forward pass takes its tokens laid end to end, without padding: `[tokens, hidden]`. What makes them sequences is
//! the [`Layout`]: a list of spans of queries, each with the ranges of keys that it sees. Padding costs nothing
//! because there is none; several rows in one pass (packing), rows that share a prefix, and new tokens after a cache
//! are all layouts.

use std::ops::Range;

/// Consecutive queries that see the same keys.
///
/// The last range of keys is the span's own: query `i` of `n` sees its first `len − n + 1 + i` keys (causal, aligned at
/// the end; earlier keys of that range are a cache). Every other range lies before it and is seen whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Rows of the query matrix.
    pub queries: Range<usize>,
    /// Rows of the key and value matrices, oldest first; the last one is the span's own.
    pub keys: Vec<Range<usize>>,
}

impl Span {
    /// Keys that the last query sees: the length of the sequence up to and including this span.
    pub fn context(&self) -> usize {
        self.keys.iter().map(Range::len).sum()
    }

    /// Position in its sequence of the span's first query.
    pub fn first_position(&self) -> usize {
        self.context() - self.queries.len()
    }
}

/// One node of a forest of token runs, see [`Layout::forest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// The node whose tokens (and its ancestors') come before this one's; it must come earlier in the list.
    pub parent: Option<usize>,
    /// Tokens of the node; at least one.
    pub len: usize,
}

/// Why spans do not make a layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A sequence without tokens.
    #[error("sequence {0} has no tokens")]
    Empty(usize),
    /// A node names a parent at or after itself.
    #[error("node {node} names node {parent} as its parent, which does not come before it")]
    Parent {
        /// The node.
        node: usize,
        /// What it names.
        parent: usize,
    },
    /// The queries of the spans are not 0..n in order.
    #[error("the queries of span {0} do not follow on those before it")]
    Queries(usize),
    /// A span's own keys are fewer than its queries.
    #[error("span {0} has fewer keys of its own than queries")]
    Own(usize),
}

/// Which tokens of a packed pass attend to which. See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    spans: Vec<Span>,
    queries: usize,
    keys: usize,
}

impl Layout {
    /// A layout of these spans, whose queries must cover `0..n` in order.
    pub fn new(spans: Vec<Span>) -> Result<Self, LayoutError> {
        let mut queries = 0;
        let mut keys = 0;
        for (index, span) in spans.iter().enumerate() {
            if span.queries.start != queries || span.queries.is_empty() {
                return Err(LayoutError::Queries(index));
            }
            if span.keys.last().map_or(0, Range::len) < span.queries.len() {
                return Err(LayoutError::Own(index));
            }
            queries = span.queries.end;
            keys = span.keys.iter().map(|range| range.end).fold(keys, usize::max);
        }
        Ok(Self { spans, queries, keys })
    }

    /// Independent sequences laid end to end.
    pub fn packed(lengths: &[usize]) -> Result<Self, LayoutError> {
        let nodes: Vec<Node> = lengths.iter().map(|&len| Node { parent: None, len }).collect();
        Self::forest(&nodes)
    }

    /// A prefix of `prefix` tokens, followed by sequences that all continue it.
    pub fn shared(prefix: usize, lengths: &[usize]) -> Result<Self, LayoutError> {
        let mut nodes = vec![Node { parent: None, len: prefix }];
        nodes.extend(lengths.iter().map(|&len| Node { parent: Some(0), len }));
        Self::forest(&nodes)
    }

    /// Runs of tokens that continue one another, each node's tokens following those of the node before it in the list.
    /// A tree of shared prefixes is computed once, whatever its depth.
    pub fn forest(nodes: &[Node]) -> Result<Self, LayoutError> {
        let mut spans: Vec<Span> = Vec::with_capacity(nodes.len());
        let mut start = 0;
        for (index, node) in nodes.iter().enumerate() {
            if node.len == 0 {
                return Err(LayoutError::Empty(index));
            }
            let mut keys = match node.parent {
                None => Vec::new(),
                Some(parent) if parent < index => spans[parent].keys.clone(),
                Some(parent) => return Err(LayoutError::Parent { node: index, parent }),
            };
            let own = start..start + node.len;
            // A parent that lies right before its child makes one range with it, but then the parent's part of the
            // range must stay whole: it is the same run of a sequence, so the causal rule is the same.
            match keys.last_mut() {
                Some(last) if last.end == own.start => last.end = own.end,
                _ => keys.push(own.clone()),
            }
            spans.push(Span { queries: own, keys });
            start += node.len;
        }
        Self::new(spans)
    }

    /// `new` tokens after `past` cached ones; the keys are those of the cache followed by the new ones.
    pub fn cached(past: usize, new: usize) -> Result<Self, LayoutError> {
        #[expect(clippy::single_range_in_vec_init, reason = "a span may have several ranges")]
        let keys = vec![0..past + new];
        Self::new(vec![Span { queries: 0..new, keys }])
    }

    /// The layout of some of the queries alone, over the same keys: query i of the result is query `rows[i]` of this one.
    /// It serves the last layer of a pass of which only some rows are read.
    ///
    /// # Panics
    ///
    /// If there is no such query.
    #[must_use]
    pub fn at(&self, rows: &[usize]) -> Self {
        let mut spans: Vec<Span> = Vec::new();
        let mut last = None;
        for (index, &row) in rows.iter().enumerate() {
            assert!(row < self.queries, "row {row} is one of {}", self.queries);
            let place = self.spans.partition_point(|span| span.queries.end <= row);
            let span = &self.spans[place];
            match spans.last_mut() {
                // Rows that follow one another stay together.
                Some(open) if row > 0 && last == Some((place, row - 1)) => {
                    open.queries.end += 1;
                    if let Some(own) = open.keys.last_mut() {
                        own.end += 1;
                    }
                }
                _ => {
                    let mut keys = span.keys.clone();
                    if let Some(own) = keys.last_mut() {
                        own.end -= span.queries.end - 1 - row;
                    }
                    spans.push(Span { queries: index..index + 1, keys });
                }
            }
            last = Some((place, row));
        }
        Self { spans, queries: rows.len(), keys: self.keys }
    }

    /// The spans, in the order of their queries.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Number of query tokens.
    pub fn queries(&self) -> usize {
        self.queries
    }

    /// Number of key tokens that must be there at least.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Pairs of a query and a key that it sees, with at most `window` of the latest keys each.
    pub fn pairs(&self, window: Option<usize>) -> usize {
        let seen = |span: &Span| -> usize {
            let first = span.first_position() + 1;
            (first..first + span.queries.len()).map(|keys| keys.min(window.unwrap_or(keys))).sum()
        };
        self.spans.iter().map(seen).sum()
    }

    /// Position in its sequence of every query token, from 0.
    pub fn positions(&self) -> Vec<usize> {
        let mut positions = Vec::with_capacity(self.queries);
        for span in &self.spans {
            let first = span.first_position();
            positions.extend(first..first + span.queries.len());
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_prefix_is_seen_by_every_suffix_and_positions_go_on_after_it() {
        let layout = Layout::shared(3, &[2, 1]).expect("valid");
        assert_eq!(layout.positions(), [0, 1, 2, 3, 4, 3]);
        assert_eq!((layout.pairs(None), layout.pairs(Some(2))), (1 + 2 + 3 + 4 + 5 + 4, 1 + 5 * 2));
        let keys = |span: usize| layout.spans()[span].keys.iter().flat_map(Clone::clone).collect::<Vec<_>>();
        assert_eq!(keys(1), [0, 1, 2, 3, 4]);
        assert_eq!(keys(2), [0, 1, 2, 5]);
        assert_eq!((layout.queries(), layout.keys()), (6, 6));
    }

    #[test]
    fn new_tokens_after_a_cache_have_later_positions() {
        let layout = Layout::cached(5, 2).expect("valid");
        assert_eq!(layout.positions(), [5, 6]);
        assert_eq!((layout.queries(), layout.keys()), (2, 7));
    }

    #[test]
    fn some_rows_see_what_they_saw_among_all() {
        let layout = Layout::shared(3, &[4, 2]).expect("valid");
        // What each row sees: the keys of its span up to its own.
        let seen = |layout: &Layout| -> Vec<Vec<usize>> {
            let rows = layout.spans().iter().flat_map(|span| {
                let keys: Vec<usize> = span.keys.iter().flat_map(Clone::clone).collect();
                let first = span.first_position();
                span.queries.clone().enumerate().map(move |(index, _)| keys[..=first + index].to_vec())
            });
            rows.collect()
        };
        let all = seen(&layout);
        for rows in [vec![8], vec![2, 3, 4, 6, 7, 8], vec![5, 4, 4], (0..9).collect()] {
            let some = layout.at(&rows);
            assert_eq!((some.queries(), some.keys()), (rows.len(), 9));
            let positions = layout.positions();
            assert_eq!(some.positions(), rows.iter().map(|&row| positions[row]).collect::<Vec<_>>());
            assert_eq!(seen(&some), rows.iter().map(|&row| all[row].clone()).collect::<Vec<_>>());
        }
        assert_eq!(layout.at(&(0..9).collect::<Vec<_>>()), layout);
    }

    #[test]
    fn what_is_no_forest_is_refused() {
        assert_eq!(Layout::packed(&[2, 0]), Err(LayoutError::Empty(1)));
        let node = Node { parent: Some(0), len: 1 };
        assert_eq!(Layout::forest(&[node]), Err(LayoutError::Parent { node: 0, parent: 0 }));
    }
}
