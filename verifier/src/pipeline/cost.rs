//! What a row costs in a batch, in token equivalents.

/// How a back end computes a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Rows lie one after the other and shared prefixes are computed once: a row costs its own tokens, and attention
    /// on top, which is as expensive as everything else when a row is `attention` tokens long.
    Packed {
        /// That length; 0 leaves attention out.
        attention: u64,
    },
    /// Rows are padded to the longest: every row costs as much as it.
    Padded,
}

/// One row as far as its cost goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its tokens.
    pub tokens: u64,
    /// Leading tokens that rows of the same group have in common.
    pub shared: u64,
    /// What it shares them with, such as the hash of the issue.
    pub group: Option<u64>,
}

/// A batch that is being filled.
#[derive(Debug, Clone)]
pub struct Fill {
    cost: Cost,
    rows: u64,
    longest: u64,
    total: u64,
    /// Groups that are in the batch, with the tokens of theirs that are computed.
    groups: Vec<(u64, u64)>,
}

impl Fill {
    /// An empty batch.
    pub fn new(cost: Cost) -> Self {
        Self { cost, rows: 0, longest: 0, total: 0, groups: Vec::new() }
    }

    /// What the batch would cost with one more row.
    pub fn with(&self, row: Row) -> u64 {
        match self.cost {
            Cost::Padded => (self.rows + 1) * self.longest.max(row.tokens),
            Cost::Packed { attention } => self.total + span(self.computed(row), row.tokens, attention),
        }
    }

    /// Adds a row.
    pub fn add(&mut self, row: Row) {
        self.total = self.with(row);
        self.rows += 1;
        self.longest = self.longest.max(row.tokens);
        if let Some(group) = row.group {
            let shared = row.shared.min(row.tokens);
            match self.groups.iter_mut().find(|(known, _)| *known == group) {
                Some((_, computed)) => *computed = (*computed).max(shared),
                None => self.groups.push((group, shared)),
            }
        }
    }

    /// What the batch costs.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Leading tokens of the row that the batch computes already.
    fn computed(&self, row: Row) -> u64 {
        let Some(group) = row.group else { return 0 };
        let known = self.groups.iter().find(|(known, _)| *known == group);
        known.map_or(0, |(_, computed)| (*computed).min(row.shared).min(row.tokens))
    }
}

/// Cost of the tokens from `start` to `end` of a sequence: one each, and for each the tokens before it over
/// 2 × `attention` (a token sees half of the row on average, so a row of `attention` tokens costs twice its length
/// when this is added up: Σ i / (a/2) ≈ end² / a).
fn span(start: u64, end: u64, attention: u64) -> u64 {
    let seen = (end * end - start * start).checked_div(attention).unwrap_or(0);
    end - start + seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tokens: u64, shared: u64, group: u64) -> Row {
        Row { tokens, shared, group: Some(group) }
    }

    #[test]
    fn a_shared_prefix_is_paid_once() {
        let mut fill = Fill::new(Cost::Packed { attention: 0 });
        fill.add(row(1_100, 1_000, 1));
        assert_eq!(fill.with(row(1_200, 1_000, 1)), 1_100 + 200);
        assert_eq!(fill.with(row(1_200, 1_000, 2)), 1_100 + 1_200);
        assert_eq!(fill.with(Row { tokens: 50, shared: 50, group: None }), 1_150);
    }

    #[test]
    fn attention_doubles_the_cost_at_its_length() {
        let mut fill = Fill::new(Cost::Packed { attention: 1_000 });
        fill.add(Row { tokens: 1_000, shared: 0, group: None });
        assert_eq!(fill.total(), 2_000);
    }

    #[test]
    fn padding_makes_every_row_as_long_as_the_longest() {
        let mut fill = Fill::new(Cost::Padded);
        fill.add(row(10, 0, 1));
        fill.add(row(100, 0, 1));
        assert_eq!((fill.total(), fill.rows()), (200, 2));
        assert_eq!(fill.with(row(7, 0, 1)), 300);
    }
}
