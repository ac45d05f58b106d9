//! Policies that count: agreement of patches and votes of tests.

use common::DropStage;

use super::{Context, Verdict, stage::Race};

/// Agentless: fewest regression tests not passed, reproduction passed, majority.
pub(super) fn agentless(context: &Context<'_>) -> Verdict {
    let mut race = Race::nonempty(context);
    if context.tests.has_regression() {
        // A test of which nothing is known is not a pass: the released code counts a missing report as a clean one.
        let open: Vec<u32> = (0..context.len()).map(|at| context.tests.regression_open(at)).collect();
        let keys: Vec<f64> = open.iter().map(|&open| -f64::from(open)).collect();
        race.keep_max(DropStage::Regression, &keys, |at| {
            format!("{} regression tests broken or unknown", open[at])
        });
    } else {
        race.degrade("regression", "no usable regression results; the stage was skipped");
    }
    if context.tests.has_reproduction() {
        let keys: Vec<f64> =
            (0..context.len()).map(|at| f64::from(context.tests.summary(at).reproduction_passed)).collect();
        race.keep_any(
            DropStage::Reproduction,
            &keys,
            |at| keys[at] > 0.0,
            |at| format!("passes {} reproduction tests", keys[at]),
        );
    } else {
        race.degrade("reproduction", "no usable reproduction results; the stage was skipped");
    }
    most_votes(&mut race, context);
    race.finish()
}

/// The most frequent normalised source change.
pub(super) fn majority(context: &Context<'_>) -> Verdict {
    let mut race = Race::nonempty(context);
    most_votes(&mut race, context);
    race.finish()
}

/// The patch most like all others.
pub(super) fn medoid(context: &Context<'_>) -> Verdict {
    let mut race = Race::nonempty(context);
    let keys: Vec<f64> = context.agreement.votes.iter().map(|votes| votes.similarity).collect();
    race.keep_max(DropStage::Votes, &keys, |at| format!("mean similarity to the others {:.2}", keys[at]));
    race.finish()
}

/// The weighted vote of the tests, then agreement.
pub(super) fn test_votes(context: &Context<'_>) -> Verdict {
    let mut race = Race::nonempty(context);
    if context.tests.has_regression() || context.tests.has_reproduction() {
        let keys: Vec<f64> = (0..context.len()).map(|at| context.tests.vote(at)).collect();
        race.keep_max(DropStage::Reproduction, &keys, |at| {
            let summary = context.tests.summary(at);
            format!(
                "weighted test vote {:+.3} (breaks {}, passes {} that show the issue, fails {})",
                keys[at], summary.regression_broken, summary.reproduction_passed, summary.reproduction_failed
            )
        });
    } else {
        race.degrade("tests", "no usable test results; agreement of the patches decided");
    }
    most_votes(&mut race, context);
    race.finish()
}

/// Counts equal normalised changes among those still in.
fn most_votes(race: &mut Race, context: &Context<'_>) {
    let group = &context.agreement.exact;
    let mut count = vec![0_u32; context.len()];
    for &at in race.alive() {
        count[group[at]] += 1;
    }
    let keys: Vec<f64> = group.iter().map(|&group| f64::from(count[group])).collect();
    let among = race.alive().len();
    race.keep_max(DropStage::Votes, &keys, |at| {
        format!("{} of {among} candidates agree on its change", keys[at])
    });
}
