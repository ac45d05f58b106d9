//! Test runs as one matrix a suite: tests by candidates, reruns voted on.

use std::collections::BTreeMap;

use common::{TestKind, TestRun, TestStatus};

use super::tamper::Touched;
use crate::{evidence::Index, pool::PreparedPool};

/// What a test says of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Passed,
    Failed,
    /// Not run, skipped, not reported, or reruns that contradict each other evenly.
    Unknown,
    /// The patch touches the test.
    Tampered,
}

/// All runs of one suite.
#[derive(Debug)]
pub(super) struct Suite<'a> {
    pub(super) kind: TestKind,
    pub(super) name: &'a str,
    /// Whether a run on the unpatched code is among them.
    pub(super) has_base: bool,
    base: Vec<Cell>,
    tests: Vec<&'a str>,
    /// By test, then by candidate.
    rows: Vec<Vec<Cell>>,
}

/// Passes and failures of reruns.
#[derive(Debug, Clone, Copy, Default)]
struct Ballot {
    passed: u32,
    failed: u32,
}

impl Ballot {
    fn add(&mut self, status: TestStatus) {
        match status {
            TestStatus::Passed => self.passed += 1,
            TestStatus::Failed | TestStatus::Error => self.failed += 1,
            TestStatus::Skipped | TestStatus::Missing => {}
        }
    }

    fn outcome(self) -> Cell {
        match self.passed.cmp(&self.failed) {
            std::cmp::Ordering::Greater => Cell::Passed,
            std::cmp::Ordering::Less => Cell::Failed,
            std::cmp::Ordering::Equal => Cell::Unknown,
        }
    }
}

/// Groups the runs by kind and suite, in that order.
pub(super) fn suites<'a>(pool: &PreparedPool, index: &Index<'_>, runs: &'a [TestRun]) -> Vec<Suite<'a>> {
    let mut groups: BTreeMap<(TestKind, &str), Vec<&TestRun>> = BTreeMap::new();
    for run in runs {
        groups.entry((run.kind, &run.suite)).or_default().push(run);
    }
    groups.into_iter().map(|((kind, name), runs)| suite(pool, index, kind, name, &runs)).collect()
}

fn suite<'a>(
    pool: &PreparedPool,
    index: &Index<'_>,
    kind: TestKind,
    name: &'a str,
    runs: &[&'a TestRun],
) -> Suite<'a> {
    let candidates = pool.candidates.len();
    // The base comes last in each row.
    let mut ballots: BTreeMap<&str, Vec<Ballot>> = BTreeMap::new();
    for run in runs {
        let column = run.candidate_id.as_deref().map_or(Some(candidates), |id| index.get(id).copied());
        let Some(column) = column else { continue };
        for (test, status) in &run.results {
            ballots.entry(test).or_insert_with(|| vec![Ballot::default(); candidates + 1])[column]
                .add(*status);
        }
    }
    let mut suite = Suite {
        kind,
        name,
        has_base: runs.iter().any(|run| run.candidate_id.is_none()),
        base: Vec::with_capacity(ballots.len()),
        tests: ballots.keys().copied().collect(),
        rows: Vec::with_capacity(ballots.len()),
    };
    for row in ballots.values() {
        suite.base.push(row[candidates].outcome());
        suite.rows.push(row[..candidates].iter().map(|ballot| ballot.outcome()).collect());
    }
    for (column, candidate) in pool.candidates.iter().enumerate() {
        let touched: &Touched = &candidate.touched;
        if touched.is_empty() {
            continue;
        }
        for (test, row) in suite.tests.iter().zip(&mut suite.rows) {
            if touched.covers(test) {
                row[column] = Cell::Tampered;
            }
        }
    }
    suite
}

impl Suite<'_> {
    /// The tests that count, with what they say of each candidate.
    pub(super) fn relevant(&self) -> impl Iterator<Item = &[Cell]> {
        let counts = move |at: usize| match (self.kind, self.has_base) {
            (TestKind::Regression, true) => self.base[at] == Cell::Passed,
            (_, true) => self.base[at] == Cell::Failed,
            // Nobody passes it: it most likely fails on the unpatched code too.
            (TestKind::Regression, false) => self.rows[at].contains(&Cell::Passed),
            (_, false) => true,
        };
        (0..self.tests.len()).filter(move |&at| counts(at)).map(|at| self.rows[at].as_slice())
    }
}
