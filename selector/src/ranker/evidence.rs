//! Columns from evidence beside the patch: the trajectory, the tests, the verifier.

use common::TestKind;

use crate::{
    evidence::Opinion,
    facts::{Facts, Outcome, Work},
    policies::Context,
};

/// Facts of trajectories by name.
type Fact = (&'static str, fn(&Facts) -> Option<f64>);

const FACTS: [Fact; 15] = [
    ("t_steps", |facts| facts.steps.map(|steps| f64::from(steps).ln_1p())),
    ("t_finished", |facts| facts.finished.map(flag)),
    ("t_limit", |facts| {
        use common::ExitStatus::{Limit, SubmittedAtLimit, Unknown};
        (facts.exit != Unknown).then(|| flag(matches!(facts.exit, Limit | SubmittedAtLimit)))
    }),
    ("t_edits", |facts| work(facts, |work| f64::from(work.edits).ln_1p())),
    ("t_failed_edits", |facts| work(facts, |work| f64::from(work.failed_edits).ln_1p())),
    ("t_runs", |facts| work(facts, |work| f64::from(work.runs).ln_1p())),
    ("t_tests", |facts| work(facts, |work| f64::from(work.tests).ln_1p())),
    ("t_tail", |facts| work(facts, |work| f64::from(work.after_last_edit).ln_1p())),
    ("t_ran_after", |facts| work(facts, |work| flag(work.last_run.is_some()))),
    ("t_run_passed", |facts| {
        work(facts, |work| flag(work.last_run.is_some_and(|run| run != Outcome::Failed)))
    }),
    ("t_run_failed", |facts| work(facts, |work| flag(work.last_run == Some(Outcome::Failed)))),
    ("t_test_passed", |facts| work(facts, |work| flag(work.last_test == Some(Outcome::Passed)))),
    ("t_errors", |facts| work(facts, |work| work.errors)),
    ("t_late_errors", |facts| work(facts, |work| work.late_errors)),
    ("t_repeats", |facts| work(facts, |work| work.repeats)),
];

fn work(facts: &Facts, value: impl Fn(&Work) -> f64) -> Option<f64> {
    facts.work.as_ref().map(value)
}

const TESTS: [&str; 4] = ["e_regression", "e_reproduction", "e_generated", "e_tampered"];

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// Whether a column of evidence has this name.
pub(super) fn is_known(name: &str) -> bool {
    name == "v_logit" || TESTS.contains(&name) || FACTS.iter().any(|(known, _)| *known == name)
}

/// A column of evidence; NaN where there is none.
pub(super) fn column(context: &Context<'_>, of: &[usize], name: &str) -> Option<Vec<f64>> {
    if let Some((_, fact)) = FACTS.iter().find(|(known, _)| *known == name) {
        return Some(
            of.iter().map(|&at| fact(&context.pool.candidates[at].facts).unwrap_or(f64::NAN)).collect(),
        );
    }
    let vote = |kind: TestKind| -> Option<Vec<f64>> {
        Some(of.iter().map(|&at| context.tests.vote_of(at, kind).unwrap_or(f64::NAN)).collect())
    };
    match name {
        "v_logit" => {
            Some(of.iter().map(|&at| context.verifier[at].map_or(f64::NAN, Opinion::logit)).collect())
        }
        "e_regression" => vote(TestKind::Regression),
        "e_reproduction" => vote(TestKind::Reproduction),
        "e_generated" => vote(TestKind::Generated),
        "e_tampered" => Some(of.iter().map(|&at| flag(context.tests.summary(at).tampered > 0)).collect()),
        _ => None,
    }
}
