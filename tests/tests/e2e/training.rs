//! Training on a tiny random model: on the command line, and over HTTP with a worker that is killed.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{entropo, patch, request, run_in, workspace};

/// Steps of a run: so many that a worker is killed long before the last.
const STEPS: usize = 120;

/// A folder with a model and rows where the trainer looks for them.
pub(crate) fn place() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (models, data) = (dir.path().join("entropo-data/models/tiny"), dir.path().join("entropo-data/data"));
    std::fs::create_dir_all(&models).unwrap();
    std::fs::create_dir_all(&data).unwrap();
    for entry in std::fs::read_dir(workspace().join("model/tests/fixtures/agent")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "expected.json" {
            std::fs::copy(&path, models.join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut rows = String::new();
    for row in 0..12 {
        let say = |role: &str, text: String| json!({"role": role, "content": text});
        let side = |word: &str| {
            json!([
                say("assistant", format!("look {row}")),
                say("user", "found it".to_owned()),
                say("assistant", format!("{word} {row}")),
            ])
        };
        let prompt = json!([say("user", format!("fix issue {row}"))]);
        let row = json!({"prompt": prompt, "chosen": side("good"), "rejected": side("bad")});
        writeln!(rows, "{row}").unwrap();
    }
    std::fs::write(data.join("pairs.jsonl"), rows).unwrap();
    dir
}

pub(crate) fn config(kind: &str, steps: usize) -> Value {
    json!({
        "model": {"path": "tiny"},
        "data": {"train": "pairs.jsonl"},
        "objective": {"kind": kind},
        "training": {"steps": steps, "rows_per_step": 4, "learning_rate": 1e-3},
        "checkpoint": {"every_steps": 5},
    })
}

/// The same for the command line.
fn file(dir: &Path, kind: &str, steps: usize) -> PathBuf {
    let path = dir.join("run.toml");
    let text = format!(
        "[model]\npath = \"entropo-data/models/tiny\"\n[data]\ntrain = \"entropo-data/data/pairs.jsonl\"\n\
         [objective]\nkind = \"{kind}\"\n[training]\nsteps = {steps}\nrows_per_step = 4\nlearning_rate = 1e-3\n\
         [checkpoint]\nevery_steps = 5\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// A process that says where its services listen.
pub(crate) struct Process {
    pub(crate) child: Child,
    lines: Vec<String>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a command and reads until it is up.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = entropo()
            .args(args)
            .args(["--bind", "127.0.0.1:0", "--set", "trainer.lease=1s", "--set", "trainer.poll=100ms"])
            .current_dir(folder)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut lines = Vec::new();
        for line in stderr.by_ref() {
            let up = line.contains("Ctrl-C stops it");
            lines.push(line);
            if up {
                break;
            }
        }
        let log = Arc::new(Mutex::new(lines.clone()));
        let later = Arc::clone(&log);
        std::thread::spawn(move || stderr.for_each(|line| later.lock().unwrap().push(line)));
        Self { child, lines, log }
    }

    /// What it has logged so far that is JSON.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub(crate) fn url(&self, service: &str) -> String {
        let start = format!("{service} at ");
        let line = self.lines.iter().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("{:?}", self.lines)).split(' ').next().unwrap().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn get(url: &str) -> Value {
    let (status, text) = request(reqwest::Client::new().get(url));
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn post(url: &str, body: &Value) -> Value {
    let (status, text) = request(reqwest::Client::new().post(url).json(body));
    assert!((200..300).contains(&status), "{status} {text}");
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn until(url: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let value = get(url);
        if holds(&value) {
            return value;
        }
        assert!(started.elapsed() < Duration::from_mins(5), "never came: {value}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_worker_is_replaced_and_the_model_promoted() {
    let dir = place();
    let front = Process::start(dir.path(), &["up", "--set", "trainer.workers=0"]);
    let (trainer, verifier) = (front.url("trainer"), front.url("verifier"));
    let body = json!({"name": "e2e", "config": config("bradley-terry", STEPS)});
    let run = post(&format!("{trainer}/v1/runs"), &body);
    let run = format!("{trainer}/v1/runs/{}", run["id"].as_str().unwrap());

    let mut first = Process::start(dir.path(), &["serve", "trainer"]);
    until(&format!("{run}/checkpoints"), |found| !found["data"].as_array().unwrap().is_empty());
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let killed = get(&run);
    assert_eq!((&killed["state"], &killed["attempts"]), (&json!("running"), &json!(1)), "{killed}");

    let second = Process::start(dir.path(), &["serve", "trainer"]);
    let done = until(&run, |run| !["running", "queued"].contains(&run["state"].as_str().unwrap()));
    assert_eq!((&done["state"], &done["attempts"]), (&json!("done"), &json!(2)), "{done}");
    assert_ne!(done["worker"], killed["worker"]);
    let (_, events) = request(reqwest::Client::new().get(format!("{run}/events")));
    assert!(events.contains("event: resumed") && events.contains("event: ended"), "{events}");
    drop(second);

    // What was killed and resumed is what was never disturbed, to the last bit.
    let path = file(dir.path(), "bradley-terry", STEPS);
    run_in(dir.path(), &["train", path.to_str().unwrap(), "--out", "undisturbed", "-q"]).ok();
    let name = format!("checkpoint-{STEPS}/model.safetensors");
    let undisturbed = std::fs::read(dir.path().join("undisturbed").join(&name)).unwrap();
    let id = run.rsplit('/').next().unwrap();
    let resumed = std::fs::read(dir.path().join("entropo-data/runs").join(id).join(&name)).unwrap();
    assert!(undisturbed == resumed, "the weights differ");

    let promoted = post(&format!("{run}/checkpoints/{STEPS}/promote"), &json!({}));
    let model = promoted["model"].as_str().unwrap();
    assert_eq!(get(&format!("{verifier}/v1/models/active"))["id"], model);
    let candidate = json!({"candidate_id": "one", "patch": patch("src/x.py", "b = 3"), "exit": "submitted"});
    let scored =
        post(&format!("{verifier}/v1/score"), &json!({"issue": "b should be 3", "candidates": [candidate]}));
    assert_eq!(scored["model"]["name"], model, "{scored}");
    assert!(scored["scores"][0]["logit"].is_number(), "{scored}");
}

#[test]
fn a_run_on_the_command_line_is_planned_trained_and_exported() {
    let dir = place();
    let path = file(dir.path(), "entropo-dpo", 6);
    let path = path.to_str().unwrap();
    let plan = run_in(dir.path(), &["train", path, "--dry-run", "--json", "-q"]).json();
    assert_eq!((&plan["plan"]["rows"], &plan["plan"]["steps"]), (&json!(12), &json!(6)));
    assert!(plan["plan"]["trained_tokens"].as_u64().unwrap() > 0);
    let shown = run_in(dir.path(), &["train", path, "--dry-run", "--set", "objective.alpha=0.2"]).ok();
    assert!(shown.out.contains("trained tokens") && shown.out.contains("alpha = 0.2"), "{}", shown.out);
    assert!(!dir.path().join("runs").exists(), "a dry run writes nothing");

    let trained = run_in(dir.path(), &["train", path]).ok();
    assert!(trained.out.contains("checkpoint-6") && trained.out.contains("loss"), "{}", trained.out);
    assert!(trained.err.contains("step 6 of 6"), "{}", trained.err);
    let again = run_in(dir.path(), &["train", path]);
    assert_eq!(again.code, 2, "{}", again.err);
    assert!(again.err.contains("--resume"), "{}", again.err);
    let more = run_in(dir.path(), &["train", path, "--resume", "--set", "training.seed=9"]);
    assert_eq!(more.code, 1, "{}", more.err);
    assert!(more.err.contains("another configuration"), "{}", more.err);

    run_in(dir.path(), &["export", "runs/run/checkpoint-6", "exported"]).ok();
    assert!(dir.path().join("exported/config.json").is_file());
    assert!(!dir.path().join("exported/optimizer.safetensors").exists());
    let rows = "{\"prompt\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n";
    std::fs::write(dir.path().join("prompts.jsonl"), rows).unwrap();
    let args = ["generate", "exported", "--input", "prompts.jsonl", "-n", "2", "--max-tokens", "4", "-q"];
    let made = run_in(dir.path(), &args).ok();
    assert_eq!(made.out.lines().count(), 2, "{}", made.out);
}

#[test]
fn several_devices_train_one_model() {
    let dir = place();
    let path = file(dir.path(), "entropo-dpo", 4);
    let run = |more: &[&str]| {
        let rows = ["train", path.to_str().unwrap(), "--set", "training.micro_batch_rows=1"];
        run_in(dir.path(), &[&rows[..], more].concat())
    };
    let both = ["--set", "model.device=[\"cpu\", \"cpu\"]"];
    let plan = run(&[&both[..], &["--dry-run", "--json", "-q"]].concat()).json();
    assert_eq!(plan["plan"]["devices"], 2);
    let shown = run(&[&both[..], &["--out", "two"]].concat()).ok();
    assert!(shown.err.contains("2 devices"), "{}", shown.err);
    run(&["--out", "one", "-q"]).ok();
    let lines = |out: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(dir.path().join(out).join("metrics.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (one, two) = (lines("one"), lines("two"));
    assert_eq!((one.len(), two.len()), (4, 4));
    for (one, two) in one.iter().zip(&two) {
        assert_eq!((&one["devices"], two["devices"].as_f64()), (&Value::Null, Some(2.0)));
        for name in ["loss", "grad_norm"] {
            let [one, two] = [one, two].map(|line| line[name].as_f64().unwrap());
            assert!((one - two).abs() < 1e-5 * one.abs().max(1.0), "{name}: {one} {two}");
        }
    }
    // The same run: a second device changes nothing but rounding.
    run(&["--out", "two", "--resume", "-q"]).ok();
    let refused = run(&["--set", "model.device=cuda:0,cuda:0", "--out", "none"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("model.device") && refused.err.contains("named twice"), "{}", refused.err);
}

#[test]
fn adapters_are_trained_and_merged() {
    let dir = place();
    let path = file(dir.path(), "dpo", 4);
    let flags = ["--set", "lora.rank=2", "--out", "lora", "-q"];
    run_in(dir.path(), &[&["train", path.to_str().unwrap()][..], &flags].concat()).ok();
    let adapters = "lora/checkpoint-4";
    assert!(dir.path().join(adapters).join("adapter_config.json").is_file());
    run_in(dir.path(), &["merge", "entropo-data/models/tiny", adapters, "merged"]).ok();
    run_in(dir.path(), &["export", adapters, "exported"]).ok();
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    assert!(weights("merged") == weights("exported"), "both are the same model");
    assert!(weights("merged") != weights("entropo-data/models/tiny"), "training changed it");
    let merge = run_in(dir.path(), &["merge", "entropo-data/models/tiny", "exported", "x"]);
    assert_eq!(merge.code, 3, "{}", merge.err);
}

#[test]
fn an_interrupt_leaves_a_checkpoint_that_goes_on() {
    let dir = place();
    let path = file(dir.path(), "dpo", 100_000);
    let mut child = entropo()
        .args(["train", path.to_str().unwrap(), "--out", "out", "-q", "--set", "checkpoint.every_steps=0"])
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let metrics = dir.path().join("out/metrics.jsonl");
    let started = Instant::now();
    while std::fs::read_to_string(&metrics).unwrap_or_default().lines().count() < 2 {
        assert!(started.elapsed() < Duration::from_mins(2), "no step was taken");
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("--resume"), "{said}");
    let entries = std::fs::read_dir(dir.path().join("out")).unwrap().map(Result::unwrap);
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| name.starts_with("checkpoint-")), "{names:?}");
}

#[test]
fn mistakes_in_a_run_are_named() {
    let dir = place();
    let path = file(dir.path(), "dpo", 4);
    let path = path.to_str().unwrap();
    for (set, code, words) in [
        ("training.learning_rat=1", 1, "training.learning_rat: unknown field"),
        ("objective.gamma=1", 1, "objective.gamma: is not a setting of the kind `dpo`"),
        ("data.train=none.jsonl", 3, "none.jsonl"),
        ("model.path=nowhere", 3, "nowhere"),
        ("nonsense", 2, "key=value"),
    ] {
        let ran = run_in(dir.path(), &["train", path, "-q", "--set", set]);
        assert_eq!(ran.code, code, "{set}: {}", ran.err);
        assert!(ran.err.contains(words), "{set}: {}", ran.err);
    }
}
