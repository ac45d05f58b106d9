//! A trainer that is killed within a run: another worker goes on from the last checkpoint, to the same bits.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::http::Client;
use crate::place::{Context, workspace};
use crate::process::{Recipe, bare};
use crate::random::Random;
use crate::report::{Bound, Table};

/// How long a worker that does not report keeps its run.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_mins(5);

/// Puts a tiny model and rows where the trainer looks for them.
pub(crate) fn place(folder: &Path) -> Result<()> {
    let (models, data) = (folder.join("entropo-data/models/tiny"), folder.join("entropo-data/data"));
    std::fs::create_dir_all(&models)?;
    std::fs::create_dir_all(&data)?;
    for name in [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        std::fs::copy(workspace().join("model/tests/fixtures/agent").join(name), models.join(name))
            .with_context(|| format!("cannot copy the fixture {name}"))?;
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
        writeln!(rows, "{}", json!({"prompt": prompt, "chosen": side("good"), "rejected": side("bad")}))?;
    }
    std::fs::write(data.join("pairs.jsonl"), rows)?;
    Ok(())
}

/// Settings of a trainer that notices deaths soon and never gives up.
pub(crate) fn settings() -> Vec<String> {
    let lease = format!("trainer.lease={}s", LEASE.as_secs());
    [lease.as_str(), "trainer.poll=100ms", "trainer.attempts=1000", "trainer.retry_pause=500ms"]
        .map(str::to_owned)
        .to_vec()
}

/// A run of so many steps with a checkpoint every few.
pub(crate) fn config(steps: usize, every: usize) -> Value {
    json!({
        "model": {"path": "tiny"},
        "data": {"train": "pairs.jsonl"},
        "objective": {"kind": "bradley-terry"},
        "training": {"steps": steps, "rows_per_step": 4, "learning_rate": 1e-3},
        "checkpoint": {"every_steps": every},
    })
}

/// Steps that a run's folder tells of; its progress in the API comes once a second only.
pub(crate) fn steps_of(folder: &Path, run: &str) -> usize {
    let metrics = folder.join("entropo-data/runs").join(run).join("metrics.jsonl");
    std::fs::read_to_string(metrics).map_or(0, |text| text.lines().count())
}

/// Waits until a run has taken so many steps.
pub(crate) async fn stepped(folder: &Path, run: &str, count: usize) -> Result<()> {
    let start = Instant::now();
    while steps_of(folder, run) < count {
        if start.elapsed() > PATIENCE {
            bail!("the run does not reach step {count}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Whether a run goes no further.
pub(crate) fn is_over(run: &Value) -> bool {
    run["state"].as_str().is_some_and(|state| !["running", "queued"].contains(&state))
}

/// The runs of a trainer.
#[derive(Debug)]
pub(crate) struct Runs(SocketAddr);

impl Runs {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self(addr)
    }

    /// Creates a run and gives its id.
    pub(crate) async fn create(&self, key: Option<&str>, config: &Value) -> Result<String> {
        let body = json!({"config": config}).to_string();
        let reply = Client::new(self.0).post("/v1/runs", key, body.as_bytes(), ANSWER).await;
        let reply = reply.ok().context("the trainer does not answer")?;
        ensure!(reply.status == 201, "the trainer refuses a run: {} {}", reply.status, reply.text());
        Ok(reply.json()["id"].as_str().unwrap_or_default().to_owned())
    }

    /// How a run stands.
    pub(crate) async fn get(&self, run: &str) -> Result<Value> {
        let reply = Client::new(self.0).get(&format!("/v1/runs/{run}"), ANSWER).await;
        Ok(reply.ok().context("the trainer does not answer")?.json())
    }

    /// Waits for a run.
    pub(crate) async fn until(&self, run: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let start = Instant::now();
        loop {
            let value = self.get(run).await?;
            if holds(&value) {
                return Ok(value);
            }
            if start.elapsed() > PATIENCE || is_over(&value) {
                bail!("waited in vain: {value}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The kinds of a run's events so far, when it has ended; an end has its state with it, as `ended done`.
    pub(crate) async fn events(&self, run: &str) -> Result<Vec<String>> {
        let reply = Client::new(self.0).get(&format!("/v1/runs/{run}/events"), ANSWER).await;
        let text = reply.ok().context("the events do not come")?.text();
        let mut kinds = Vec::new();
        for block in text.split("\n\n") {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let (Some(kind), Some(_)) = (field("event:"), field("id:")) else { continue };
            let data: Value = serde_json::from_str(field("data:").unwrap_or("null")).unwrap_or_default();
            match data["state"].as_str() {
                Some(state) if kind == "ended" => kinds.push(format!("ended {state}")),
                _ => kinds.push(kind.to_owned()),
            }
        }
        Ok(kinds)
    }
}

/// Weights of a run that nothing disturbed, from the command line.
pub(crate) fn undisturbed(context: &Context, folder: &Path, steps: usize, every: usize) -> Result<Vec<u8>> {
    let path = folder.join("run.toml");
    let text = format!(
        "[model]\npath = \"entropo-data/models/tiny\"\n[data]\ntrain = \"entropo-data/data/pairs.jsonl\"\n[objective]\n\
         kind = \"bradley-terry\"\n[training]\nsteps = {steps}\nrows_per_step = 4\nlearning_rate = 1e-3\n[checkpoint]\n\
         every_steps = {every}\n"
    );
    std::fs::write(&path, text)?;
    let output = bare(&context.program)
        .args(["train", "run.toml", "--out", "undisturbed", "-q"])
        .current_dir(folder)
        .output()?;
    ensure!(output.status.success(), "entropo train failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(std::fs::read(folder.join(format!("undisturbed/checkpoint-{steps}/model.safetensors")))?)
}

pub(crate) async fn run(context: &Context, table: &mut Table) -> Result<()> {
    for database in context.databases() {
        let folder = context.folder.sub(&format!("training-{}", database.name()))?;
        let url = context.url(database, &folder)?;
        place(&folder)?;
        let (steps, every) = (if context.quick { 150 } else { 400 }, 5);
        let kills = if context.quick { 2 } else { 8 };
        let expected = undisturbed(context, &folder, steps, every)?;
        let mut front = settings();
        front.push("trainer.workers=0".to_owned());
        let front = Recipe::new(&context.program, &folder, "front", "trainer", &url, &front)?.start().await?;
        let workers = ["one", "two"]
            .map(|name| Recipe::new(&context.program, &folder, name, "trainer", &url, &settings()));
        let runs = Runs::new(front.addr);
        let run = runs.create(None, &config(steps, every)).await?;
        let mut random = Random::new(context.seed);
        let (mut slowest, mut done) = (Duration::ZERO, 0);
        let mut service = workers[0].as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?.start().await?;
        for kill in 1..=kills {
            let before = steps_of(&folder, &run);
            // Somewhere within the next part of the run.
            let part = steps.saturating_sub(before) / (kills + 2 - kill);
            stepped(&folder, &run, before + 1 + random.below(part)).await?;
            let at = runs.get(&run).await?;
            if is_over(&at) {
                break;
            }
            let attempt = at["attempts"].as_u64().unwrap_or(0);
            service.kill()?;
            let killed = Instant::now();
            done += 1;
            let next = &workers[kill % 2];
            service = next.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?.start().await?;
            runs.until(&run, |run| run["attempts"].as_u64().unwrap_or(0) > attempt).await?;
            slowest = slowest.max(killed.elapsed());
        }
        let ended = runs.until(&run, is_over).await?;
        let events = runs.events(&run).await?;
        let resumed = events.iter().filter(|kind| *kind == "resumed").count();
        let weights = folder.join(format!("entropo-data/runs/{run}/checkpoint-{steps}/model.safetensors"));
        let same = std::fs::read(weights).is_ok_and(|bytes| bytes == expected);
        let ends = events.iter().filter(|kind| *kind == "ended done").count();
        let ok = ended["state"] == "done" && same && ends == 1 && done > 0;
        table.row(
            "training",
            format!("trainer on {} killed {done} times within a run of {steps} steps", database.name()),
            format!(
                "{}, {resumed} times resumed from a checkpoint, ended {ends} time; the weights are {}",
                ended["state"],
                if same { "the same to the last bit" } else { "different" }
            ),
            "done once, the bits of a run that nothing disturbed",
            Bound::Must(ok),
        );
        let bound = LEASE + Duration::from_secs(2);
        table.row(
            "training",
            "from the kill until another worker has the run",
            format!("{:.1} s at most", slowest.as_secs_f64()),
            format!("the lease ({} s) and a moment", LEASE.as_secs()),
            Bound::Timed(slowest <= bound),
        );
    }
    Ok(())
}
