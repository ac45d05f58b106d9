//! `entropo select` and `entropo inspect` on the example set.

use serde_json::Value;

use crate::support::{run, run_in, workspace};

const ISSUES: [&str; 3] = ["harbour__ratelimit-23", "inkwell__inkwell-112", "tidepool__tidepool-58"];

#[test]
fn the_example_set_gives_a_table_an_issue() {
    let ran = run(&["select", "examples"]).ok();
    for issue in ISSUES {
        assert!(ran.out.contains(issue), "{issue} is missing in\n{}", ran.out);
    }
    for column in ["rank", "candidate", "probability", "cluster", "tests", "steps", "why"] {
        assert!(ran.out.contains(column), "{column} is missing");
    }
}

#[test]
fn the_pick_is_one_that_resolves_the_issue() {
    let right = [
        (
            "harbour__ratelimit-23",
            &["openhands/run-1", "openhands/run-2", "openhands/run-4", "preds/kiwi"][..],
        ),
        ("inkwell__inkwell-112", &["sweagent/run-1", "sweagent/run-2", "sweagent/run-4", "preds/kiwi"]),
        ("tidepool__tidepool-58", &["mini/run-1", "mini/run-2", "mini/run-4", "mini/run-5", "preds/"]),
    ];
    let selections = run(&["select", "examples", "--json"]).json();
    for (issue, right) in right {
        let selection =
            selections.as_array().unwrap().iter().find(|one| one["instance_id"] == issue).unwrap();
        let chosen = selection["chosen"].as_str().unwrap();
        assert!(right.iter().any(|id| chosen.starts_with(id)), "{issue}: {chosen}");
    }
}

#[test]
fn json_holds_every_candidate_once_in_order() {
    let selections = run(&["select", "examples", "--json"]).json();
    let counts = [7, 8, 8];
    for ((selection, issue), count) in selections.as_array().unwrap().iter().zip(ISSUES).zip(counts) {
        assert_eq!(selection["instance_id"], issue);
        let candidates = selection["candidates"].as_array().unwrap();
        let ranks: Vec<u64> = candidates.iter().map(|one| one["rank"].as_u64().unwrap()).collect();
        assert_eq!(ranks, (1..=count).collect::<Vec<_>>());
        assert_eq!(selection["chosen"], candidates[0]["candidate_id"]);
        let confidence = selection["confidence"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&confidence));
        assert!(candidates.iter().all(|one| !one["reasons"].as_array().unwrap().is_empty()), "{issue}");
    }
}

#[test]
fn every_policy_selects_and_never_an_empty_patch() {
    for policy in [
        "hybrid",
        "entropo-verified",
        "entropo-lite",
        "r2e-gym",
        "agentless",
        "majority",
        "medoid",
        "test-votes",
    ] {
        let selections = run(&["select", "examples", "--json", "--quiet", "--policy", policy]).json();
        for selection in selections.as_array().unwrap() {
            assert_eq!(selection["policy"], policy);
            let chosen = selection["chosen"].as_str().unwrap();
            let empty = ["sweagent/run-6", "mini/run-6"];
            assert!(!empty.contains(&chosen), "{policy} chose {chosen}");
        }
    }
}

#[test]
fn two_runs_print_the_same_bytes() {
    let one = run(&["select", "examples", "--json"]).ok().out;
    assert_eq!(one, run(&["select", "examples", "--json"]).ok().out);
}

#[test]
fn the_winners_are_predictions_of_the_harness() {
    let dir = tempfile::tempdir().unwrap();
    let examples = workspace().join("examples");
    let examples = examples.to_str().unwrap();
    run_in(dir.path(), &["select", examples, "--preds", "preds.json"]).ok();
    let list: Value =
        serde_json::from_str(&std::fs::read_to_string(dir.path().join("preds.json")).unwrap()).unwrap();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 3);
    for (row, issue) in list.iter().zip(ISSUES) {
        assert_eq!(row["instance_id"], issue);
        assert!(row["model_name_or_path"].as_str().unwrap().starts_with("entropo"));
        let patch = row["model_patch"].as_str().unwrap();
        assert!(patch.starts_with("diff --git ") && patch.ends_with('\n'));
    }
    // What was written is itself a file that can be read.
    let again = run_in(dir.path(), &["select", "preds.json", "--json"]).json();
    assert_eq!(again.as_array().unwrap().len(), 3);
}

#[test]
fn a_high_bar_makes_it_abstain() {
    let dir = tempfile::tempdir().unwrap();
    let examples = workspace().join("examples");
    let args =
        ["select", examples.to_str().unwrap(), "--json", "--min-confidence", "1", "--preds", "p.jsonl"];
    let selections = run_in(dir.path(), &args).json();
    for selection in selections.as_array().unwrap() {
        assert_eq!((&selection["chosen"], &selection["abstained"]), (&Value::Null, &Value::Bool(true)));
    }
    let preds = std::fs::read_to_string(dir.path().join("p.jsonl")).unwrap();
    assert_eq!(preds.lines().filter(|line| line.contains(r#""model_patch":"""#)).count(), 3, "{preds}");
}

#[test]
fn inspect_says_what_is_there() {
    let ran = run(&["inspect", "examples/openhands/run-1/output.jsonl"]).ok();
    for part in ["open-hands (1 record)", "harbour__ratelimit-23", "submitted"] {
        assert!(ran.out.contains(part), "{part:?} is not in\n{}", ran.out);
    }
    let all = run(&["inspect", "examples", "--json"]).json();
    assert_eq!(all.as_array().unwrap().len(), 22);
}

#[test]
fn inspect_shows_what_a_verifier_reads() {
    let file = "examples/sweagent/run-1/inkwell__inkwell-112/inkwell__inkwell-112.traj";
    let ran = run(&["inspect", file, "--verifier-input", "--layout", "judge-v1"]).ok();
    for part in
        ["judge-v1, about ", "─── system\n", "─── user\n", "=== FINAL PATCH ===", "[STEP]\n0\n[/STEP]"]
    {
        assert!(ran.out.contains(part), "{part:?} is not in\n{}", ran.out);
    }
    let whole = run(&["inspect", file, "--verifier-input", "--json"]).json();
    let whole = &whole[0];
    let text = whole["messages"][0]["content"].as_str().unwrap();
    assert!(text.starts_with("[ISSUE]\n") && text.ends_with("\n[SCORE]"), "{text}");
    let tokens = whole["tokens"].as_u64().unwrap();
    let less = (tokens - 10).to_string();
    let condensed = &run(&["inspect", file, "--verifier-input", "--json", "--max-tokens", &less]).json()[0];
    assert!(condensed["tokens"].as_u64().unwrap() < tokens);
    assert_eq!(condensed["condensed"]["full_tokens"], tokens);
    let refused = &run(&["inspect", file, "--verifier-input", "--json", "--max-tokens", "5"]).json()[0];
    assert!(refused["refused"].as_str().unwrap().contains("5 allowed"), "{refused}");
}
