//! The same run for TRL and Accelerate: rows as tokens with their masks, the configuration, and a module with the
//! objectives on TRL's trainers. What TRL has no equal of is refused by the name of its field.

mod rows;
mod settings;

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    config::{Precision, RunConfig},
    engine::setup,
    run::{Observer, RunError},
};

/// Files that are the same for every run; `{precision}` stands for Accelerate's word.
const FILES: [(&str, &str); 5] = [
    ("train.py", include_str!("trl/train.py")),
    ("fsdp.yaml", include_str!("trl/fsdp.yaml")),
    ("zero3.yaml", include_str!("trl/zero3.yaml")),
    ("requirements.txt", include_str!("trl/requirements.txt")),
    ("README.md", include_str!("trl/README.md")),
];

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Rows to train on.
    pub rows: usize,
    /// Rows to evaluate on.
    pub eval_rows: usize,
    /// Rows that were dropped, as the native trainer drops them.
    pub dropped: u64,
    /// Optimiser steps.
    pub steps: usize,
}

/// Writes the run into `out`, which must not exist or be empty.
///
/// # Errors
/// When a field has no equal in TRL, the rows cannot be trained on, or something cannot be read or written.
pub fn trl(config: &RunConfig, out: &Path, observer: &dyn Observer) -> Result<Exported, RunError> {
    settings::check(config)?;
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(RunError::Refused(format!(
            "{} exists and is not empty: choose another folder",
            out.display()
        )));
    }
    let loaded = setup::rows(config, observer)?;
    let (train, eval) = (&loaded.train.examples, &loaded.eval.examples);
    let order = setup::order(config, train.len());
    let settings = settings::settings(config, train, &order);
    fs::create_dir_all(out).map_err(super::io(out))?;
    rows::write(&out.join("train.jsonl"), train.iter().enumerate().map(|(at, row)| rows::row(at, row)))?;
    if !eval.is_empty() {
        rows::write(&out.join("eval.jsonl"), eval.iter().enumerate().map(|(at, row)| rows::row(at, row)))?;
    }
    let micro = settings["micro_batch_rows"].as_u64().map_or(1, |rows| rows as usize);
    let steps = config.training.total_steps(train.len());
    rows::write(&out.join("steps.jsonl"), rows::steps(config, train, &order, steps, micro))?;
    put(out, "run.json", &pretty(&settings))?;
    if let Some(template) = &config.model.chat_template {
        let text = fs::read_to_string(template).map_err(super::io(template))?;
        put(out, "chat_template.jinja", &text)?;
    }
    let precision = match config.model.precision {
        Precision::F32 => "no",
        Precision::Bf16 => "bf16",
    };
    for (name, text) in FILES {
        put(out, name, &text.replace("{precision}", precision))?;
    }
    let dropped = loaded.train.dropped.values().sum();
    Ok(Exported { rows: train.len(), eval_rows: eval.len(), dropped, steps })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn put(out: &Path, name: &str, text: &str) -> Result<(), RunError> {
    let path = out.join(name);
    fs::write(&path, text).map_err(super::io(&path))
}
