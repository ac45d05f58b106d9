//! Training rows: made of runs and of the store, and looked at.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{run_in, workspace};

/// A run in a format with labels.
fn run(issue: u32, id: &str, said: &str, resolved: bool, exit: &str) -> String {
    let turns = json!([
        {"role": "system", "content": "s"},
        {"role": "user", "content": format!("issue {issue}")},
        {"role": "assistant", "content": said},
        {"role": "tool", "content": "OBSERVED"},
        {"role": "assistant", "content": "done"},
    ]);
    let patch = format!("diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+{id}\n");
    let row = json!({"trajectory_id": id, "instance_id": format!("a__b-{issue}"), "trajectory": turns,
        "model_patch": patch, "exit_status": exit, "resolved": u8::from(resolved)});
    format!("{row}\n")
}

fn write_runs(dir: &Path) {
    let one = [run(1, "t1", "good", true, "submit"), run(2, "t2", "fine", true, "submit")].concat();
    let two = [
        run(1, "u1", "bad", false, "submit"),
        run(2, "u2", "too", true, "submit"),
        run(2, "u3", "cut", false, "exit_cost"),
    ]
    .concat();
    std::fs::write(dir.join("one.jsonl"), one).unwrap();
    std::fs::write(dir.join("two.jsonl"), two).unwrap();
}

fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn pairs_follow_the_papers_rules_from_files_and_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_runs(dir);
    let report =
        run_in(dir, &["data", "build", "two.jsonl", "one.jsonl", "-o", "pairs.jsonl", "--json", "-q"]).json();
    assert_eq!((&report["runs"], &report["rows"], &report["runs_used"]), (&json!(5), &json!(1), &json!(2)));
    assert_eq!(report["dropped"]["no_opposite"], 2);
    assert_eq!(report["dropped"]["unfinished"], 1);
    let pairs = rows(&dir.join("pairs.jsonl"));
    assert_eq!(pairs[0]["chosen"][0]["content"], "good");
    assert_eq!(pairs[0]["rejected"][0]["content"], "bad");
    assert_eq!(pairs[0]["source"]["chosen"]["candidate_id"], "t1");

    // The order of the files does not matter, and the store gives the same conversations.
    let bytes = std::fs::read(dir.join("pairs.jsonl")).unwrap();
    run_in(dir, &["data", "build", "one.jsonl", "two.jsonl", "-o", "pairs.jsonl", "-q"]).ok();
    assert_eq!(std::fs::read(dir.join("pairs.jsonl")).unwrap(), bytes);
    run_in(dir, &["ingest", "one.jsonl", "two.jsonl", "-q", "--database", "sqlite://s.db"]).ok();
    let store = ["--store", "--database", "sqlite://s.db", "-q"];
    run_in(dir, &[&["data", "build", "-o", "stored.jsonl"][..], &store].concat()).ok();
    let stored = rows(&dir.join("stored.jsonl"));
    for part in ["prompt", "chosen", "rejected", "instance_id"] {
        assert_eq!(stored[0][part], pairs[0][part], "{part}");
    }
    run_in(
        dir,
        &[&["data", "build", "--kind", "verifier", "--contrast", "-o", "v.jsonl"][..], &store].concat(),
    )
    .ok();
    let verifier = rows(&dir.join("v.jsonl"));
    assert_eq!(verifier.len(), 1);
    let labels: Vec<&Value> =
        verifier[0]["candidates"].as_array().unwrap().iter().map(|one| &one["label"]).collect();
    assert_eq!(labels.len(), 2);
    assert!(labels.contains(&&json!(true)) && labels.contains(&&json!(false)));

    let kinds = ["--rows", "pairs.jsonl", "--kind", "kto", "-o", "kto.jsonl", "-q"];
    run_in(dir, &[&["data", "build"][..], &kinds].concat()).ok();
    let labels: Vec<Value> = rows(&dir.join("kto.jsonl")).iter().map(|row| row["label"].clone()).collect();
    assert_eq!(labels, [json!(true), json!(false)]);
}

#[test]
fn trained_text_is_marked_and_refusals_have_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_runs(dir);
    run_in(dir, &["data", "build", "one.jsonl", "two.jsonl", "-o", "pairs.jsonl", "-q"]).ok();
    let model = workspace().join("trainer/tests/fixtures/chatml");
    let model = model.to_str().unwrap();
    let shown = run_in(dir, &["data", "inspect", "pairs.jsonl", "--model", model]).ok().out;
    assert!(shown.contains("1 rows: 1 usable, 0 too long, 0 refused"), "{shown}");
    assert!(shown.contains("⟦good<|im_end|>⟧\n<|im_start|>tool\nOBSERVED<|im_end|>"), "{shown}");
    let completion =
        run_in(dir, &["data", "inspect", "pairs.jsonl", "--model", model, "--mask", "completion"]).ok().out;
    assert!(completion.contains("⟦good<|im_end|>\n<|im_start|>tool\nOBSERVED<|im_end|>"), "{completion}");
    let json = run_in(dir, &["data", "inspect", "pairs.jsonl", "--model", model, "--json"]).json();
    assert_eq!(json["parts"][0]["trained_tokens"], "good".len() + 1 + "done".len() + 1);

    let bad = "{\"prompt\": \"p\", \"chosen\": \"c\"}\n{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}]}\n\
        {\"prompt\": [{\"role\": \"user\", \"content\": \"u\"}], \"completion\": [{\"role\": \"user\", \"content\": \"x\"}]}\n";
    std::fs::write(dir.join("bad.jsonl"), bad).unwrap();
    let ran = run_in(dir, &["data", "inspect", "bad.jsonl", "--model", model]).ok();
    assert!(ran.err.contains("bad.jsonl:1: `rejected`: is missing"), "{}", ran.err);
    assert!(ran.err.contains("bad.jsonl:3: completion: no token carries a loss"), "{}", ran.err);
    let strict = run_in(dir, &["data", "inspect", "bad.jsonl", "--model", model, "--strict"]);
    assert_eq!(strict.code, 3, "{strict:?}");
    for args in
        [&["data", "build", "-o", "x"][..], &["data", "build", "one.jsonl", "--kind", "dpo", "-o", "x"]]
    {
        assert_eq!(run_in(dir, args).code, 2, "{args:?}");
    }
    let nothing = run_in(dir, &["data", "build", "one.jsonl", "-o", "none.jsonl"]);
    assert_eq!((nothing.code, dir.join("none.jsonl").exists()), (3, false), "{nothing:?}");
}
