//! Requests that are made to hurt: within the limits on sizes they are answered, beyond them refused, and the process
//! neither falls over nor grows without bound.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::request;
use crate::training::{Process, config, place};

/// What the process may have held at any time. Bodies may take 512 MiB (`limits.bodies_in_memory`), and what is made
/// of them about as much again; an unbounded reader of any of these requests takes more.
const LARGEST_MEMORY: u64 = 2 << 30;
/// The largest patch here: less than by default, because these tests run unoptimised programs.
const PATCH: usize = 512 << 10;
const LIMITS: [&str; 5] =
    ["up", "--set", "selection.patch=512 KiB", "--set", "limits.request_timeout=10 min"];

fn send(
    process: &Process,
    service: &str,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> (u16, String) {
    sent(process, service, method, path, body, "identity")
}

fn sent(
    process: &Process,
    service: &str,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
    encoding: &str,
) -> (u16, String) {
    let url = format!("{}{path}", process.url(service));
    let mut built = reqwest::Client::new().request(method, url).header("content-type", "application/json");
    if let Some(body) = body {
        built = built.header("content-encoding", encoding).body(body);
    }
    request(built)
}

/// Refused or done, and the service is as well as before.
fn survived(process: &Process, what: &str, answer: &(u16, String), wanted: &[u16]) {
    let shown: String = answer.1.chars().take(300).collect();
    assert!(wanted.contains(&answer.0), "{what}: {} {shown}", answer.0);
    for service in ["selector", "verifier", "trainer"] {
        assert_eq!(send(process, service, Method::GET, "/livez", None).0, 200, "{what}");
    }
    // Only Linux tells.
    let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())) else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
    assert!(peak < LARGEST_MEMORY, "{what}: the process held {} MiB", peak >> 20);
}

fn pool(patches: &[String]) -> Vec<u8> {
    let candidates: Vec<Value> = patches
        .iter()
        .enumerate()
        .map(|(number, patch)| json!({"candidate_id": format!("c{number}"), "patch": patch}))
        .collect();
    serde_json::to_vec(&json!({"instance_id": "a__b-1", "candidates": candidates})).unwrap()
}

/// Patches as large as one may be, each the worst of its kind.
fn patches() -> Vec<(&'static str, String)> {
    let head = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n";
    let fill = |start: &str, mut part: Box<dyn FnMut(usize) -> String>| {
        let mut text = start.to_owned();
        for number in 0.. {
            let next = part(number);
            if text.len() + next.len() > PATCH {
                return text;
            }
            text.push_str(&next);
        }
        text
    };
    vec![
        ("one line", format!("{head}@@ -1 +1 @@\n-a\n+{}\n", "x".repeat(PATCH - 200))),
        (
            "a hunk every line",
            fill(head, Box::new(|number| format!("@@ -{number} +{number} @@\n-a\n+b{number}\n"))),
        ),
        (
            "a file every line",
            fill("", Box::new(|number| format!("diff --git a/{number} b/{number}\nnew file mode 100644\n"))),
        ),
        (
            "an endless hunk",
            format!(
                "{head}@@ -1,99999999999999999999 +1,99999999999999999999 @@\n{}",
                "-a\n+b\n".repeat(PATCH / 6 - 100)
            ),
        ),
        ("equal lines", format!("{head}@@ -1,9 +1,9 @@\n{}", "+same\n".repeat(PATCH / 6 - 100))),
        ("brackets", format!("{head}@@ -0,0 +1 @@\n+{}\n", "([{".repeat((PATCH - 200) / 3))),
        ("headers without end", "diff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n".repeat(PATCH / 50)),
        (
            "renames",
            fill("", Box::new(|n| format!("diff --git a/{n} b/{n}x\nrename from {n}\nrename to {n}x\n"))),
        ),
        ("nothing but markers", "@@".repeat(PATCH / 2)),
    ]
}

#[test]
fn patches_made_to_hurt_are_read_or_refused() {
    let dir = place();
    let process = Process::start(dir.path(), &LIMITS);
    let all = patches();
    for (what, patch) in &all {
        let answer = send(
            &process,
            "selector",
            Method::POST,
            "/v1/selections",
            Some(pool(std::slice::from_ref(patch))),
        );
        survived(&process, what, &answer, &[201, 422]);
    }
    // All against all.
    let together: Vec<String> =
        all.iter().map(|(_, patch)| patch.clone()).chain(all.iter().map(|(_, p)| format!("{p}\n"))).collect();
    let answer = send(&process, "selector", Method::POST, "/v1/selections", Some(pool(&together)));
    survived(&process, "all of them together", &answer, &[201, 413, 422]);
    let more = vec!["x".repeat(PATCH + 1)];
    let answer = send(&process, "selector", Method::POST, "/v1/selections", Some(pool(&more)));
    survived(&process, "larger than a patch may be", &answer, &[413]);
    // Many that are nearly the same: comparing is quadratic in their number.
    let near: Vec<String> = (0..300)
        .map(|number| {
            let mut text =
                String::from("diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1,40 @@\n-a\n");
            for line in 0..40 {
                writeln!(text, "+value_{line} = {}", if line == number % 40 { number } else { line })
                    .unwrap();
            }
            text
        })
        .collect();
    let answer = send(&process, "selector", Method::POST, "/v1/selections", Some(pool(&near)));
    survived(&process, "hundreds of near copies", &answer, &[201]);
}

#[test]
fn bodies_made_to_hurt_are_refused() {
    let dir = place();
    let process = Process::start(dir.path(), &["up"]);
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    (0..1024).for_each(|_| bomb.write_all(&zeros).unwrap());
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 2 << 20);
    for (service, path) in
        [("selector", "/v1/selections"), ("verifier", "/v1/score"), ("trainer", "/v1/runs")]
    {
        let answer = sent(&process, service, Method::POST, path, Some(bomb.clone()), "gzip");
        survived(&process, "a gibibyte of blanks", &answer, &[413]);
        for (what, body) in [
            ("lists in lists", "[".repeat(1 << 20)),
            ("objects in objects", "{\"config\":".repeat(200_000)),
            ("an object in a known field", format!("{{\"config\": {}", "{\"model\":".repeat(200_000))),
            ("a number of a million digits", format!("{{\"instance_id\": {}}}", "9".repeat(1_000_000))),
            ("a key of a mebibyte", format!("{{\"{}\": 1}}", "k".repeat(1 << 20))),
        ] {
            let answer = send(&process, service, Method::POST, path, Some(body.into_bytes()));
            survived(&process, what, &answer, &[400, 422]);
        }
    }
    // Files are read by readers of our own.
    let deep =
        |open: &str, close: &str, count: usize| format!("{}1{}", open.repeat(count), close.repeat(count));
    for (name, content) in [
        ("a.traj", format!("{{\"trajectory\": {}}}", deep("[", "]", 100_000))),
        (
            "a.json",
            format!(
                "{{\"messages\": [{{\"role\": \"user\", \"content\": {}}}]}}",
                deep("{\"a\":", "}", 100_000)
            ),
        ),
        ("a.jsonl", format!("{}\n", deep("[{\"role\":", "}]", 50_000)).repeat(10)),
        ("a.yaml", deep("[", "]", 100_000)),
        ("preds.json", format!("{{\"a__b-1\": {}}}", deep("{\"model_patch\":", "}", 100_000))),
        ("a.xml", format!("<testsuites>{}", "<testsuite>".repeat(200_000))),
        ("test.log", "PASSED ".repeat(500_000)),
        ("a.md", "```diff\n".repeat(200_000)),
    ] {
        let body = json!({"instance_id": "a__b-1", "files": [{"name": name, "content": content}]});
        let body = serde_json::to_vec(&body).unwrap();
        let answer = send(&process, "selector", Method::POST, "/v1/candidates", Some(body.clone()));
        survived(&process, name, &answer, &[201, 400, 422]);
    }
}

#[test]
fn names_do_not_lead_out_of_their_folders() {
    let dir = place();
    let secret = dir.path().join("secret.txt");
    std::fs::write(&secret, "do not read me").unwrap();
    let process = Process::start(dir.path(), &["up"]);
    let (_, created) = send(
        &process,
        "trainer",
        Method::POST,
        "/v1/runs",
        Some(serde_json::to_vec(&json!({"config": config("dpo", 5)})).unwrap()),
    );
    let id = serde_json::from_str::<Value>(&created).unwrap()["id"].as_str().unwrap().to_owned();
    let run = dir.path().join("entropo-data/runs").join(&id);
    std::fs::create_dir_all(&run).unwrap();
    link(&secret, &run.join("link.txt"));
    link(dir.path(), &run.join("folder"));
    let out = [
        "..%2f..%2f..%2fsecret.txt",
        "%2e%2e/%2e%2e/%2e%2e/secret.txt",
        "..%5c..%5csecret.txt",
        "%2fetc%2fpasswd",
        "x/..%2f..%2f..%2f..%2fsecret.txt",
        "link.txt",
        "folder/secret.txt",
        "folder%2fsecret.txt",
        "secret.txt%00.json",
        "%00",
        ".%2fsecret.txt",
        "%c0%ae%c0%ae/secret.txt",
    ];
    for name in out {
        let answer = send(&process, "trainer", Method::GET, &format!("/v1/runs/{id}/artifacts/{name}"), None);
        survived(&process, name, &answer, &[400, 404]);
        assert!(!answer.1.contains("do not read me"), "{name}");
        let answer = send(&process, "verifier", Method::GET, &format!("/v1/models/{name}"), None);
        survived(&process, name, &answer, &[400, 404]);
        let answer = send(&process, "verifier", Method::POST, &format!("/v1/models/{name}/activate"), None);
        survived(&process, name, &answer, &[400, 404]);
        let answer = send(&process, "selector", Method::GET, &format!("/assets/{name}"), None);
        survived(&process, name, &answer, &[400, 404]);
    }
    // A model by path or by address is none, and nobody is called.
    for model in
        ["/etc", "../secret.txt", "http://169.254.169.254/latest", "file:///etc/passwd", "linear\u{0}"]
    {
        let body = json!({"model": model, "candidates": [{"candidate_id": "a", "patch": ""}]});
        let body = serde_json::to_vec(&body).unwrap();
        survived(&process, model, &send(&process, "verifier", Method::POST, "/v1/score", Some(body)), &[404]);
        for field in ["path", "reference", "tokenizer", "chat_template"] {
            let mut config = config("dpo", 5);
            config["model"][field] = model.into();
            let body = serde_json::to_vec(&json!({"config": config})).unwrap();
            let answer = send(&process, "trainer", Method::POST, "/v1/runs", Some(body));
            survived(&process, model, &answer, &[422]);
            assert!(answer.1.contains(&format!("config.model.{field}")), "{}", answer.1);
        }
    }
    for data in
        ["/etc/passwd", "../../secret.txt", "pairs.jsonl\u{0}", "https://h/rows.jsonl", "~/rows.jsonl"]
    {
        let mut config = config("dpo", 5);
        config["data"]["train"] = data.into();
        let body = serde_json::to_vec(&json!({"config": config})).unwrap();
        survived(&process, data, &send(&process, "trainer", Method::POST, "/v1/runs", Some(body)), &[422]);
    }
}

fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).unwrap();
}
