//! Scores rows of tokens and prints how long it took: this project's side of `benches/verifier_speed.py`.
//!
//! `score_speed JOB.json`, where the job names the folder of the model, the tokens that all rows share and those of each
//! row. Rows are taken one by one (`single`), or packed end to end without padding up to a budget of tokens, a shared
//! prefix being computed once a pass.

#![expect(clippy::print_stdout, reason = "a program")]

use std::{error::Error, fs, path::PathBuf, sync::Arc, time::Instant};

use burn::tensor::Device;
use kernels::Layout;
use model::{LanguageModel, LoadOptions};
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Deserialize)]
struct Job {
    model: PathBuf,
    scenario: String,
    prefix: Vec<u32>,
    rows: Vec<Vec<u32>>,
}

/// Tokens of one pass: enough for the matrix products, few enough for their results to stay small.
const BUDGET: usize = 2_048;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: score_speed JOB.json")?;
    let job: Job = serde_json::from_str(&fs::read_to_string(path)?)?;
    let model = LanguageModel::load(&job.model, &Device::flex(), &LoadOptions::default())?;
    for row in &job.rows[..2] {
        score(&model, &job.prefix, std::slice::from_ref(row))?;
    }
    let (start, processor) = (Instant::now(), processor_seconds());
    let mut scores = Vec::new();
    for batch in batches(&job) {
        scores.extend(score(&model, &job.prefix, batch)?);
    }
    let (seconds, processor) = (start.elapsed().as_secs_f64(), processor_seconds() - processor);
    let peak = peak_bytes();
    let report =
        serde_json::json!({ "seconds": seconds, "processor": processor, "peak": peak, "scores": scores });
    println!("{report}");
    Ok(())
}

/// Consecutive rows, as many as the budget holds.
fn batches(job: &Job) -> Vec<&[Vec<u32>]> {
    let mut batches = Vec::new();
    let mut rest = job.rows.as_slice();
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = rest.iter().take_while(|row| {
            tokens += row.len();
            tokens <= BUDGET && job.scenario != "single"
        });
        let (batch, tail) = rest.split_at(fits.count().max(1));
        batches.push(batch);
        rest = tail;
    }
    batches
}

/// The score at the last token of every row.
fn score(model: &LanguageModel, prefix: &[u32], rows: &[Vec<u32>]) -> Result<Vec<f32>, Box<dyn Error>> {
    let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    let layout =
        if prefix.is_empty() { Layout::packed(&lengths) } else { Layout::shared(prefix.len(), &lengths) }?;
    let tokens: Vec<u32> = prefix.iter().chain(rows.iter().flatten()).copied().collect();
    let ends = lengths.iter().scan(prefix.len(), |end, len| {
        *end += len;
        Some(*end - 1)
    });
    let hidden = model.hidden_at(&tokens, &Arc::new(layout), &ends.collect::<Vec<_>>())?;
    let scores = model.scores(hidden).ok_or("the model has no head of scores")?;
    Ok(scores.into_data().iter::<f32>().collect())
}

/// Processor seconds that the threads of this process have used.
fn processor_seconds() -> f64 {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return f64::NAN };
    let nanoseconds = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// The most memory this process has had resident.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
