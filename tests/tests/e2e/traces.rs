//! Traces across processes: one request is one tree of spans, and a training run belongs to the request that made it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};

use crate::collector::{Collector, Span};
use crate::support::{patch, request};
use crate::training::{Process, config, place, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn traced(url: &str, trace: &str, body: &Value) -> Value {
    let header = format!("00-{trace}-{CALLER}-01");
    let request_id = format!("of-{trace}");
    let sent = reqwest::Client::new().post(url).json(body);
    let (status, text) = request(sent.header("traceparent", header).header("x-request-id", request_id));
    assert!((200..300).contains(&status), "{status} {text}");
    serde_json::from_str(&text).unwrap()
}

fn pool() -> Value {
    let candidate = |id: &str, line: &str| {
        json!({"candidate_id": id, "patch": patch("src/x.py", line), "exit": "submitted", "turns": [
            {"role": "user", "content": "the issue"}, {"role": "assistant", "content": format!("I am {id}")},
        ]})
    };
    let candidates = [candidate("one", "b = 3"), candidate("two", "b = 3"), candidate("three", "b = 4")];
    json!({"instance_id": "a__b-1", "issue": "b should be 3", "candidates": candidates})
}

/// Fails unless the spans are one tree below the caller's span; gives the spans by service and name.
fn tree(spans: &[Span]) -> BTreeMap<(String, String), Span> {
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "ids are unique");
    let (roots, others): (Vec<&Span>, Vec<&Span>) = spans.iter().partition(|span| span.parent == CALLER);
    assert_eq!(roots.len(), 1, "{spans:#?}");
    for span in others {
        assert!(
            ids.contains(span.parent.as_str()),
            "{} of {} hangs in the air: {spans:#?}",
            span.name,
            span.service
        );
    }
    spans.iter().map(|span| ((span.service.clone(), span.name.clone()), span.clone())).collect()
}

fn of<'a>(tree: &'a BTreeMap<(String, String), Span>, service: &str, name: &str) -> &'a Span {
    let key = (service.to_owned(), name.to_owned());
    tree.get(&key).unwrap_or_else(|| panic!("no {key:?} among {:#?}", tree.keys()))
}

#[test]
fn a_request_is_one_tree_over_all_services_and_a_run_belongs_to_its_request() {
    let dir = place();
    let collector = Collector::start();
    let to = collector.setting();
    let verifier = Process::start(dir.path(), &["serve", "verifier", "--set", &to]);
    let url = verifier.url("verifier");
    let named = format!("verifier.url={url}");
    let selector = Process::start(dir.path(), &["serve", "selector", "--set", &to, "--set", &named]);
    let named = format!("trainer.verifier_url={url}");
    let trainer = Process::start(dir.path(), &["serve", "trainer", "--set", &to, "--set", &named]);

    let made = traced(&format!("{}/v1/selections", selector.url("selector")), TRACE, &pool());
    assert_eq!(made["verifiers"].as_array().map(Vec::len), Some(1), "the verifier was asked: {made}");
    for last in ["POST /v1/selections", "POST /v1/score", "batch"] {
        collector.wait(last, |span| span.trace == TRACE && span.name == last);
    }
    let spans = tree(&collector.trace(TRACE));
    let (selector_is, verifier_is) = ("entropo-selector", "entropo-verifier");
    let root = of(&spans, selector_is, "POST /v1/selections");
    assert_eq!((root.parent.as_str(), root.kind), (CALLER, 2), "{root:?}");
    assert_eq!(root.attributes["http.response.status_code"], "201");
    let asks = of(&spans, selector_is, "ask verifier");
    assert_eq!(asks.parent, root.id);
    let call = of(&spans, selector_is, "POST verifier");
    assert_eq!((&call.parent, call.kind, call.failed), (&asks.id, 3, false));
    let scores = of(&spans, verifier_is, "POST /v1/score");
    assert_eq!((&scores.parent, scores.kind), (&call.id, 2));
    let score = of(&spans, verifier_is, "score");
    assert_eq!(score.parent, scores.id);
    assert_eq!(of(&spans, verifier_is, "batch").parent, score.id);
    for name in ["read candidates", "prepare candidates", "select", "store selection"] {
        assert_eq!(of(&spans, selector_is, name).parent, root.id);
    }
    // The log finds its way to the trace and the request in both services.
    for process in [&selector, &verifier] {
        let log = process.log();
        let line = log.iter().find(|line| line["request_id"] == format!("of-{TRACE}")).unwrap();
        assert_eq!((&line["trace_id"], &line["message"]), (&json!(TRACE), &json!("answered")), "{line}");
    }

    let runs = format!("{}/v1/runs", trainer.url("trainer"));
    let of_run = "11111111111111111111111111111111";
    let body = json!({"config": config("bradley-terry", 10)});
    let run = traced(&runs, of_run, &body)["id"].as_str().unwrap().to_owned();
    until(&format!("{runs}/{run}"), |run| run["state"] == "done");
    collector.wait("train", |span| span.trace == of_run && span.name == "train");
    let trainer_is = "entropo-trainer";
    let spans = tree(&collector.trace(of_run));
    let create = of(&spans, trainer_is, "POST /v1/runs");
    let train = of(&spans, trainer_is, "train");
    assert_eq!(train.parent, create.id);
    assert_eq!((&train.attributes["run"], train.attributes["outcome"].as_str()), (&run, "done"));
    assert_eq!(of(&spans, trainer_is, "store checkpoint").parent, train.id);
    let ended = trainer.log().into_iter().find(|line| line["message"] == "the attempt ended").unwrap();
    assert_eq!((&ended["run"], &ended["trace_id"]), (&json!(run), &json!(of_run)), "{ended}");

    let of_promotion = "22222222222222222222222222222222";
    traced(&format!("{runs}/{run}/checkpoints/10/promote"), of_promotion, &json!({}));
    let promote = "POST /v1/runs/{id}/checkpoints/{step}/promote";
    let activate = "POST /v1/models/{name}/activate";
    for last in [promote, activate] {
        collector.wait(last, |span| span.trace == of_promotion && span.name == last);
    }
    let spans = tree(&collector.trace(of_promotion));
    let promoted = of(&spans, trainer_is, promote);
    assert_eq!(promoted.links, [of_run], "the run that is promoted");
    let call = of(&spans, trainer_is, "POST verifier");
    assert_eq!(call.parent, promoted.id);
    assert_eq!(of(&spans, verifier_is, activate).parent, call.id);
    let probes = ["/livez", "/readyz", "/metrics"];
    assert!(!collector.spans().iter().any(|span| probes.iter().any(|probe| span.name.ends_with(probe))));
}

#[test]
fn a_caller_s_trace_goes_through_a_service_without_a_collector() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start();
    let verifier = Process::start(dir.path(), &["serve", "verifier", "--set", &collector.setting()]);
    let named = format!("verifier.url={}", verifier.url("verifier"));
    let selector = Process::start(dir.path(), &["serve", "selector", "--set", &named]);
    traced(&format!("{}/v1/selections", selector.url("selector")), TRACE, &pool());
    let scores = collector.wait("POST /v1/score", |span| span.name == "POST /v1/score");
    assert_eq!((scores.trace.as_str(), scores.parent.as_str()), (TRACE, CALLER));
    let log = selector.log();
    assert!(log.iter().any(|line| line["trace_id"] == TRACE && line["message"] == "answered"), "{log:?}");
}

#[test]
fn a_collector_that_is_gone_costs_spans_and_one_line() {
    let dir = tempfile::tempdir().unwrap();
    // A port that nobody listens on.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let to = format!("telemetry.otlp_endpoint=http://{gone}");
    let mut selector = Process::start(dir.path(), &["serve", "selector", "--set", &to]);
    let url = format!("{}/v1/selections", selector.url("selector"));
    let complaints = |process: &Process| {
        let log = process.log();
        log.iter().filter(|line| line["message"] == "spans cannot be exported and are dropped").count()
    };
    while complaints(&selector) == 0 {
        traced(&url, TRACE, &pool());
    }
    for _ in 0..20 {
        traced(&url, TRACE, &pool());
    }
    assert_eq!(complaints(&selector), 1);
    let asked = Command::new("kill").args(["-TERM", &selector.child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    assert_eq!(selector.child.wait().unwrap().code(), Some(0));
    assert_eq!(complaints(&selector), 1);
}

#[test]
fn the_share_of_recorded_traces_counts_for_those_that_begin_here() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start();
    let to = collector.setting();
    let mut selector = Process::start(
        dir.path(),
        &[
            "serve",
            "selector",
            "--set",
            &to,
            "--set",
            "telemetry.sample_ratio=0",
            "--set",
            "telemetry.service_name=mine",
        ],
    );
    let url = format!("{}/v1/selections", selector.url("selector"));
    let (status, _) = request(reqwest::Client::new().post(&url).json(&pool()));
    assert_eq!(status, 201);
    let unsampled = format!("00-{}-{CALLER}-00", "3".repeat(32));
    request(reqwest::Client::new().post(&url).json(&pool()).header("traceparent", unsampled));
    traced(&url, TRACE, &pool());
    Command::new("kill").args(["-TERM", &selector.child.id().to_string()]).status().unwrap();
    assert_eq!(selector.child.wait().unwrap().code(), Some(0), "spans that wait are sent at the end");
    let spans = collector.spans();
    assert!(
        !spans.is_empty() && spans.iter().all(|span| span.trace == TRACE && span.service == "mine"),
        "{spans:#?}"
    );
    let ratio =
        crate::support::run_in(dir.path(), &["serve", "selector", "--set", "telemetry.sample_ratio=2"]);
    assert!(ratio.code != 0 && ratio.err.contains("telemetry.sample_ratio"), "{}", ratio.err);
}
