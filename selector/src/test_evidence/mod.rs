//! What tests say of each candidate, after the rules that keep bad evidence out.
//!
//! - Regression tests count only where they pass on the unpatched code, reproduction and generated tests only where
//!   they fail on it. Without a run on the unpatched code the candidates are compared with one another, and the
//!   selection says so.
//! - A missing or skipped test is unknown, never a pass. Reruns vote; a tie is unknown.
//! - A test that the patch edits or deletes does not count for that patch.
//! - A test weighs more the better it tells the candidates apart: 4·p·(1−p), where p is the share that passes it.

mod matrix;
mod tamper;

use common::{Degraded, TestKind, TestSummary};

use self::matrix::{Cell, Suite};
pub use self::tamper::Touched;
use crate::{
    evidence::{Evidence, Index},
    pool::PreparedPool,
};

/// Test evidence of a whole pool, by position.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestEvidence {
    tallies: Vec<Tally>,
    has_regression: bool,
    has_reproduction: bool,
    /// What was missing for the rules to apply in full.
    pub(crate) degraded: Vec<Degraded>,
}

/// What the tests said of one candidate.
#[derive(Debug, Clone, Default)]
struct Tally {
    summary: TestSummary,
    /// Whether any run was on this candidate.
    ran: bool,
    regression_unknown: u32,
    /// By kind: the weighted sum of results, and the sum of weights.
    votes: [(f64, f64); 3],
}

impl Tally {
    /// The weighted vote of some kinds, each as far as it is trusted; `None` when no test tells candidates apart.
    fn vote(&self, kinds: &[TestKind]) -> Option<f64> {
        let of = |part: fn(&(f64, f64)) -> f64| -> f64 {
            kinds.iter().map(|&kind| trust(kind) * part(&self.votes[kind as usize])).sum()
        };
        let weight = of(|vote| vote.1);
        (weight > 0.0).then(|| of(|vote| vote.0) / weight)
    }
}

/// How much a kind of test is trusted in the weighted vote. Generated tests are weak evidence: on the public pool
/// that has them, following them alone closes a hundredth of the gap.
const fn trust(kind: TestKind) -> f64 {
    match kind {
        TestKind::Regression | TestKind::Reproduction => 1.0,
        TestKind::Generated => 0.5,
    }
}

impl TestEvidence {
    /// Applies the rules to the runs. The runs' candidates have been checked to be in the pool.
    pub(crate) fn of(pool: &PreparedPool, index: &Index<'_>, evidence: &Evidence) -> Self {
        let mut all = Self { tallies: vec![Tally::default(); pool.candidates.len()], ..Self::default() };
        for run in &evidence.tests {
            if let Some(at) = run.candidate_id.as_deref().and_then(|id| index.get(id)) {
                all.tallies[*at].ran = true;
            }
        }
        for suite in matrix::suites(pool, index, &evidence.tests) {
            all.add(pool, &suite);
        }
        all
    }

    fn add(&mut self, pool: &PreparedPool, suite: &Suite<'_>) {
        let regression = suite.kind == TestKind::Regression;
        if !suite.has_base {
            self.note_no_base(suite);
        }
        for row in suite.relevant() {
            if regression {
                self.has_regression = true;
            } else {
                self.has_reproduction = true;
            }
            let weight = discrimination(pool, row);
            for (tally, cell) in self.tallies.iter_mut().zip(row) {
                let vote = &mut tally.votes[suite.kind as usize];
                vote.1 += weight;
                let summary = &mut tally.summary;
                match cell {
                    Cell::Passed => {
                        vote.0 += weight;
                        *if regression {
                            &mut summary.regression_passed
                        } else {
                            &mut summary.reproduction_passed
                        } += 1;
                    }
                    Cell::Failed => {
                        vote.0 -= weight;
                        *if regression {
                            &mut summary.regression_broken
                        } else {
                            &mut summary.reproduction_failed
                        } += 1;
                    }
                    Cell::Unknown => {
                        summary.unknown += 1;
                        tally.regression_unknown += u32::from(regression);
                    }
                    Cell::Tampered => {
                        summary.tampered += 1;
                        tally.regression_unknown += u32::from(regression);
                    }
                }
            }
        }
    }

    fn note_no_base(&mut self, suite: &Suite<'_>) {
        let evidence = match suite.kind {
            TestKind::Regression => "regression",
            TestKind::Reproduction => "reproduction",
            TestKind::Generated => "generated",
        };
        let name = if suite.name.is_empty() { String::new() } else { format!(" `{}`", suite.name) };
        self.degraded.push(Degraded {
            evidence: evidence.to_owned(),
            detail: format!(
                "no run of suite{name} on the unpatched code: its tests were compared among the candidates only"
            ),
        });
    }

    /// Whether any regression test counts.
    pub(crate) fn has_regression(&self) -> bool {
        self.has_regression
    }

    /// Whether any reproduction or generated test counts.
    pub(crate) fn has_reproduction(&self) -> bool {
        self.has_reproduction
    }

    /// The counts for a candidate; all zero or unknown when no run was on it.
    pub(crate) fn summary(&self, at: usize) -> TestSummary {
        self.tallies[at].summary
    }

    /// The counts for a candidate that at least one run was on.
    pub(crate) fn known_summary(&self, at: usize) -> Option<TestSummary> {
        let tally = &self.tallies[at];
        (tally.ran || tally.summary.tampered > 0).then_some(tally.summary)
    }

    /// Regression tests that a candidate breaks, or of which nothing is known for it.
    pub(crate) fn regression_open(&self, at: usize) -> u32 {
        self.tallies[at].summary.regression_broken + self.tallies[at].regression_unknown
    }

    /// The weighted vote in [−1, 1]: a pass counts for, a failure against, an unknown result neither way.
    pub(crate) fn vote(&self, at: usize) -> f64 {
        let kinds = [TestKind::Regression, TestKind::Reproduction, TestKind::Generated];
        self.tallies[at].vote(&kinds).unwrap_or(0.0)
    }

    /// The same of one kind; `None` when no run was on the candidate, or no test of the kind tells candidates apart.
    pub(crate) fn vote_of(&self, at: usize, kind: TestKind) -> Option<f64> {
        self.tallies[at].vote(&[kind]).filter(|_| self.tallies[at].ran)
    }
}

/// How well a test tells the candidates apart, in [0, 1]: 4·p·(1−p) over the non-empty patches it ran on.
fn discrimination(pool: &PreparedPool, row: &[Cell]) -> f64 {
    let (mut passed, mut known) = (0_u32, 0_u32);
    for (candidate, cell) in pool.candidates.iter().zip(row) {
        if candidate.emptiness() == 0 && matches!(cell, Cell::Passed | Cell::Failed) {
            known += 1;
            passed += u32::from(*cell == Cell::Passed);
        }
    }
    if known == 0 {
        return 0.0;
    }
    let share = f64::from(passed) / f64::from(known);
    4.0 * share * (1.0 - share)
}

#[cfg(test)]
mod tests;
