//! Bad input and bad command lines: what is said, and the exit code.

use std::io::Read;
use std::process::Stdio;

use crate::support::{entropo, run, run_in, workspace};

#[test]
fn a_missing_path_is_named() {
    let ran = run(&["select", "no-such-folder"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("cannot read no-such-folder"), "{}", ran.err);
}

#[test]
fn a_wrong_command_line_is_code_2() {
    for args in [
        &["select"][..],
        &["select", "x", "--policy", "best"],
        &["select", "x", "--min-confidence", "2"],
        &["select", "x", "--preds", "winners.txt"],
        &["select", "x", "--pool", "y", "--picks", "z"],
        &["select", "--pool", "y"],
        &["select", "x", "--format", "word"],
        &["frobnicate"],
        &["eval", "x", "--sample", "0"],
    ] {
        let ran = run(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains("error:"), "{args:?}: {}", ran.err);
    }
    assert!(
        run(&["select", "x", "--policy", "best"]).err.contains("hybrid"),
        "the known policies are listed"
    );
}

#[test]
fn a_bad_line_is_reported_and_the_rest_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#"{"instance_id":"a__b-1","candidate_id":"x","patch":"diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"}"#;
    std::fs::write(dir.path().join("p.jsonl"), format!("{good}\nnot json\n")).unwrap();
    let ran = run_in(dir.path(), &["select", "p.jsonl"]).ok();
    assert!(ran.err.contains("p.jsonl:2:"), "file and line are named: {}", ran.err);
    assert!(ran.out.contains("a__b-1: x"), "{}", ran.out);

    let strict = run_in(dir.path(), &["select", "p.jsonl", "--strict"]);
    assert_eq!(strict.code, 3, "{strict:?}");
    assert!(strict.err.contains("p.jsonl:2:"), "{}", strict.err);
}

#[test]
fn files_without_candidates_are_an_error_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.json"), r#"{"some":"thing"}"#).unwrap();
    let ran = run_in(dir.path(), &["select", "."]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("entropo inspect"), "{}", ran.err);
}

#[test]
fn a_bad_test_file_says_what_a_row_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("t.jsonl"), "{\"x\":1}\n").unwrap();
    let examples = workspace().join("examples/preds");
    let ran = run_in(dir.path(), &["select", examples.to_str().unwrap(), "--tests", "t.jsonl"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("candidate_id, kind, suite"), "{}", ran.err);
}

#[test]
fn a_score_that_is_no_probability_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let row = r#"{"instance_id":"inkwell__inkwell-112","candidate_id":"kiwi","probability":1.5}"#;
    std::fs::write(dir.path().join("s.jsonl"), row).unwrap();
    let examples = workspace().join("examples/preds");
    let ran = run_in(dir.path(), &["select", examples.to_str().unwrap(), "--scores", "s.jsonl"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("1.5") && ran.err.contains("kiwi"), "{}", ran.err);
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let ran = run(&["select", "examples/preds", "--preds", "/nonexistent-folder/p.json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("/nonexistent-folder/p.json"), "{}", ran.err);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = entropo()
        .args(["inspect", "examples"])
        .current_dir(workspace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 4]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
fn every_command_has_help_with_examples() {
    for command in [
        "demo",
        "select",
        "eval",
        "fit",
        "ingest",
        "inspect",
        "up",
        "serve",
        "migrate",
        "token",
        "completions",
        "bench",
    ] {
        let help = run(&[command, "--help"]).ok().out;
        assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{command}:\n{help}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(run(&["completions", shell]).ok().out.contains("entropo"), "{shell}");
    }
}

#[test]
fn no_service_at_the_address_is_said() {
    let ran = run(&["select", "examples/preds", "--server", "http://127.0.0.1:9"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("http://127.0.0.1:9"), "{}", ran.err);
}
