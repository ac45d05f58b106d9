//! The service as a process: select, remember, report, draw preferences, survive a crash.

use serde_json::{Value, json};

use crate::support::{Service, patch, run, run_in};

fn turns(id: &str) -> Value {
    json!([
        {"role": "system", "content": "you fix issues"},
        {"role": "user", "content": "the issue"},
        {"role": "assistant", "content": format!("I am {id}"), "tool_calls": [{"name": "bash", "arguments": "ls"}]},
        {"role": "tool", "content": "a.py"},
    ])
}

fn body() -> Value {
    let candidate = |id: &str, line: &str| json!({"candidate_id": id, "instance_id": "a__b-1", "patch": patch("src/x.py", line), "exit": "submitted", "turns": turns(id)});
    json!({
        "instance_id": "a__b-1",
        "issue": "b should be 3",
        "candidates": [candidate("one", "b = 3"), candidate("two", "b = 3"), candidate("three", "b = 4")],
    })
}

#[test]
fn a_selection_is_kept_and_its_outcomes_become_preferences() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let (status, made) = service.post("/v1/selections", &body());
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["candidates"].as_array().unwrap().len(), 3);
    let id = made["id"].as_str().unwrap();

    let outcomes = json!({"outcomes": [
        {"candidate_id": "one", "resolved": true},
        {"candidate_id": "three", "resolved": false},
    ]});
    let (status, reply) = service.post(&format!("/v1/selections/{id}/outcomes"), &outcomes);
    assert!((200..300).contains(&status), "{status} {reply}");

    let (status, pairs) = service.get("/v1/preferences?kind=pairs");
    assert_eq!(status, 200);
    assert_eq!(pairs.lines().count(), 1, "{pairs}");
    assert!(pairs.contains("I am one") && pairs.contains("I am three"), "{pairs}");
    let (_, rows) = service.get("/v1/preferences?kind=kto");
    assert_eq!(rows.lines().count(), 2, "{rows}");
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let ids: Vec<String> = (0..5)
        .map(|_| service.post("/v1/selections", &body()).1["id"].as_str().unwrap().to_owned())
        .collect();
    service.kill();
    let service = Service::start(dir.path(), &[]);
    for id in ids {
        let (status, text) = service.get(&format!("/v1/selections/{id}"));
        assert_eq!(status, 200, "{text}");
        let selection: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(selection["candidates"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn the_command_line_selects_through_the_service_as_it_does_alone() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let through = run(&["select", "examples", "--json", "--server", &service.url]).json();
    let alone = run(&["select", "examples", "--json"]).json();
    assert_eq!(through, alone);
    let (_, list) = service.get("/v1/selections");
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["selections"].as_array().or(list["items"].as_array()).unwrap().len(), 3, "{list}");
}

#[test]
fn a_refusal_names_the_field() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &["--set", "selection.candidates=2"]);
    let ran = run_in(
        &crate::support::workspace(),
        &["select", "examples/sweagent", "examples/issues.jsonl", "--server", &service.url],
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("candidates"), "{}", ran.err);
}

#[test]
fn health_metrics_and_the_description_answer() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/policies"] {
        let (status, text) = service.get(path);
        assert_eq!(status, 200, "{path}: {text}");
    }
}
