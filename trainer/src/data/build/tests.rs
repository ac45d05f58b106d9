use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn run(id: u32, issue: u8, prompt: Option<u8>, resolved: Option<bool>) -> Run {
    Run {
        id: format!("{id:08x}"),
        instance_id: format!("a__b-{issue}"),
        prompt: prompt.map(|prompt| prompt.to_string()),
        exit: ExitStatus::Submitted,
        resolved,
        score: None,
    }
}

fn none(_: usize, _: usize) -> f64 {
    0.0
}

#[test]
fn a_pair_needs_one_prompt_two_outcomes_and_finished_runs() {
    let good = run(1, 0, Some(0), Some(true));
    let bad = run(2, 0, Some(0), Some(false));
    let plan = |other: Run| plan_pairs(&[good.clone(), other], PairRules::default(), none);
    assert_eq!(plan(bad.clone()).rows, [(0, 1)]);
    assert_eq!(plan(Run { prompt: Some("1".into()), ..bad.clone() }).dropped.no_opposite, 2);
    assert_eq!(plan(Run { resolved: Some(true), ..bad.clone() }).dropped.no_opposite, 2);
    assert_eq!(plan(Run { resolved: None, ..bad.clone() }).dropped.unlabelled, 1);
    assert_eq!(plan(Run { prompt: None, ..bad.clone() }).dropped.no_conversation, 1);
    assert_eq!(plan(Run { id: good.id.clone(), ..bad.clone() }).dropped.duplicate, 1);
    let limit = Run { exit: ExitStatus::Limit, ..bad };
    assert_eq!(plan(limit.clone()).dropped.unfinished, 1);
    let rules = PairRules { unfinished: true, ..PairRules::default() };
    assert_eq!(plan_pairs(&[good, limit], rules, none).rows, [(0, 1)]);
}

#[test]
fn the_hardest_pairs_are_those_the_verifier_has_wrong() {
    let scored = |id, resolved, score| Run { score, ..run(id, 0, Some(0), Some(resolved)) };
    let runs = [
        scored(0, true, Some(0.9)),
        scored(1, true, Some(0.1)),
        scored(2, false, None),
        scored(3, false, Some(0.8)),
        scored(4, false, Some(0.2)),
    ];
    let rules = |per_issue| PairRules { per_issue, choice: Choice::Hardest, ..PairRules::default() };
    assert_eq!(plan_pairs(&runs, rules(1), none).rows, [(1, 3)]);
    assert_eq!(plan_pairs(&runs, rules(3), none).rows, [(1, 3), (1, 4), (0, 3)]);
    let all = plan_pairs(&runs, rules(100), none);
    assert_eq!(all.rows.len(), 6);
    assert_eq!(all.dropped, Dropped::default());
}

#[test]
fn diverse_successes_are_far_apart() {
    let runs: Vec<Run> = (0..4).map(|id| run(id, 0, Some(0), Some(id != 3))).collect();
    let rules = PairRules { per_issue: 2, choice: Choice::Diverse, unfinished: false };
    let place = [0.0, 0.1, 1.0, 0.0_f64];
    let plan = plan_pairs(&runs, rules, |a, b| (place[a] - place[b]).abs());
    assert_eq!(plan.rows, [(0, 3), (2, 3)]);
    assert_eq!(plan.dropped.over_limit, 1);
}

proptest! {
    #[test]
    fn every_run_is_used_or_counted_and_order_does_not_matter(
        runs in prop::collection::vec(
            (0_u32..40, 0_u8..3, prop::option::of(0_u8..2), prop::option::of(any::<bool>()), prop::option::of(0.0..1.0_f64)),
            0..24,
        ),
        per_issue in 0_usize..6,
        choice in prop_oneof![Just(Choice::Even), Just(Choice::Hardest), Just(Choice::Diverse)],
    ) {
        let runs: Vec<Run> = runs
            .into_iter()
            .map(|(id, issue, prompt, resolved, score)| Run { score, ..run(id, issue, prompt, resolved) })
            .collect();
        let rules = PairRules { per_issue, choice, unfinished: false };
        let distance = |runs: &[Run], a: usize, b: usize| {
            let of = |index: usize| u32::from_str_radix(&runs[index].id, 16).expect("hexadecimal");
            f64::from(of(a).abs_diff(of(b)))
        };
        let plan = plan_pairs(&runs, rules, |a, b| distance(&runs, a, b));
        let mut used = BTreeSet::new();
        for &(chosen, rejected) in &plan.rows {
            prop_assert_eq!((runs[chosen].resolved, runs[rejected].resolved), (Some(true), Some(false)));
            prop_assert_eq!(&runs[chosen].prompt, &runs[rejected].prompt);
            prop_assert_eq!(&runs[chosen].instance_id, &runs[rejected].instance_id);
            used.extend([chosen, rejected]);
        }
        prop_assert_eq!(plan.rows.iter().collect::<BTreeSet<_>>().len(), plan.rows.len(), "no pair twice");
        prop_assert_eq!(used.len() + plan.dropped.total(), runs.len());

        for (needs, patches) in [(Needs::Label, false), (Needs::Success, true), (Needs::Nothing, true)] {
            let rules = RunRules { per_issue: Some(per_issue), needs, unfinished: false, patches };
            let singles = plan_runs(&runs, rules);
            prop_assert_eq!(singles.rows.len() + singles.dropped.total(), runs.len());
            for &row in &singles.rows {
                prop_assert!(patches || runs[row].prompt.is_some());
                let known = match needs {
                    Needs::Label => runs[row].resolved.is_some(),
                    Needs::Success => runs[row].resolved == Some(true),
                    Needs::Nothing => true,
                };
                prop_assert!(known);
            }
        }
    }
}
