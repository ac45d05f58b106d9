//! The report of a measurement, as data and as text.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::{
    calibration::{Calibration, pass_at},
    issue::LabelledIssue,
    table::Row,
};

/// All pools.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Folds for the learned policy; below 2 it was used as it is.
    pub folds: usize,
    /// Candidates drawn of each issue, where not all.
    pub sample: Option<usize>,
    /// Draws.
    pub seeds: u64,
    /// Each pool.
    pub pools: Vec<PoolReport>,
    /// Confidence of the learned policy over the pools together.
    pub calibration: Option<Calibration>,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolReport {
    /// Its name.
    pub name: String,
    /// Issues.
    pub instances: usize,
    /// Candidates.
    pub candidates: usize,
    /// Issues whose candidates do not all share an outcome: the only ones a selector can win or lose.
    pub disagree: usize,
    /// The table.
    pub rows: Vec<Row>,
    /// Percentage of issues that the best of k random candidates resolves, by k.
    pub oracle_at: Vec<(usize, f64)>,
    /// Confidence of the learned policy on this pool.
    pub calibration: Option<Calibration>,
}

/// Unbiased oracle at 1, 2, 4, … up to the largest pool.
pub(super) fn oracle_at(issues: &[LabelledIssue]) -> Vec<(usize, f64)> {
    let largest = issues.iter().map(|issue| issue.resolved.len()).max().unwrap_or(0);
    let at = |k: usize| {
        let share = |issue: &LabelledIssue| {
            let right = (0..issue.resolved.len()).filter(|&at| issue.is_resolved(at)).count();
            pass_at(issue.resolved.len(), right, k)
        };
        100.0 * issues.iter().map(share).sum::<f64>() / issues.len().max(1) as f64
    };
    std::iter::successors(Some(1), |k| Some(k * 2))
        .take_while(|&k| k <= largest)
        .map(|k| (k, at(k)))
        .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pool in &self.pools {
            writeln!(f, "{pool}")?;
        }
        if let Some(calibration) = &self.calibration {
            writeln!(
                f,
                "confidence of hybrid over {} picks of all pools: expected calibration error {:.3}, Brier {:.3}",
                calibration.picks, calibration.ece, calibration.brier
            )?;
            for bin in &calibration.bins {
                writeln!(
                    f,
                    "  {:.1}-{:.1}  picks {:5}  mean confidence {:.3}  resolved {:.3}",
                    bin.from,
                    bin.from + 0.1,
                    bin.picks,
                    bin.confidence,
                    bin.resolved
                )?;
            }
        }
        if self.folds > 1 {
            writeln!(
                f,
                "hybrid is out of fold: {} folds by instance, each picked by a model fit on the others",
                self.folds
            )?;
        }
        if let Some(sample) = self.sample {
            writeln!(f, "each issue: {sample} random candidates, mean of {} draws", self.seeds)?;
        }
        writeln!(f, "majority* is the reference scorer's: the same changed lines, mean over ties")
    }
}

impl fmt::Display for PoolReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: instances {}, candidates {}, instances that disagree {}",
            self.name, self.instances, self.candidates, self.disagree
        )?;
        for row in &self.rows {
            write!(
                f,
                "{:16} resolved {:5.1} %   gap closed {:6.1} %",
                row.name, row.resolved, row.gap_closed
            )?;
            if let Some([low, high]) = row.interval {
                write!(f, "   95 % interval of gap closed [{low:.1}, {high:.1}]")?;
            }
            writeln!(f)?;
        }
        let mut line = String::new();
        for (k, share) in &self.oracle_at {
            write!(line, "  @{k} {share:.1}")?;
        }
        if !line.is_empty() {
            writeln!(f, "oracle{line}")?;
        }
        if let Some(calibration) = &self.calibration {
            writeln!(f, "hybrid expected calibration error {:.3}", calibration.ece)?;
        }
        Ok(())
    }
}
