//! Selecting while the verifier is up, down, slow, or talks nonsense; through the service and on the command line.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Service, patch, run};

/// What a verifier does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Scores every candidate, in an order of its own.
    Well,
    /// Never answers.
    Slow,
    /// Answers something else.
    Garbage,
    /// Ends the connection in the middle of its answer.
    Dying,
    /// Has learned nothing.
    Untrained,
}

/// A verifier whose mood can change.
struct Verifier {
    url: String,
    mood: Arc<Mutex<Mood>>,
}

impl Verifier {
    fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mood = Arc::new(Mutex::new(mood));
        let shared = Arc::clone(&mood);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mood = *shared.lock().unwrap();
                std::thread::spawn(move || answer(stream.unwrap(), mood));
            }
        });
        Self { url, mood }
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

/// Reads one request; `None` when the other side left.
fn read(stream: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.to_lowercase().split("content-length: ").nth(1)?.lines().next()?.parse::<usize>().ok()?;
        if body.len() >= length {
            return serde_json::from_str(body).ok();
        }
    }
}

fn answer(mut stream: TcpStream, mood: Mood) {
    let Some(request) = read(&mut stream) else { return };
    let mut scores: Vec<Value> = request["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(
            |candidate| json!({"candidate_id": candidate["candidate_id"], "probability": opinion(candidate)}),
        )
        .collect();
    scores.reverse();
    let model = json!({"name": "mock", "revision": "1", "trained": mood != Mood::Untrained});
    let body = match mood {
        Mood::Slow => return std::thread::sleep(Duration::from_mins(10)),
        Mood::Garbage => "<html>busy</html>".to_owned(),
        _ => json!({"model": model, "scores": scores}).to_string(),
    };
    let length = if mood == Mood::Dying { body.len() + 100 } else { body.len() };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// A probability that follows from the candidate itself, so that a score in the wrong place shows.
fn opinion(candidate: &Value) -> f64 {
    let text = candidate["patch"].as_str().unwrap_or_default();
    f64::from(text.bytes().map(u32::from).sum::<u32>() % 89) / 89.0
}

fn body(count: usize) -> Value {
    let candidates: Vec<Value> = (0..count)
        .map(|at| json!({"candidate_id": format!("run-{at}"), "patch": patch("src/x.py", &format!("b = {at}")), "exit": "submitted"}))
        .collect();
    json!({"instance_id": "a__b-1", "issue": "b is wrong", "candidates": candidates, "policy": "r2e-gym"})
}

fn service(verifier: &Verifier) -> (tempfile::TempDir, Service) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("verifier.url={}", verifier.url);
    let args = ["--set", &url, "--set", "verifier.deadline=2s", "--set", "verifier.failures=0"];
    let service = Service::start(dir.path(), &args);
    (dir, service)
}

fn note(made: &Value) -> String {
    let entries = made["degraded"].as_array().unwrap().iter();
    entries.filter(|entry| entry["evidence"] == "verifier").map(|entry| entry["detail"].to_string()).collect()
}

fn check_scores(request: &Value, made: &Value) {
    for candidate in request["candidates"].as_array().unwrap() {
        let ranked = made["candidates"].as_array().unwrap();
        let found = ranked.iter().find(|one| one["candidate_id"] == candidate["candidate_id"]).unwrap();
        assert_eq!(found["verifier"], json!(opinion(candidate)), "{found}");
    }
}

#[test]
fn scores_stay_with_their_candidates_whatever_the_order() {
    let verifier = Verifier::start(Mood::Well);
    let (_dir, service) = service(&verifier);
    for rotated in 0..5 {
        let mut request = body(12);
        request["candidates"].as_array_mut().unwrap().rotate_left(rotated);
        let (status, made) = service.post("/v1/selections", &request);
        assert_eq!(status, 201, "{made}");
        check_scores(&request, &made);
        assert_eq!(made["verifiers"], json!(["mock@1"]));
        assert_eq!(note(&made), "");
    }
}

#[test]
fn a_selection_is_made_whatever_becomes_of_the_verifier() {
    let verifier = Verifier::start(Mood::Well);
    let (_dir, service) = service(&verifier);
    let request = body(4);
    for (mood, words) in [
        (Mood::Garbage, "no list of scores"),
        (Mood::Dying, "breaks off"),
        (Mood::Untrained, "mock@1 is untrained"),
        (Mood::Slow, "did not answer within"),
    ] {
        verifier.becomes(mood);
        let (status, made) = service.post("/v1/selections", &request);
        assert_eq!(status, 201, "{made}");
        assert!(made["chosen"].is_string(), "{made}");
        assert!(note(&made).contains(words), "{mood:?}: {made}");
        assert!(made["candidates"][0].get("verifier").is_none(), "{made}");
    }
    verifier.becomes(Mood::Well);
    let (_, made) = service.post("/v1/selections", &request);
    check_scores(&request, &made);
    let (_, metrics) = service.get("/metrics");
    for outcome in ["scored", "unavailable", "untrained"] {
        assert!(
            metrics.contains(&format!(r#"selector_verifier_requests_total{{outcome="{outcome}"}}"#)),
            "{outcome}"
        );
    }
}

#[test]
fn the_command_line_asks_a_verifier_too() {
    let verifier = Verifier::start(Mood::Well);
    let args = ["select", "examples", "--policy", "r2e-gym", "--verifier", &verifier.url];
    let table = run(&args).ok();
    assert!(table.out.contains("verifier: mock@1"), "{}", table.out);
    let made = run(&[&args[..], &["--json"]].concat()).json();
    for selection in made.as_array().unwrap() {
        let scored =
            selection["candidates"].as_array().unwrap().iter().filter(|one| one["verifier"].is_f64());
        assert_eq!(scored.count(), selection["candidates"].as_array().unwrap().len(), "{selection}");
    }
    verifier.becomes(Mood::Garbage);
    let made = run(&[&args[..], &["--json"]].concat()).json();
    assert!(note(&made[0]).contains("no list of scores"), "{made}");
    let wrong = run(&["select", "examples", "--verifier", "127.0.0.1:8082"]);
    assert!(wrong.code != 0 && wrong.err.contains("http://"), "{wrong:?}");
}
