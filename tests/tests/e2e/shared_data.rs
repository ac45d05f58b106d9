//! Measured against the labelled pools, where they are at hand.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{run, run_in, workspace};

#[test]
fn picks_of_a_real_pool_are_scored_alike_by_both_scorers() {
    let pool = workspace().join("../shared/data/pools/verified-sonnet5.jsonl.xz");
    if !pool.is_file() {
        eprintln!("skipped: {} is not there", pool.display());
        return;
    }
    let pool = pool.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), &["select", "--pool", pool, "--picks", "picks.jsonl"]).ok();
    let picks: BTreeMap<String, Value> = std::fs::read_to_string(dir.path().join("picks.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|pick| (pick["instance_id"].as_str().unwrap().to_owned(), pick))
        .collect();
    assert_eq!(picks.len(), 61);
    assert!(
        picks.values().all(|pick| pick["candidate_id"].is_string()),
        "nothing was asked to be abstained from"
    );

    let report = run(&["eval", pool, "--folds", "0", "--policy", "hybrid", "--json"]).json();
    let row = |name: &str| {
        let rows = report["pools"][0]["rows"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap()["resolved"].as_f64().unwrap()
    };
    let script = workspace().join("../shared/tools/score_selection.py");
    let picks = dir.path().join("picks.jsonl");
    let scored =
        std::process::Command::new("python3").arg(script).args([pool.as_ref(), picks.as_os_str()]).output();
    let Ok(scored) = scored else {
        eprintln!("skipped: there is no python3");
        return;
    };
    let scored = String::from_utf8(scored.stdout).unwrap();
    for (theirs, ours) in
        [("random", "random"), ("majority", "majority*"), ("picked", "hybrid"), ("oracle", "oracle")]
    {
        let line = scored.lines().find(|line| line.starts_with(theirs)).unwrap();
        let share: f64 = line.split_whitespace().nth(2).unwrap().parse().unwrap();
        assert!((share - row(ours)).abs() < 0.06, "{line} is not {}", row(ours));
    }
}
