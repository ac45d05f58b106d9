//! What holds for every policy on every pool.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use common::{
    Candidate, ExitStatus, Selection, TestKind, TestRun, TestStatus, Trajectory, Turn, VerifierScore,
};
use proptest::prelude::*;
use selector::{Evidence, Policy, PolicyRequest, Pool, SelectError, select};

/// Patches that agree, differ, break the rules and are empty.
fn patches() -> impl Strategy<Value = Option<String>> {
    let edit = |file: &str, line: usize, new: &str| {
        format!(
            "diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n@@ -{line},3 +{line},4 @@\n def f(x):\n-    return x\n+    {new}\n+    return x + 1\n     # end\n"
        )
    };
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(String::new())),
        1 => Just(Some(" \n".to_owned())),
        1 => Just(Some("I could not fix this".to_owned())),
        6 => (0..3_usize, 1..4_usize, 0..4_usize).prop_map(move |(file, line, new)| {
            let file = ["pkg/a.py", "pkg/b.py", "tests/test_a.py"][file];
            Some(edit(file, line * 10, ["y = 1", "print(x)", "x = x or None", "if x: x += 1"][new]))
        }),
        2 => (0..3_usize).prop_map(move |n| {
            Some(format!("{}{}", edit("pkg/a.py", 10, "y = 1"), ["--- /dev/null\n+++ b/reproduce.py\n@@ -0,0 +1 @@\n+import a\n", "", "+stray\n"][n]))
        }),
    ]
}

fn trajectories() -> impl Strategy<Value = Trajectory> {
    let exits = prop_oneof![
        Just(ExitStatus::Submitted),
        Just(ExitStatus::Limit),
        Just(ExitStatus::Error),
        Just(ExitStatus::Unknown)
    ];
    (patches(), exits, prop::option::of(0..200_u32), 0..4_usize).prop_map(|(patch, exit, steps, turns)| {
        Trajectory {
            patch,
            exit,
            steps,
            turns: vec![Turn { content: "ls".into(), ..Turn::default() }; turns],
            ..Trajectory::default()
        }
    })
}

fn pools(most: usize) -> impl Strategy<Value = Pool> {
    prop::collection::vec(trajectories(), 0..most).prop_map(|trajectories| Pool {
        instance_id: "a__b-1".into(),
        issue: None,
        candidates: trajectories
            .into_iter()
            .enumerate()
            .map(|(at, trajectory)| Candidate {
                candidate_id: format!("c{:03}", at * 7919 % 1000),
                trajectory,
            })
            .collect(),
    })
}

fn statuses() -> impl Strategy<Value = TestStatus> {
    prop_oneof![
        3 => Just(TestStatus::Passed),
        3 => Just(TestStatus::Failed),
        1 => Just(TestStatus::Error),
        1 => Just(TestStatus::Skipped),
        1 => Just(TestStatus::Missing)
    ]
}

/// Any part of the evidence may be missing.
fn cases() -> impl Strategy<Value = (Pool, Evidence)> {
    pools(12).prop_flat_map(|pool| {
        let size = pool.candidates.len();
        let ids: Vec<String> =
            pool.candidates.iter().map(|candidate| candidate.candidate_id.clone()).collect();
        let kinds =
            prop_oneof![Just(TestKind::Regression), Just(TestKind::Reproduction), Just(TestKind::Generated)];
        let ids_of_runs = ids.clone();
        let run = (0..=size, kinds, prop::collection::vec(statuses(), 0..5)).prop_map(
            move |(at, kind, results)| {
                let named = results.into_iter().enumerate();
                TestRun {
                    candidate_id: ids_of_runs.get(at).cloned(),
                    kind,
                    suite: String::new(),
                    results: named
                        .map(|(n, status)| (format!("tests/test_a.py::test_{n}"), status))
                        .collect(),
                }
            },
        );
        let score =
            (0..size.max(1), prop::option::of(0.0..=1.0)).prop_map(move |(at, probability)| VerifierScore {
                candidate_id: ids.get(at).cloned().unwrap_or_default(),
                probability,
                logit: None,
                spread: None,
                revision: "r1".into(),
            });
        let scores = prop::collection::vec(score, 0..if size == 0 { 1 } else { 8 });
        (Just(pool), prop::collection::vec(run, 0..10), scores)
            .prop_map(|(pool, tests, scores)| (pool, Evidence { tests, scores }))
    })
}

fn ask(pool: &Pool, evidence: &Evidence, policy: Policy) -> Selection {
    select(pool, evidence, &PolicyRequest { policy, ..PolicyRequest::default() }).unwrap()
}

fn is_empty(pool: &Pool, id: &str) -> bool {
    let candidate = pool.candidates.iter().find(|candidate| candidate.candidate_id == id).unwrap();
    patch::parse(candidate.trajectory.patch_text()).is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_ranking_is_complete_and_sound((pool, evidence) in cases()) {
        for policy in Policy::ALL {
            let result = ask(&pool, &evidence, policy);
            let mut ranked: Vec<&str> = result.candidates.iter().map(|r| r.candidate_id.as_str()).collect();
            prop_assert_eq!(result.chosen.as_deref(), ranked.first().copied(), "{}", policy);
            ranked.sort_unstable();
            let mut given: Vec<&str> = pool.candidates.iter().map(|c| c.candidate_id.as_str()).collect();
            given.sort_unstable();
            prop_assert_eq!(ranked, given, "every candidate once under {}", policy);
            for (place, candidate) in result.candidates.iter().enumerate() {
                prop_assert_eq!(candidate.rank as usize, place + 1);
                prop_assert!(candidate.score.is_finite());
                prop_assert!(candidate.probability.is_none_or(|p| (0.0..=1.0).contains(&p)));
                prop_assert!((0.0..=1.0).contains(&candidate.votes.similarity));
                prop_assert!(candidate.votes.exact >= 1 && candidate.votes.cluster >= candidate.votes.exact);
            }
            for pair in result.candidates.windows(2) {
                prop_assert!(pair[0].score >= pair[1].score, "scores fall along the ranks of {}", policy);
            }
            prop_assert!(result.confidence.is_none_or(|p| (0.0..=1.0).contains(&p)));
        }
    }

    #[test]
    fn an_empty_patch_is_never_chosen_over_another((pool, evidence) in cases()) {
        for policy in Policy::ALL {
            if let Some(chosen) = ask(&pool, &evidence, policy).chosen
                && is_empty(&pool, &chosen)
            {
                let all = pool.candidates.iter().all(|c| is_empty(&pool, &c.candidate_id));
                prop_assert!(all, "{} chose an empty patch", policy);
            }
        }
    }

    #[test]
    fn the_same_question_gets_the_same_answer((pool, evidence) in cases()) {
        for policy in Policy::ALL {
            prop_assert_eq!(ask(&pool, &evidence, policy), ask(&pool, &evidence, policy));
        }
    }

    #[test]
    fn hybrid_does_not_look_at_the_order((pool, evidence) in cases(), by in 0..12_usize) {
        let mut turned = pool.clone();
        let by = by % turned.candidates.len().max(1);
        turned.candidates.rotate_left(by);
        let mut other = evidence.clone();
        other.tests.reverse();
        let (one, two) = (ask(&pool, &evidence, Policy::Hybrid), ask(&turned, &other, Policy::Hybrid));
        prop_assert_eq!(&one.chosen, &two.chosen);
        prop_assert_eq!(one.confidence, two.confidence);
        let places = |result: &Selection| -> Vec<(String, f64)> {
            result.candidates.iter().map(|r| (r.candidate_id.clone(), r.score)).collect()
        };
        prop_assert_eq!(places(&one), places(&two));
    }

    #[test]
    fn published_rules_depend_on_the_order_in_ties_only((pool, evidence) in cases()) {
        // Whoever is chosen in one order is among the best of any other: it may only lose to an equal.
        let mut turned = pool.clone();
        turned.candidates.reverse();
        // R2E-Gym cuts the pool in half by score: with equal scores at the cut, the order decides who is in.
        for policy in Policy::ALL.into_iter().filter(|policy| *policy != Policy::R2eGym) {
            let (one, two) = (ask(&pool, &evidence, policy), ask(&turned, &evidence, policy));
            let score = |result: &Selection, id: &Option<String>| {
                result.candidates.iter().find(|r| Some(&r.candidate_id) == id.as_ref()).map(|r| r.score)
            };
            prop_assert_eq!(score(&one, &one.chosen), score(&one, &two.chosen), "{}", policy);
        }
    }

    #[test]
    fn passing_more_never_makes_a_candidate_less_likely(pool in pools(8), at in 0..8_usize) {
        prop_assume!(!pool.candidates.is_empty());
        let at = at % pool.candidates.len();
        let run = |id: Option<&str>, status| TestRun {
            candidate_id: id.map(str::to_owned),
            kind: TestKind::Reproduction,
            suite: String::new(),
            results: [("issue::shows".to_owned(), status)].into(),
        };
        let evidence = |mine| {
            let mut tests = vec![run(None, TestStatus::Failed)];
            for (other, candidate) in pool.candidates.iter().enumerate() {
                tests.push(run(Some(&candidate.candidate_id), if other == at { mine } else { TestStatus::Failed }));
            }
            Evidence { tests, ..Evidence::default() }
        };
        let id = &pool.candidates[at].candidate_id;
        for policy in [Policy::Hybrid, Policy::EntropoVerified, Policy::TestVotes, Policy::Agentless] {
            let rank = |mine| {
                let result = ask(&pool, &evidence(mine), policy);
                result.candidates.iter().find(|r| r.candidate_id == *id).unwrap().rank
            };
            prop_assert!(rank(TestStatus::Passed) <= rank(TestStatus::Failed), "{}", policy);
        }
    }
}

fn pool_of(patches: &[&str]) -> Pool {
    let candidate = |(at, patch): (usize, &&str)| Candidate {
        candidate_id: format!("c{at}"),
        trajectory: Trajectory { patch: Some((*patch).to_owned()), ..Trajectory::default() },
    };
    Pool {
        instance_id: "a__b-1".into(),
        issue: None,
        candidates: patches.iter().enumerate().map(candidate).collect(),
    }
}

const FIX: &str = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n";

fn score(id: &str, probability: f64) -> VerifierScore {
    VerifierScore {
        candidate_id: id.into(),
        probability: Some(probability),
        logit: None,
        spread: None,
        revision: String::new(),
    }
}

#[test]
fn evidence_that_does_not_fit_is_refused_and_named() {
    let pool = pool_of(&[FIX, ""]);
    let request = PolicyRequest::default();
    let with = |scores| select(&pool, &Evidence { scores, ..Evidence::default() }, &request).unwrap_err();
    let unknown = with(vec![score("c1", 0.5), score("c9", 0.5)]).to_string();
    assert!(unknown.contains("scores[1]") && unknown.contains("`c9`"), "{unknown}");
    for value in [f64::NAN, -0.1, 1.5, f64::INFINITY] {
        let error = with(vec![score("c0", value)]);
        assert!(matches!(error, SelectError::BadScore { index: 0, field: "probability", .. }), "{error}");
    }
    let run = TestRun {
        candidate_id: Some("c7".into()),
        kind: TestKind::Regression,
        suite: String::new(),
        results: [].into(),
    };
    let error = select(&pool, &Evidence { tests: vec![run], ..Evidence::default() }, &request).unwrap_err();
    assert!(error.to_string().contains("tests[0]"), "{error}");
    let mut twice = pool_of(&[FIX, FIX]);
    twice.candidates[1].candidate_id = "c0".into();
    let error = select(&twice, &Evidence::default(), &request).unwrap_err();
    assert!(error.to_string().contains("candidates[1]"), "{error}");
    let request = PolicyRequest { min_confidence: Some(f64::NAN), ..PolicyRequest::default() };
    assert!(matches!(select(&pool, &Evidence::default(), &request), Err(SelectError::BadMinConfidence(_))));
}

#[test]
fn abstains_below_the_minimum_confidence() {
    let pool = pool_of(&[FIX]);
    let ask = |min_confidence, policy| {
        let request = PolicyRequest { policy, min_confidence: Some(min_confidence), model: None };
        select(&pool, &Evidence::default(), &request).unwrap()
    };
    let sure = ask(1.0, Policy::Hybrid);
    assert!(sure.abstained && sure.chosen.is_none() && sure.candidates.len() == 1);
    assert_eq!(ask(0.0, Policy::Hybrid).chosen.as_deref(), Some("c0"));
    let majority = ask(1.0, Policy::Majority);
    assert_eq!(majority.chosen.as_deref(), Some("c0"));
    assert!(majority.degraded.iter().any(|missing| missing.evidence == "confidence"));
}

#[test]
fn verifier_scores_move_hybrid_even_when_only_some_have_them() {
    let other = FIX.replace("a = 2", "b = 3");
    let pool = pool_of(&[FIX, &other, "not a patch"]);
    for (low, high) in [("c0", "c1"), ("c1", "c0")] {
        let scores = vec![score(low, 0.02), score(high, 0.98)];
        let result =
            select(&pool, &Evidence { scores, ..Evidence::default() }, &PolicyRequest::default()).unwrap();
        assert_eq!(result.chosen.as_deref(), Some(high));
    }
}

#[test]
fn a_pool_of_empty_patches_still_gets_an_answer_that_nobody_should_trust() {
    let result = ask(&pool_of(&["", " ", ""]), &Evidence::default(), Policy::Hybrid);
    assert!(result.chosen.is_some());
    assert_eq!(result.confidence, Some(0.0));
}

#[test]
fn a_thousand_candidates_are_ranked() {
    let patches: Vec<String> = (0..1000)
        .map(|n| FIX.replace("a = 2", &format!("a = {}\n+b{} = {}", n % 37, n % 11, n % 5)))
        .collect();
    let texts: Vec<&str> = patches.iter().map(String::as_str).collect();
    for policy in Policy::ALL {
        assert_eq!(ask(&pool_of(&texts), &Evidence::default(), policy).candidates.len(), 1000);
    }
}

#[test]
fn a_patch_that_edits_its_tests_is_flagged_and_not_believed() {
    let cheat = format!(
        "{FIX}--- a/tests/test_x.py\n+++ b/tests/test_x.py\n@@ -1 +1 @@\n-assert a == 2\n+assert True\n"
    );
    let pool = pool_of(&[&cheat, FIX]);
    let run = |id: Option<&str>, status| TestRun {
        candidate_id: id.map(str::to_owned),
        kind: TestKind::Reproduction,
        suite: "s".into(),
        results: [("tests/test_x.py::test_a".to_owned(), status)].into(),
    };
    let tests = vec![
        run(None, TestStatus::Failed),
        run(Some("c0"), TestStatus::Passed),
        run(Some("c1"), TestStatus::Passed),
    ];
    let result = ask(&pool, &Evidence { tests, ..Evidence::default() }, Policy::EntropoVerified);
    assert_eq!(result.chosen.as_deref(), Some("c1"));
    let cheated = result.candidates[1].tests.unwrap();
    assert_eq!((cheated.tampered, cheated.reproduction_passed), (1, 0));
}
