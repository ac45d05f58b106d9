//! The verifier as a process of its own, and beside the selector.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{entropo, patch, request, run_in};

/// A process that says where its verifier listens.
struct Verifier {
    child: Child,
    url: String,
}

impl Verifier {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = entropo()
            .args(args)
            .args(["--bind", "127.0.0.1:0"])
            .current_dir(folder)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let url =
            lines.find_map(|line| Some(line.strip_prefix("verifier at ")?.split(' ').next()?.to_owned()));
        let url = url.expect("the process ended");
        std::thread::spawn(move || lines.for_each(drop));
        let verifier = Self { child, url };
        let started = Instant::now();
        while verifier.get("/readyz").0 != 200 {
            assert!(started.elapsed() < Duration::from_mins(1), "never ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        verifier
    }

    fn get(&self, path: &str) -> (u16, String) {
        request(reqwest::Client::new().get(format!("{}{path}", self.url)))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, text) = request(reqwest::Client::new().post(format!("{}{path}", self.url)).json(body));
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn body() -> Value {
    let candidate = |id: &str, line: &str| json!({"candidate_id": id, "patch": patch("src/x.py", line), "exit": "submitted"});
    json!({"issue": "b should be 3", "candidates": [candidate("one", "b = 3"), candidate("two", "")]})
}

fn scores(made: &Value) -> Vec<(&str, f64)> {
    let scores = made["scores"].as_array().unwrap().iter();
    scores.map(|score| (score["candidate_id"].as_str().unwrap(), score["logit"].as_f64().unwrap())).collect()
}

#[test]
fn a_verifier_by_itself_scores_as_the_one_beside_the_selector() {
    let dir = tempfile::tempdir().unwrap();
    let alone = Verifier::start(dir.path(), &["serve", "verifier"]);
    let made = alone.post("/v1/score", &body());
    assert_eq!(made["model"]["name"], "linear");
    assert!(!made["model"]["revision"].as_str().unwrap().is_empty());
    let first = scores(&made);
    assert_eq!(first.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["one", "two"]);
    assert!(first.iter().all(|(_, logit)| logit.is_finite()));

    let other = tempfile::tempdir().unwrap();
    let beside = Verifier::start(other.path(), &["up"]);
    let again = beside.post("/v1/score", &body());
    assert_eq!(scores(&again), first);
    let reranked = beside.post(
        "/v1/rerank",
        &json!({"query": "b should be 3", "documents": [patch("a", "b = 3"), "no idea"]}),
    );
    assert_eq!(reranked["results"].as_array().unwrap().len(), 2);
    let (status, metrics) = beside.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("verifier_entries_total{model=\"linear\",outcome=\"scored\"}"), "{metrics}");
}

#[test]
fn wrong_models_are_explained_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for (set, words) in [
        ("models.active=nope", "there is no model `nope`"),
        ("models.available=x=y:z", "there is no back end `y`"),
        ("models.available=active=burn:/m", "cannot be a model's name"),
    ] {
        let ran = run_in(dir.path(), &["serve", "verifier", "--bind", "127.0.0.1:0", "--set", set]);
        assert_ne!(ran.code, 0);
        assert!(ran.err.contains(words), "{set}: {}", ran.err);
    }
}
