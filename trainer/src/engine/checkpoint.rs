//! Checkpoints: a model folder that others load, and beside the weights what a run needs to go on as if nothing had
//! happened.
//!
//! `checkpoint-N/` holds the model as Hugging Face has it (or the adapters as PEFT has them), its tokenizer, a model card
//! `README.md`, `optimizer.safetensors`, `trainer_state.json`, and `weights.safetensors` where the model's own files
//! hold less than single precision. The folder gets its name when all of it is on the disk.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use model::{
    Dtype, LanguageModel, SaveOptions,
    training::{AdapterOptions, Optimizer},
    weights::TensorFile,
};
use serde::{Deserialize, Serialize};

use super::figures::Figures;
use crate::run::{Metrics, RunError};

const STATE: &str = "trainer_state.json";
const OPTIMIZER: &str = "optimizer.safetensors";
const WEIGHTS: &str = "weights.safetensors";
const PREFIX: &str = "checkpoint-";

/// Where a run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Of the configuration.
    pub(crate) identity: String,
    /// Steps that are done. The rows of the next ones, and everything that is drawn, follow from it and the seeds.
    pub(crate) step: u64,
    pub(crate) tokens_seen: u64,
    /// Trained tokens of all steps.
    pub(crate) trained_tokens: u64,
    /// Steps since the last line of metrics.
    pub(crate) window: Figures,
    /// The last lines of metrics.
    pub(crate) metrics: Metrics,
    pub(crate) evaluation: Metrics,
    /// The best evaluation: its metric and step.
    pub(crate) best: Option<(f64, u64)>,
    /// Evaluations since it was best.
    pub(crate) waited: usize,
    /// What alarms compare with.
    pub(crate) first: BTreeMap<String, f64>,
    /// Alarms that were raised: not again for each step.
    pub(crate) alarms: Vec<String>,
}

/// What a checkpoint is made of.
pub(crate) struct Parts<'a> {
    pub(crate) model: &'a LanguageModel,
    pub(crate) adapters: Option<&'a AdapterOptions>,
    pub(crate) optimizer: &'a Optimizer,
    pub(crate) state: &'a State,
    /// Text of the model card.
    pub(crate) card: String,
    /// The model that training began with, whose tokenizer goes along.
    pub(crate) parent: &'a Path,
    /// Whose tokenizer goes along, if not the parent's.
    pub(crate) tokenizer: Option<&'a Path>,
    /// The chat template that goes along, if not the tokenizer's.
    pub(crate) chat_template: Option<&'a Path>,
    /// Whether the model's files hold every weight exactly.
    pub(crate) exact: bool,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> RunError + '_ {
    move |source| RunError::Io { what: path.display().to_string(), source }
}

/// The folder of a step's checkpoint within a run's.
pub(crate) fn name(step: u64) -> PathBuf {
    PathBuf::from(format!("{PREFIX}{step}"))
}

/// Writes a checkpoint.
pub(crate) fn write(out: &Path, parts: &Parts<'_>) -> Result<PathBuf, RunError> {
    let name = name(parts.state.step);
    let (temporary, finished) = (out.join(format!(".{}.part", name.display())), out.join(&name));
    if temporary.exists() {
        // Left over by a run that was killed.
        fs::remove_dir_all(&temporary).map_err(io(&temporary))?;
    }
    let failed = |error: String| RunError::Io {
        what: temporary.display().to_string(),
        source: std::io::Error::other(error),
    };
    let plain = parts.model.valid();
    if let Some(options) = parts.adapters {
        let base = parts.parent.display().to_string();
        let saved = plain.save_adapters(&temporary, options, &base);
        saved.map_err(|error| failed(error.to_string()))?;
    } else {
        let companions = parts.tokenizer.unwrap_or(parts.parent).to_owned();
        let options = SaveOptions { companions: Some(companions), ..SaveOptions::default() };
        plain.save(&temporary, &options).map_err(|error| failed(error.to_string()))?;
    }
    if let Some(template) = parts.chat_template {
        fs::copy(template, temporary.join("chat_template.jinja")).map_err(io(template))?;
    }
    if !parts.exact {
        let mut file = TensorFile::default();
        for (name, shape, values) in parts.model.trained_values() {
            file.push(name, shape, values);
        }
        let path = temporary.join(WEIGHTS);
        file.write(&path, ("format", "entropo".to_owned())).map_err(|error| failed(error.to_string()))?;
    }
    let state = parts.optimizer.save(&temporary.join(OPTIMIZER));
    state.map_err(|error| failed(error.to_string()))?;
    let text = serde_json::to_string_pretty(parts.state).map_err(|error| failed(error.to_string()))?;
    durable(&temporary.join(STATE), text.as_bytes())?;
    durable(&temporary.join("README.md"), parts.card.as_bytes())?;
    if finished.exists() {
        // Of an attempt that got further before, and is made again.
        fs::remove_dir_all(&finished).map_err(io(&finished))?;
    }
    fs::rename(&temporary, &finished).map_err(io(&finished))?;
    File::open(out).and_then(|folder| folder.sync_all()).map_err(io(out))?;
    Ok(name)
}

/// Writes a file, down to the disk.
pub(crate) fn durable(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let mut file = File::create(path).map_err(io(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io(path))
}

/// Steps of the checkpoints in a folder, from the first.
pub(crate) fn list(out: &Path) -> Result<Vec<u64>, RunError> {
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(out)(error)),
    };
    let mut steps = Vec::new();
    for entry in entries {
        let name = entry.map_err(io(out))?.file_name();
        let step =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|step| step.parse().ok());
        // A folder without its state was not written here.
        steps.extend(step.filter(|step| out.join(self::name(*step)).join(STATE).is_file()));
    }
    steps.sort_unstable();
    Ok(steps)
}

/// Reads where a run was.
pub(crate) fn state(folder: &Path) -> Result<State, RunError> {
    let path = folder.join(STATE);
    let text = fs::read_to_string(&path).map_err(io(&path))?;
    serde_json::from_str(&text).map_err(|error| {
        RunError::Refused(format!(
            "{}: {error}; delete this checkpoint to go on from an older one",
            path.display()
        ))
    })
}

/// Puts exact weights and the optimiser's state back.
pub(crate) fn restore(
    folder: &Path,
    model: LanguageModel,
    optimizer: &mut Optimizer,
) -> Result<LanguageModel, RunError> {
    let refused = |error: String| RunError::Refused(error);
    let path = folder.join(WEIGHTS);
    let model = if path.is_file() {
        let (file, _) = TensorFile::read(&path).map_err(|error| refused(error.to_string()))?;
        model
            .with_trained_values(file.into_tensors())
            .map_err(|problem| refused(format!("{}: {problem}", path.display())))?
    } else {
        model
    };
    optimizer.load(&folder.join(OPTIMIZER), &model).map_err(|error| refused(error.to_string()))?;
    Ok(model)
}

/// Whether a folder's weights are all in single precision.
pub(crate) fn exact(stored: impl IntoIterator<Item = Dtype>) -> bool {
    stored.into_iter().all(|dtype| dtype == Dtype::F32)
}

/// Deletes what is not kept; returns the steps.
pub(crate) fn prune(out: &Path, keep_last: usize, keep: Option<u64>) -> Result<Vec<u64>, RunError> {
    if keep_last == 0 {
        return Ok(Vec::new());
    }
    let steps = list(out)?;
    let old = steps.len().saturating_sub(keep_last);
    let mut deleted = Vec::new();
    for &step in &steps[..old] {
        if Some(step) == keep {
            continue;
        }
        let folder = out.join(name(step));
        // First its name: half a checkpoint must not look like one.
        let doomed = out.join(format!(".{}.old", name(step).display()));
        if doomed.exists() {
            fs::remove_dir_all(&doomed).map_err(io(&doomed))?;
        }
        fs::rename(&folder, &doomed).map_err(io(&folder))?;
        fs::remove_dir_all(&doomed).map_err(io(&doomed))?;
        deleted.push(step);
    }
    Ok(deleted)
}
