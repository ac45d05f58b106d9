//! How the work is cut, and what a row of a block sees.

use std::ops::Range;

use super::Attention;
use crate::layout::{Layout, Span};

/// Rows (queries times the heads of a group) that a task aims at.
const ROWS: usize = 192;
/// Keys per block: rows × keys scores fit the second-level cache.
const KEYS: usize = 384;

/// Consecutive queries of one span.
#[derive(Debug, Clone)]
pub(super) struct Queries<'a> {
    pub(super) span: &'a Span,
    /// Rows of the query matrix.
    pub(super) rows: Range<usize>,
    /// Position of the first of them in its sequence.
    pub(super) first: usize,
}

/// Consecutive keys of one range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// Rows of the key matrix.
    pub(super) rows: Range<usize>,
    /// Position of the first of them in the sequence.
    pub(super) first: usize,
}

/// Queries per task.
pub(super) fn queries_per_block(attention: &Attention) -> usize {
    (ROWS / attention.group()).max(16)
}

/// Cuts the queries of one span.
pub(super) fn span_blocks<'a>(span: &'a Span, attention: &Attention) -> impl Iterator<Item = Queries<'a>> {
    let per = queries_per_block(attention);
    let (queries, first) = (span.queries.clone(), span.first_position());
    queries.clone().step_by(per).map(move |start| Queries {
        span,
        rows: start..(start + per).min(queries.end),
        first: first + start - queries.start,
    })
}

/// Cuts the queries of all spans, in order.
pub(super) fn blocks<'a>(layout: &'a Layout, attention: &Attention) -> Vec<Queries<'a>> {
    layout.spans().iter().flat_map(|span| span_blocks(span, attention)).collect()
}

impl Queries<'_> {
    /// The blocks of keys that one of the queries sees at least, oldest first.
    pub(super) fn keys(&self, window: Option<usize>) -> Vec<Keys> {
        let end = self.first + self.rows.len();
        let begin = window.map_or(0, |window| (self.first + 1).saturating_sub(window));
        let mut blocks = Vec::new();
        let mut position = 0;
        for range in &self.span.keys {
            let visible = range.len().min(end.saturating_sub(position));
            for offset in (0..visible).step_by(KEYS) {
                let len = KEYS.min(visible - offset);
                if position + offset + len > begin {
                    let start = range.start + offset;
                    blocks.push(Keys { rows: start..start + len, first: position + offset });
                }
            }
            position += range.len();
        }
        blocks
    }
}

impl Keys {
    /// The keys of this block that the query at `position` sees, counted from the block's first.
    pub(super) fn seen(&self, position: usize, window: Option<usize>) -> Range<usize> {
        let end = (position + 1).saturating_sub(self.first).min(self.rows.len());
        let start = window.map_or(0, |window| (position + 1).saturating_sub(window + self.first));
        start.min(end)..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Attention = Attention { heads: 4, kv_heads: 2, size: 8, scale: 1.0, window: None };

    /// Every query of every block sees exactly the keys that the layout's rule gives it.
    fn check(layout: &Layout, window: Option<usize>) {
        let attention = Attention { window, ..SIZES };
        let mut next = 0;
        for block in blocks(layout, &attention) {
            assert_eq!(block.rows.start, next);
            next = block.rows.end;
            let all: Vec<usize> = block.span.keys.iter().flat_map(Clone::clone).collect();
            for (row, position) in block.rows.clone().zip(block.first..) {
                assert_eq!(layout.positions()[row], position);
                let start = window.map_or(0, |window| (position + 1).saturating_sub(window));
                let seen: Vec<usize> = block
                    .keys(window)
                    .iter()
                    .flat_map(|keys| {
                        let seen = keys.seen(position, window);
                        keys.rows.start + seen.start..keys.rows.start + seen.end
                    })
                    .collect();
                assert_eq!(seen, all[start..=position], "query {row} at {position}, window {window:?}");
            }
        }
        assert_eq!(next, layout.queries());
    }

    #[test]
    fn blocks_cover_what_each_query_sees_and_nothing_else() {
        for window in [None, Some(1), Some(7), Some(400), Some(5_000)] {
            check(&Layout::packed(&[1, 100, 97, 900]).expect("valid"), window);
            check(&Layout::shared(450, &[3, 130, 1]).expect("valid"), window);
            check(&Layout::cached(1_000, 5).expect("valid"), window);
            check(&Layout::cached(385, 1).expect("valid"), window);
        }
    }
}
