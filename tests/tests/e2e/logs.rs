//! Logs as JSON: one line for each request, and for a failed one exactly one that says why.

use serde_json::{Value, json};

use crate::support::{patch, request};
use crate::training::{Process, config, place, post, until};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Sends a request with an id and a trace, and waits until the log has its lines.
fn lines(process: &Process, id: &str, sent: reqwest::RequestBuilder) -> (u16, Vec<Value>) {
    let (status, _) = request(sent.header("x-request-id", id).header("traceparent", TRACEPARENT));
    loop {
        let of: Vec<Value> = process.log().into_iter().filter(|line| line["request_id"] == id).collect();
        if of.iter().any(|line| line["status"].is_number()) {
            return (status, of);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_failure_is_one_line_with_the_request_the_trace_and_its_causes() {
    let dir = place();
    // A file where a folder ought to be: nothing can be promoted.
    std::fs::write(dir.path().join("blocked"), "").unwrap();
    let set = ["--set", "trainer.models=blocked", "--set", "trainer.verifier_url=http://127.0.0.1:9"];
    let process = Process::start(dir.path(), &[&["serve", "trainer"], &set[..]].concat());
    let runs = format!("{}/v1/runs", process.url("trainer"));
    let run = post(&runs, &json!({"config": config("bradley-terry", 2)}));
    let run = format!("{runs}/{}", run["id"].as_str().unwrap());
    until(&run, |run| run["state"] == "done");
    let client = reqwest::Client::new();
    let promote = client.post(format!("{run}/checkpoints/2/promote"));
    let (status, of) = lines(&process, "failed-1", promote);
    assert_eq!((status, of.len()), (500, 1), "{of:#?}");
    let line = &of[0];
    assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("request failed")), "{line}");
    let route = json!("/v1/runs/{id}/checkpoints/{step}/promote");
    assert_eq!((&line["status"], &line["route"]), (&json!(500), &route), "{line}");
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let cause = line["cause"].as_str().unwrap();
    assert!(cause.contains("cannot ") && cause.contains("blocked") && cause.contains(": "), "{line}");
    assert!(cause.contains("os error"), "down to what the system said: {line}");
    assert!(line["ms"].is_number() && line["timestamp"].is_string() && line["target"].is_string(), "{line}");

    // A refusal is no failure, and one line too.
    let (status, of) = lines(&process, "refused-1", client.get(format!("{runs}/none")));
    assert_eq!((status, of.len()), (404, 1), "{of:#?}");
    assert_eq!((&of[0]["level"], &of[0]["cause"]), (&json!("INFO"), &Value::Null), "{of:#?}");
}

#[test]
fn lines_of_a_level_keep_the_request_although_less_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let named = format!("verifier.url=http://{gone}");
    let process = Process::start(dir.path(), &["serve", "selector", "--set", &named, "--log-level", "warn"]);
    let url = process.url("selector");
    let candidate =
        |id: &str| json!({"candidate_id": id, "patch": patch("src/x.py", id), "exit": "submitted"});
    let pool = json!({"instance_id": "a__b-1", "issue": "i", "candidates": [candidate("a"), candidate("b")]});
    let sent = reqwest::Client::new().post(format!("{url}/v1/selections")).json(&pool);
    let (status, _) = request(sent.header("x-request-id", "warned-1"));
    assert_eq!(status, 201);
    let log = process.log();
    let of: Vec<&Value> = log.iter().filter(|line| line["request_id"] == "warned-1").collect();
    assert_eq!(of.len(), 1, "{log:#?}");
    assert_eq!(
        (&of[0]["level"], &of[0]["message"]),
        (&json!("WARN"), &json!("selecting without the verifier"))
    );
}
