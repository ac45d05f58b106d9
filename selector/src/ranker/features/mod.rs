//! What the ranker knows of each candidate, relative to its pool.
//!
//! A feature is a *view* of a *column*, named `view:column`:
//!
//! - `c:` the value less the pool's mean, in units of its usual spread, cut at ±2.5;
//! - `k:` the rank within the pool, from −1.5 to 1.5, ties in the middle;
//! - `q:` the rank squared, so that both ends stand out from the middle, from −0.5 to 1;
//! - `iX:` another view times a property of the pool: `a` agreement, `l` agreement on places, `n` size, `e` equal
//!   changes, `f` agreement on files, `v` the share that a verifier scored.
//!
//! Unknown values stand at the pool's mean. Columns are computed when a model asks for them.

mod columns;
mod pairs;

pub(crate) use columns::Columns;

/// Cut of a centred value, in spreads.
const CUT: f64 = 2.5;

/// How a column is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
enum View {
    Centred,
    Rank,
    Square,
}

/// A feature's name, taken apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Feature<'a> {
    view: View,
    column: &'a str,
    /// The pool's property that the view is multiplied with.
    with: Option<PoolProperty>,
}

/// A property of a pool, brought to the order of one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct PoolProperty {
    name: &'static str,
    middle: f64,
    spread: f64,
}

/// Middles and spreads over the public pools; the share that a verifier scored as it is.
const PROPERTIES: [(char, PoolProperty); 6] = [
    ('v', PoolProperty { name: "scored", middle: 0.0, spread: 1.0 }),
    ('a', PoolProperty { name: "agreement", middle: 0.25, spread: 0.17 }),
    ('l', PoolProperty { name: "agreement_places", middle: 0.30, spread: 0.18 }),
    ('n', PoolProperty { name: "size", middle: 2.7, spread: 0.8 }),
    ('e', PoolProperty { name: "agreement_equal", middle: 0.15, spread: 0.15 }),
    ('f', PoolProperty { name: "agreement_files", middle: 0.7, spread: 0.25 }),
];

impl<'a> Feature<'a> {
    /// Takes a name apart; `None` for one that no feature has.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let (view, column) = name.split_once(':')?;
        let view = match view {
            "c" => View::Centred,
            "k" => View::Rank,
            "q" => View::Square,
            _ => {
                let letter = view.strip_prefix('i')?.chars().next().filter(|_| view.len() == 2)?;
                let (_, with) = PROPERTIES.into_iter().find(|(known, _)| *known == letter)?;
                let inner = Self::parse(column).filter(|inner| inner.with.is_none())?;
                return Some(Self { with: Some(with), ..inner });
            }
        };
        columns::is_known(column).then_some(Self { view, column, with: None })
    }

    /// The feature of each candidate before it is scaled and cut.
    pub(crate) fn part(&self, columns: &Columns<'_>) -> Part {
        let column = columns.column(self.column);
        let values = match self.view {
            View::Centred => centred(&column),
            View::Rank => ranks(&column).into_iter().map(|rank| 3.0 * rank).collect(),
            View::Square => ranks(&column).into_iter().map(|rank| 6.0 * rank * rank - 0.5).collect(),
        };
        let factor = self
            .with
            .map_or(1.0, |with| ((columns.pool(with.name) - with.middle) / with.spread).clamp(-2.0, 2.0));
        Part { values, factor }
    }

    /// Whether values are divided by a scale and cut.
    pub(crate) fn has_scale(&self) -> bool {
        self.view == View::Centred
    }
}

/// A feature over the candidates of a pool.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// By candidate.
    pub(crate) values: Vec<f64>,
    /// The pool's property, where the feature has one.
    factor: f64,
}

impl Part {
    /// The feature of a candidate, with the scale learned for it.
    pub(crate) fn scaled(&self, at: usize, scale: Option<f64>) -> f64 {
        let value = self.values[at];
        self.factor * scale.map_or(value, |scale| (value / scale).clamp(-CUT, CUT))
    }
}

/// Values less the mean of those known; the unknown at 0.
fn centred(column: &[f64]) -> Vec<f64> {
    let known = || column.iter().filter(|value| value.is_finite());
    let mean = known().sum::<f64>() / known().count().max(1) as f64;
    column.iter().map(|value| if value.is_finite() { value - mean } else { 0.0 }).collect()
}

/// Ranks from −0.5 (all others are higher) to 0.5; equal values share theirs, the unknown have 0.
fn ranks(column: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = column.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let count = sorted.len();
    column
        .iter()
        .map(|value| {
            if count < 2 || !value.is_finite() {
                return 0.0;
            }
            let below = sorted.partition_point(|other| other < value);
            let not_above = sorted.partition_point(|other| other <= value);
            (below as f64 + not_above as f64 - count as f64) / (2.0 * count as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_stand_in_the_middle() {
        assert_eq!(centred(&[1.0, f64::NAN, 3.0]), [-1.0, 0.0, 1.0]);
        assert_eq!(ranks(&[1.0, f64::NAN, 3.0]), [-0.25, 0.0, 0.25]);
        assert_eq!(ranks(&[2.0, 2.0, 1.0, 5.0]), [0.0, 0.0, -0.375, 0.375]);
        assert_eq!(ranks(&[2.0]), [0.0]);
    }

    #[test]
    fn names() {
        for name in ["c:m_chg", "k:l_A", "q:l_addscr", "in:c:m_line", "c:f_k_true", "ia:q:l_nsrc"] {
            assert!(Feature::parse(name).is_some(), "{name}");
        }
        for name in
            ["m_chg", "c:nothing", "x:m_chg", "iz:c:m_chg", "in:ia:c:m_chg", "c:l_nothing", "i:c:m_chg"]
        {
            assert!(Feature::parse(name).is_none(), "{name}");
        }
    }
}
