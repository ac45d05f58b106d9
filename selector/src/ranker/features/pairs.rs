//! All pairs of a pool compared, in several ways.

use patch::Overlap;

use crate::ranker::Sketch;

/// A square table of likenesses, candidate by candidate; the diagonal is zero.
#[derive(Debug, Clone)]
pub(super) struct Table {
    size: usize,
    values: Vec<f64>,
}

impl Table {
    /// A table of a function of two different positions.
    pub(super) fn new(size: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let values = (0..size * size)
            .map(|at| if at / size == at % size { 0.0 } else { value(at / size, at % size) })
            .collect();
        Self { size, values }
    }

    /// Shared elements over the union; nothing shared where both are empty.
    pub(super) fn jaccard(overlap: &Overlap) -> Self {
        Self::new(overlap.len(), |a, b| {
            let shared = overlap.shared(a, b);
            ratio(shared, overlap.size(a) + overlap.size(b) - shared)
        })
    }

    /// Shared elements over those of the row's candidate.
    pub(super) fn part(overlap: &Overlap) -> Self {
        Self::new(overlap.len(), |a, b| ratio(overlap.shared(a, b), overlap.size(a)))
    }

    /// 1 where two keys are the same.
    pub(super) fn equal(keys: &[u64]) -> Self {
        Self::new(keys.len(), |a, b| f64::from(u8::from(keys[a] == keys[b])))
    }

    /// A candidate's likenesses to the others.
    pub(super) fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.size..(at + 1) * self.size]
    }

    /// The mean of each row over the others; 0 for a pool of one.
    pub(super) fn row_means(&self) -> Vec<f64> {
        (0..self.size).map(|at| self.row(at).iter().sum::<f64>() / self.others()).collect()
    }

    /// The mean of each column over the others.
    pub(super) fn column_means(&self) -> Vec<f64> {
        (0..self.size)
            .map(|column| {
                (0..self.size).map(|row| self.values[row * self.size + column]).sum::<f64>() / self.others()
            })
            .collect()
    }

    /// The highest of each row.
    pub(super) fn row_highest(&self) -> Vec<f64> {
        (0..self.size).map(|at| self.row(at).iter().copied().fold(0.0, f64::max)).collect()
    }

    /// The mean over the nearest quarter of each row, at least one.
    pub(super) fn row_nearest_quarter(&self) -> Vec<f64> {
        // Half to even, as the research code's `round`.
        let count = ((0.25 * self.others()).round_ties_even() as usize).max(1);
        (0..self.size)
            .map(|at| {
                let mut row = self.row(at).to_vec();
                row.sort_unstable_by(|a, b| b.total_cmp(a));
                row.iter().take(count).sum::<f64>() / count.min(row.len()).max(1) as f64
            })
            .collect()
    }

    fn others(&self) -> f64 {
        self.size.saturating_sub(1).max(1) as f64
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The overlaps that features are made of.
#[derive(Debug)]
pub(super) struct Pairs {
    /// Token runs, added and removed.
    pub(super) grams: Overlap,
    /// Token runs, added.
    pub(super) added_grams: Overlap,
    pub(super) identifiers: Overlap,
    /// Changed lines.
    pub(super) lines: Overlap,
    pub(super) removed_lines: Overlap,
    pub(super) places: Overlap,
    pub(super) near: Overlap,
    pub(super) files: Overlap,
}

impl Pairs {
    /// Compares the sketches.
    pub(super) fn of(sketches: &[&Sketch]) -> Self {
        let of = |part: fn(&Sketch) -> &[u64]| {
            Overlap::new(&sketches.iter().map(|sketch| part(sketch)).collect::<Vec<_>>())
        };
        let both = |added: fn(&Sketch) -> &[u64], removed: fn(&Sketch) -> &[u64]| {
            let sets: Vec<Vec<u64>> = sketches
                .iter()
                .map(|sketch| {
                    // The lowest bit keeps the two sides apart.
                    let mut set: Vec<u64> = added(sketch).iter().map(|hash| hash | 1).collect();
                    set.extend(removed(sketch).iter().map(|hash| hash & !1));
                    set.sort_unstable();
                    set
                })
                .collect();
            Overlap::new(&sets.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        Self {
            grams: both(|sketch| &sketch.added_grams, |sketch| &sketch.removed_grams),
            added_grams: of(|sketch| &sketch.added_grams),
            identifiers: of(|sketch| &sketch.identifiers),
            lines: both(|sketch| &sketch.added_lines, |sketch| &sketch.removed_lines),
            removed_lines: of(|sketch| &sketch.removed_lines),
            places: of(|sketch| &sketch.places),
            near: of(|sketch| &sketch.near),
            files: of(|sketch| &sketch.files),
        }
    }
}
