//! Odd but real input: what users' files hold beyond what the formats promise.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Cursor, Write};
use std::ops::ControlFlow;

use common::formats::{ReadContext, Record, read};
use serde_json::{Value, json};

const DIFF: &str = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n";
const ID: &str = "a__b-1";

/// `instance candidate patch turns` of each candidate, other records in short, then the problems.
fn seen(name: &str, bytes: impl AsRef<[u8]>) -> Vec<String> {
    let mut seen = Vec::new();
    let report = read(Cursor::new(bytes.as_ref().to_vec()), &ReadContext::named(name), &mut |record| {
        seen.push(match record {
            Record::Candidate(record) => {
                let run = &record.candidate.trajectory;
                let patch = match run.patch.as_deref() {
                    Some(DIFF) => "diff",
                    Some("") => "empty",
                    Some(_) => "other",
                    None => "none",
                };
                let id = &record.candidate.candidate_id;
                format!("{} {id} {patch} {}", run.instance_id, run.turns.len())
            }
            Record::Outcome(outcome) => format!("outcome {} {:?}", outcome.instance_id, outcome.resolved),
            Record::TestRun { instance_id, run } => {
                format!("tests {instance_id} {:?} {:?}", run.candidate_id, run.results)
            }
            Record::Issue { instance_id, text } => format!("issue {instance_id} {text}"),
        });
        ControlFlow::Continue(())
    })
    .unwrap();
    seen.extend(report.problems.iter().map(ToString::to_string));
    seen
}

fn one(name: &str, value: &Value) -> Vec<String> {
    seen(name, value.to_string())
}

fn history() -> Value {
    json!([
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": null, "thought": "t", "action": "ls",
         "tool_calls": [{"id": "c", "function": {"name": "bash", "arguments": {"command": "ls"}}}]},
        null,
        {"role": "tool", "content": [{"type": "text", "text": "a.py"}], "tool_call_ids": ["c"]},
    ])
}

#[test]
fn swe_agent_files_may_lack_most_of_what_they_should_hold() {
    let file = |value: Value| one("r1/a__b-1.traj", &value);
    let submit = json!([{"action": "submit", "observation": format!("\n{DIFF}\n"), "state": {}}]);
    let info = json!({"submission": null, "exit_status": "submitted"});
    assert_eq!(file(json!({"trajectory": submit, "history": history(), "info": info})), ["a__b-1 r1 diff 3"]);
    assert_eq!(file(json!({"trajectory": [], "history": [], "info": {}})), ["a__b-1 r1 none 0"]);
    let steps = json!([{"action": "ls", "observation": null, "response": null, "thought": "t"}]);
    assert_eq!(file(json!({"trajectory": steps, "history": null, "info": null})), ["a__b-1 r1 none 2"]);
    assert_eq!(file(json!({"trajectory": steps})), ["a__b-1 r1 none 2"]);
    let attempts = json!([{"trajectory": [], "history": history()}, null, {"history": history(), "info": {"submission": DIFF}}]);
    assert_eq!(
        file(json!({"attempts": attempts, "info": {"best_attempt_idx": "2"}})),
        ["a__b-1 r1/attempt-0 none 3", "a__b-1 r1/attempt-2 diff 3"]
    );
    assert_eq!(
        file(json!({"trajectory": steps, "info": {"submission": ["x"]}})),
        ["r1/a__b-1.traj: cannot be read as swe-agent: field `submission` should be a patch as text"]
    );
    let row =
        json!({"trajectory": [], "history": history(), "info": {"submission": DIFF}, "instance_id": ID});
    assert_eq!(one("list.json", &json!([row, row])), ["a__b-1 list diff 3", "a__b-1 list#2 diff 3"]);
}

#[test]
fn mini_runs_may_keep_the_patch_in_the_last_message() {
    let end = json!([{"role": "user", "content": "u"},
        {"role": "exit", "content": "", "extra": {"exit_status": "Submitted", "submission": DIFF}}]);
    for submission in [json!(null), json!("")] {
        let file = json!({"messages": end, "info": {"exit_status": "Submitted", "submission": submission}});
        assert_eq!(one("a__b-1.traj.json", &file)[0].split(' ').nth(2), Some("diff"));
    }
    let cut =
        json!({"messages": null, "info": {"submission": DIFF}, "trajectory_format": "mini-swe-agent-1"});
    assert_eq!(one("r/a__b-1.traj.json", &cut), ["a__b-1 r diff 0"]);
    let noise = json!({"messages": [{"role": "user", "content": "u"}, "noise"], "info": {}});
    assert_eq!(
        one("a.json", &noise),
        ["a.json: cannot be read as mini-swe-agent: message 2 is not an object"]
    );
}

#[test]
fn openhands_runs_that_broke_down_are_candidates_without_a_patch() {
    let file = json!({"instance_id": 5, "test_result": {}, "history": null, "error": "boom"});
    assert_eq!(one("output.jsonl", &file), ["5 output none 0"]);
    let text = json!([{"action": "run", "args": null, "source": "agent"}]).to_string();
    let file = json!({"instance_id": ID, "test_result": {"git_patch": DIFF}, "history": text});
    assert_eq!(one("output.jsonl", &file), ["a__b-1 output diff 1"]);
}

#[test]
fn predictions_come_in_any_wrapping() {
    let row = json!({"instance_id": ID, "model_patch": DIFF});
    let other = json!({"instance_id": "a__b-2", "model_patch": null});
    let both = ["a__b-1 p diff 0", "a__b-2 p none 0"];
    let pretty = |row: &Value| serde_json::to_string_pretty(row).unwrap();
    for text in [
        format!("{row},\n\n{other},\n"),
        format!("[\n{row},\n{other},\n]\n"),
        format!("{row}{other}"),
        format!("{}\r\n{}", pretty(&row), pretty(&other)),
        format!("\u{feff}{row}\r\n\r\n{other}\r\n"),
        json!({"predictions": [row, other]}).to_string(),
        json!({"rows": [{"row_idx": 0, "row": row}, {"row_idx": 1, "row": other}]}).to_string(),
        json!({ID: {"model_patch": DIFF}, "a__b-2": {"model_patch": null}}).to_string(),
    ] {
        assert_eq!(seen("p.json", &text), both, "{text}");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        assert_eq!(seen("p.json.gz", gz.finish().unwrap()), both);
        assert_eq!(seen("p.json.zst", zstd::encode_all(text.as_bytes(), 1).unwrap()), both);
    }
    assert_eq!(one("p.json", &json!({ID: DIFF, "a__b-2": ""})), ["a__b-1 p diff 0", "a__b-2 p empty 0"]);
    assert_eq!(one("p.json", &json!({"instance_id": 7, "model_patch": DIFF})), ["7 p diff 0"]);
    assert_eq!(
        one("p.json", &json!({"instance_id": ID, "model_patch": ["a"]})),
        ["p.json: cannot be read as predictions: field `model_patch` should be a patch as text"]
    );
}

#[test]
fn the_benchmarks_own_rows_are_no_predictions() {
    let row =
        json!({"org": "a", "repo": "b", "number": 1, "fix_patch": "gold", "test_patch": "t"}).to_string();
    let mut found = 0;
    let ctx =
        ReadContext { format: Some(common::SourceFormat::Predictions), ..ReadContext::named("p.jsonl") };
    let report = read(Cursor::new(row), &ctx, &mut |_| {
        found += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(found, 0);
    assert!(report.unwrap().problems[0].reason.contains("read it as issues"));
}

#[test]
fn other_kinds_of_files_are_named_in_one_problem() {
    let says = |bytes: &[u8], what: &str| {
        let problems = seen("f", bytes);
        assert!(problems.len() == 1 && problems[0].contains(what), "{problems:?}");
    };
    says(DIFF.as_bytes(), "a bare patch; put it into a row with `instance_id` and `model_patch`");
    says(b"\xff\xfe{\0}\0", "UTF-16");
    says(b"PAR1\x15\x04", "parquet");
    says(b"id,patch\na,b\nc,d\ne,f\n", "not JSON");
    says(b"{'instance_id': 'a'}", "json.dumps");
}

#[test]
fn ids_may_be_numbers_and_are_never_lost() {
    let tests = |id: Value| {
        one(
            "t.jsonl",
            &json!({"instance_id": ID, "candidate_id": id, "kind": "Regression", "results": {"t": "PASSED"}}),
        )
    };
    assert_eq!(tests(json!(3)), [r#"tests a__b-1 Some("3") {"t": Passed}"#]);
    assert_eq!(tests(json!(null)), [r#"tests a__b-1 None {"t": Passed}"#]);
    // Taken for none, it would say that the test passes on the unpatched code.
    assert!(tests(json!([3]))[0].ends_with("field `candidate_id` should be text or a whole number"));
    let row = json!({"instance_id": ID, "candidate_id": 1, "patch": DIFF, "resolved": "1", "n_steps": "7"});
    assert_eq!(one("p.jsonl", &row), ["a__b-1 1 diff 0"]);
    let row = json!({"turns": [{"role": "assistant", "content": null}], "candidate_id": 4, "patch": null});
    assert_eq!(one("a__b-1.json", &row), ["a__b-1 4 none 1"]);
}

#[test]
fn names_with_spaces_and_letters_of_any_script_are_ids() {
    let row = json!({"trajectory": [], "history": history(), "info": {"submission": DIFF}});
    assert_eq!(one("run 1/é issue.traj", &row), ["é issue run 1 diff 3"]);
    // An issue whose name begins the folder's name takes no letters from it.
    assert_eq!(one("aug/a.jsonl", &json!({"id": "a", "diffs": [DIFF]})), ["a aug/0 diff 0"]);
}

#[test]
fn lists_beside_each_other_may_disagree() {
    let pool = json!({"instance_id": ID, "patches": [DIFF, null, ""], "success_id": [1]});
    let expected = ["a__b-1 p/0 diff 0", "a__b-1 p/1 none 0", "a__b-1 p/2 empty 0", "outcome a__b-1 None"];
    assert_eq!(one("p.jsonl", &pool), expected);
    let report = json!({ID: {"resolved": "true", "tests_status": {}}, "a__b-2": null});
    assert_eq!(one("report.json", &report), ["outcome a__b-1 Some(true)", "outcome a__b-2 None"]);
}

#[test]
fn sessions_in_one_log_are_runs_of_their_own() {
    let event = |session: &str, kind: &str| json!({"event_type": kind, "timestamp": "t", "session_id": session, "content": "x"});
    let log = [event("1", "user_message"), event("1", "assistant_response"), event("2", "user_message")];
    let text = log.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(seen("r/a__b-1/trajectory.jsonl", text), ["a__b-1 r none 2", "a__b-1 r#2 none 1"]);
    assert_eq!(one("r/a__b-1/trajectory.json", &json!(log[..2])), ["a__b-1 r none 2"]);
}
