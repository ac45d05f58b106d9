use common::{Candidate, TestRun, TestStatus, Trajectory};

use super::*;
use crate::{Pool, evidence};

use TestStatus::{Error, Failed, Missing, Passed, Skipped};

fn pool(patches: &[&str]) -> PreparedPool {
    let candidate = |(at, patch): (usize, &&str)| Candidate {
        candidate_id: at.to_string(),
        trajectory: Trajectory { patch: Some((*patch).to_owned()), ..Trajectory::default() },
    };
    let candidates = patches.iter().enumerate().map(candidate).collect();
    PreparedPool::new(&Pool { instance_id: "a__b-1".into(), issue: None, candidates })
}

fn fix(value: u32) -> String {
    format!("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+a = {value}\n")
}

fn run(candidate: Option<u32>, kind: TestKind, results: &[(&str, TestStatus)]) -> TestRun {
    TestRun {
        candidate_id: candidate.map(|at| at.to_string()),
        kind,
        suite: "s".into(),
        results: results.iter().map(|(name, status)| ((*name).to_owned(), *status)).collect(),
    }
}

fn read(pool: &PreparedPool, tests: Vec<TestRun>) -> TestEvidence {
    let evidence = Evidence { tests, ..Evidence::default() };
    TestEvidence::of(pool, &evidence::index(pool).unwrap(), &evidence)
}

#[test]
fn regression_counts_only_what_passes_on_the_base() {
    let pool = pool(&[&fix(2), &fix(3)]);
    let base =
        run(None, TestKind::Regression, &[("a", Passed), ("b", Failed), ("c", Passed), ("d", Missing)]);
    let one =
        run(Some(0), TestKind::Regression, &[("a", Passed), ("b", Passed), ("c", Failed), ("d", Passed)]);
    let two = run(Some(1), TestKind::Regression, &[("a", Passed), ("new", Passed)]);
    let tests = read(&pool, vec![base, one, two]);
    let (one, two) = (tests.summary(0), tests.summary(1));
    assert_eq!((one.regression_passed, one.regression_broken, one.unknown), (1, 1, 0));
    assert_eq!((two.regression_passed, two.regression_broken, two.unknown), (1, 0, 1), "missing is unknown");
    assert_eq!(tests.regression_open(1), 1);
    assert!(tests.degraded.is_empty());
}

#[test]
fn reproduction_counts_only_what_fails_on_the_base() {
    let pool = pool(&[&fix(2)]);
    let base = run(None, TestKind::Reproduction, &[("a", Failed), ("b", Error), ("c", Passed)]);
    let one = run(Some(0), TestKind::Reproduction, &[("a", Passed), ("b", Error), ("c", Passed)]);
    let one = read(&pool, vec![base, one]).summary(0);
    assert_eq!((one.reproduction_passed, one.reproduction_failed), (1, 1));
}

#[test]
fn reruns_vote_and_a_tie_is_unknown() {
    let pool = pool(&[&fix(2)]);
    let again = |status| run(Some(0), TestKind::Regression, &[("a", status)]);
    let base = run(None, TestKind::Regression, &[("a", Passed)]);
    for (reruns, wanted) in [
        (vec![Passed, Failed, Passed], (1, 0, 0)),
        (vec![Passed, Failed, Failed], (0, 1, 0)),
        (vec![Passed, Failed], (0, 0, 1)),
        (vec![Passed, Skipped, Missing], (1, 0, 0)),
        (vec![Skipped], (0, 0, 1)),
    ] {
        let runs = std::iter::once(base.clone()).chain(reruns.iter().map(|&status| again(status)));
        let one = read(&pool, runs.collect()).summary(0);
        assert_eq!((one.regression_passed, one.regression_broken, one.unknown), wanted, "{reruns:?}");
    }
}

#[test]
fn without_a_base_candidates_are_compared_and_the_result_says_so() {
    let pool = pool(&[&fix(2), &fix(3)]);
    let one = run(Some(0), TestKind::Regression, &[("a", Passed), ("b", Failed)]);
    let two = run(Some(1), TestKind::Regression, &[("a", Failed), ("b", Failed)]);
    let tests = read(&pool, vec![one, two]);
    assert_eq!(tests.summary(0).regression_passed, 1);
    assert_eq!(tests.summary(1).regression_broken, 1, "what nobody passes does not count");
    assert_eq!(tests.degraded[0].evidence, "regression");
    assert!(tests.degraded[0].detail.contains("`s`"), "{:?}", tests.degraded);
}

#[test]
fn a_test_weighs_what_it_tells_apart() {
    let pool = pool(&[&fix(2), &fix(3), &fix(4), &fix(5)]);
    let kind = TestKind::Reproduction;
    let mut runs = vec![run(None, kind, &[("all", Failed), ("half", Failed), ("one", Failed)])];
    for at in 0..4_u32 {
        let half = if at < 2 { Passed } else { Failed };
        let one = if at == 3 { Passed } else { Failed };
        runs.push(run(Some(at), kind, &[("all", Passed), ("half", half), ("one", one)]));
    }
    let tests = read(&pool, runs);
    // Weights: all 0, half 4·½·½ = 1, one 4·¼·¾ = ¾.
    assert!((tests.vote(0) - (1.0 - 0.75) / 1.75).abs() < 1e-12);
    assert!((tests.vote(2) - (-1.0 - 0.75) / 1.75).abs() < 1e-12);
    assert!((tests.vote(3) - (-1.0 + 0.75) / 1.75).abs() < 1e-12);
}

#[test]
fn an_edited_test_counts_for_nobody_who_edited_it() {
    let cheat =
        format!("{}--- a/t/test_x.py\n+++ b/t/test_x.py\n@@ -1 +1 @@\n-assert a\n+assert 1\n", fix(2));
    let pool = pool(&[&cheat, &fix(2)]);
    let kind = TestKind::Regression;
    let runs = vec![
        run(None, kind, &[("t/test_x.py::a", Passed), ("t/test_y.py::a", Passed)]),
        run(Some(0), kind, &[("t/test_x.py::a", Passed), ("t/test_y.py::a", Passed)]),
        run(Some(1), kind, &[("t/test_x.py::a", Passed), ("t/test_y.py::a", Passed)]),
    ];
    let tests = read(&pool, runs);
    let (one, two) = (tests.summary(0), tests.summary(1));
    assert_eq!((one.regression_passed, one.tampered), (1, 1));
    assert_eq!((two.regression_passed, two.tampered), (2, 0));
}
