//! The published staged rules: EntroPO's two and R2E-Gym's, with the corrections named in their descriptions.

use common::DropStage;

use super::{Context, Verdict, stage::Race};

/// Scores at or below this are "very unlikely" to EntroPO's released code.
const THRESHOLD: f64 = 0.01;

/// Which end of the conversation length wins; the paper takes the longest on Verified, the shortest on Lite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Longest,
    Shortest,
}

/// EntroPO, mode `hybrid` for SWE-bench Verified.
pub(super) fn entropo_verified(context: &Context<'_>) -> Verdict {
    let mut race = Race::nonempty(context);
    finished(&mut race, context);
    race.prefer(&scores(context));
    regression(&mut race, context);
    reproduction(&mut race, context);
    threshold(&mut race, context);
    length(&mut race, context, Length::Longest);
    race.finish()
}

/// EntroPO, mode `hybrid` for SWE-bench Lite: no execution stages.
pub(super) fn entropo_lite(context: &Context<'_>) -> Verdict {
    let mut race = Race::nonempty(context);
    finished(&mut race, context);
    race.prefer(&scores(context));
    threshold(&mut race, context);
    length(&mut race, context, Length::Shortest);
    race.finish()
}

/// R2E-Gym's hybrid verifier: the upper half by verifier, then tests, then the verifier again.
pub(super) fn r2e_gym(context: &Context<'_>) -> Verdict {
    let mut race = Race::nonempty(context);
    let scores = scores(context);
    race.prefer(&scores);
    if race.alive().iter().any(|&at| context.verifier[at].is_some()) {
        let half = (race.alive().len() / 2).max(1);
        let kept: Vec<usize> = race.alive().iter().copied().take(half).collect();
        race.keep_any(
            DropStage::Verifier,
            &scores,
            |at| kept.contains(&at),
            |at| {
                format!(
                    "verifier {}, {} the upper half",
                    score(context, at),
                    if kept.contains(&at) { "in" } else { "not in" }
                )
            },
        );
    }
    regression(&mut race, context);
    reproduction(&mut race, context);
    most_likely(&mut race, context);
    race.finish()
}

/// R2E-Gym's execution-based rule (`eb`).
#[cfg(test)]
fn execution_based(context: &Context<'_>) -> Verdict {
    let mut race = Race::nonempty(context);
    regression(&mut race, context);
    reproduction(&mut race, context);
    race.finish()
}

/// R2E-Gym's execution-free rule (`ef`).
#[cfg(test)]
fn execution_free(context: &Context<'_>) -> Verdict {
    let mut race = Race::nonempty(context);
    most_likely(&mut race, context);
    race.finish()
}

fn finished(race: &mut Race, context: &Context<'_>) {
    let facts = |at: usize| &context.pool.candidates[at].facts;
    let done = |at: usize| facts(at).finished == Some(true);
    let keys: Vec<f64> = (0..context.len()).map(|at| f64::from(u8::from(done(at)))).collect();
    if (0..context.len()).all(|at| facts(at).finished.is_none()) && context.len() > 0 {
        race.degrade("exit", "no candidate says how its run ended; the finished filter was skipped");
    }
    race.keep_any(DropStage::Unfinished, &keys, done, |at| {
        if done(at) { "its run finished".to_owned() } else { "its run did not finish".to_owned() }
    });
}

fn regression(race: &mut Race, context: &Context<'_>) {
    if !context.tests.has_regression() {
        race.degrade("regression", "no usable regression results; the stage was skipped");
        return;
    }
    let keys: Vec<f64> =
        (0..context.len()).map(|at| f64::from(context.tests.summary(at).regression_passed)).collect();
    race.keep_max(DropStage::Regression, &keys, |at| format!("passes {} regression tests", keys[at]));
}

fn reproduction(race: &mut Race, context: &Context<'_>) {
    if !context.tests.has_reproduction() {
        race.degrade("reproduction", "no usable reproduction results; the stage was skipped");
        return;
    }
    let keys: Vec<f64> =
        (0..context.len()).map(|at| f64::from(context.tests.summary(at).reproduction_passed)).collect();
    race.keep_max(DropStage::Reproduction, &keys, |at| format!("passes {} reproduction tests", keys[at]));
}

fn threshold(race: &mut Race, context: &Context<'_>) {
    if !any_score(race, context) {
        return;
    }
    let likely = |at: usize| context.verifier[at].is_none_or(|opinion| opinion.probability > THRESHOLD);
    race.keep_any(DropStage::Verifier, &scores(context), likely, |at| {
        format!("verifier {}, the threshold is {THRESHOLD}", score(context, at))
    });
}

fn most_likely(race: &mut Race, context: &Context<'_>) {
    if any_score(race, context) {
        race.keep_max(DropStage::Verifier, &scores(context), |at| format!("verifier {}", score(context, at)));
    }
}

fn any_score(race: &mut Race, context: &Context<'_>) -> bool {
    let known = race.alive().iter().filter(|&&at| context.verifier[at].is_some()).count();
    let asked = race.alive().len();
    match known {
        0 if asked > 0 => race.degrade("verifier", "no verifier scores; its stages were skipped"),
        known if known < asked => {
            let without = asked - known;
            race.degrade("verifier", &format!("{without} candidates have no verifier score; they rank behind the scored ones and no threshold drops them"));
        }
        _ => {}
    }
    known > 0
}

/// The released `len(history)`: messages where every candidate with a length has them, steps otherwise, so that two
/// units are never compared.
fn length(race: &mut Race, context: &Context<'_>, end: Length) {
    let facts = || context.pool.candidates.iter().map(|candidate| &candidate.facts);
    let messages = facts().all(|facts| facts.turns.is_some() || facts.steps.is_none());
    let lengths: Vec<Option<u32>> =
        facts().map(|facts| if messages { facts.turns } else { facts.steps }).collect();
    if lengths.iter().all(Option::is_none) {
        if !lengths.is_empty() {
            race.degrade(
                "steps",
                "no candidate has a trajectory or a step count; the first in line was taken",
            );
        }
        return;
    }
    // An unknown length never wins at either end.
    let keys: Vec<f64> = lengths
        .iter()
        .map(|length| match (length, end) {
            (None, _) => f64::NEG_INFINITY,
            (Some(length), Length::Longest) => f64::from(*length),
            (Some(length), Length::Shortest) => -f64::from(*length),
        })
        .collect();
    let unit = if messages { "messages" } else { "steps" };
    let wanted = if end == Length::Longest { "most" } else { "fewest" };
    race.keep_max(DropStage::Steps, &keys, |at| match lengths[at] {
        Some(length) => format!("its run has {length} {unit}, the {wanted} win"),
        None => "its run's length is unknown".to_owned(),
    });
}

/// Sort keys: unscored candidates behind all scored ones.
fn scores(context: &Context<'_>) -> Vec<f64> {
    context.verifier.iter().map(|opinion| opinion.map_or(-1.0, |opinion| opinion.probability)).collect()
}

fn score(context: &Context<'_>, at: usize) -> String {
    context.verifier[at].map_or_else(|| "unknown".to_owned(), |opinion| format!("{:.3}", opinion.probability))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use common::{Candidate, ExitStatus, TestKind, TestRun, TestStatus, Trajectory, Turn, VerifierScore};

    use super::*;
    use crate::{Evidence, Pool, PreparedPool, agreement::Agreement, evidence, test_evidence::TestEvidence};

    type Row = (bool, Option<f64>, u32, u32, usize);

    /// Finished, verifier, regression passes, reproduction passes, messages: the table of the paper's notes.
    const TABLE: [Row; 5] = [
        (true, Some(0.9), 10, 3, 40),
        (true, Some(0.005), 10, 3, 90),
        (true, Some(0.3), 10, 3, 60),
        (false, Some(0.99), 12, 5, 120),
        (true, Some(0.7), 9, 5, 100),
    ];

    fn run(id: &str, kind: TestKind, passed: u32, of: u32) -> TestRun {
        let status = |at| if at < passed { TestStatus::Passed } else { TestStatus::Failed };
        let results = (0..of).map(|at| (format!("test_{at}"), status(at))).collect();
        TestRun { candidate_id: Some(id.to_owned()), kind, suite: String::new(), results }
    }

    fn inputs(rows: &[Row]) -> (Pool, Evidence) {
        let mut pool = Pool { instance_id: "a__b-1".into(), ..Pool::default() };
        let mut evidence = Evidence::default();
        for (at, &(finished, probability, regression, reproduction, length)) in rows.iter().enumerate() {
            let candidate_id = at.to_string();
            let trajectory = Trajectory {
                turns: vec![Turn::default(); length],
                exit: if finished { ExitStatus::Submitted } else { ExitStatus::Limit },
                ..Trajectory::default()
            };
            pool.candidates.push(Candidate { candidate_id: candidate_id.clone(), trajectory });
            evidence.scores.push(VerifierScore {
                candidate_id: candidate_id.clone(),
                probability,
                logit: None,
                spread: None,
                revision: String::new(),
            });
            evidence.tests.push(run(&candidate_id, TestKind::Regression, regression, 12));
            evidence.tests.push(run(&candidate_id, TestKind::Reproduction, reproduction, 5));
        }
        (pool, evidence)
    }

    fn pick(rows: &[Row], rule: fn(&Context<'_>) -> Verdict) -> usize {
        let (pool, evidence) = inputs(rows);
        let pool = PreparedPool::new(&pool);
        let index = evidence::index(&pool).unwrap();
        let agreement = Agreement::of(&pool);
        let tests = TestEvidence::of(&pool, &index, &evidence);
        let verifier = evidence::verifier(&index, &evidence);
        let verdict = rule(&Context {
            pool: &pool,
            agreement: &agreement,
            tests: &tests,
            verifier: &verifier,
            model: None,
        });
        let mut all = verdict.order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..rows.len()).collect::<Vec<_>>(), "every candidate is ranked once");
        let sorted = verdict.order.windows(2).all(|pair| verdict.score[pair[0]] >= verdict.score[pair[1]]);
        assert!(sorted, "scores fall along the ranks: {:?} {:?}", verdict.order, verdict.score);
        verdict.order[0]
    }

    #[test]
    fn golden_table() {
        assert_eq!(pick(&TABLE, entropo_verified), 2);
        assert_eq!(pick(&TABLE, entropo_lite), 0);
        assert_eq!(pick(&TABLE, execution_based), 3);
        assert_eq!(pick(&TABLE, execution_free), 3);
        assert_eq!(pick(&TABLE, r2e_gym), 3);
    }

    #[test]
    fn golden_ties() {
        let by_score = [(true, Some(0.4), 10, 3, 40), (true, Some(0.6), 10, 3, 40)];
        let equal = [(true, Some(0.4), 10, 3, 40); 3];
        for rule in [entropo_verified, entropo_lite] {
            assert_eq!(pick(&by_score, rule), 1);
            assert_eq!(pick(&equal, rule), 0);
        }
    }

    #[test]
    fn golden_all_unfinished() {
        let rows = [(false, Some(0.001), 0, 0, 10), (false, Some(0.002), 0, 0, 20)];
        assert_eq!(pick(&rows, entropo_verified), 1);
        assert_eq!(pick(&rows, entropo_lite), 0);
    }

    #[test]
    fn a_null_score_skips_the_threshold_and_ranks_behind_scored_ones() {
        let rows = [(true, None, 1, 1, 90), (true, Some(0.001), 1, 1, 95), (true, Some(0.5), 1, 1, 40)];
        assert_eq!(
            pick(&rows, entropo_verified),
            0,
            "null is not zero: only the second is below the threshold"
        );
        assert_eq!(pick(&[(true, None, 1, 1, 40), (true, Some(0.5), 1, 1, 40)], entropo_lite), 1);
        assert_eq!(pick(&[(true, None, 1, 1, 40), (true, None, 1, 1, 60)], entropo_verified), 1);
    }

    #[test]
    fn one_candidate_is_picked_by_every_rule() {
        for rule in [entropo_verified, entropo_lite, r2e_gym, execution_based, execution_free] {
            assert_eq!(pick(&TABLE[3..4], rule), 0);
        }
    }

    #[test]
    fn steps_are_not_compared_with_messages() {
        let (mut pool, _) = inputs(&[(true, None, 0, 0, 40), (true, None, 0, 0, 0)]);
        pool.candidates[1].trajectory.steps = Some(30);
        pool.candidates[0].trajectory.steps = Some(20);
        let mut pool = PreparedPool::new(&pool);
        let ask = |pool: &PreparedPool| {
            let index = evidence::index(pool).unwrap();
            let (agreement, tests) =
                (Agreement::of(pool), TestEvidence::of(pool, &index, &Evidence::default()));
            let context =
                Context { pool, agreement: &agreement, tests: &tests, verifier: &[None, None], model: None };
            entropo_verified(&context).order[0]
        };
        assert_eq!(ask(&pool), 1, "20 steps in 40 messages are fewer than 30 steps");
        Arc::make_mut(&mut pool.candidates[1]).facts.steps = None;
        assert_eq!(ask(&pool), 0, "an unknown length never wins");
    }
}
