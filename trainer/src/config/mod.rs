//! The configuration of a training run: one TOML file (or JSON object), the same for the command and the service.
//!
//! Every field has a default but `model.path` and `data.train`. Unknown fields, values of the wrong type and settings
//! that make no sense are refused with the field's name before anything is read. Where a field means what a field of
//! TRL means, TRL's name is accepted for it too.

mod data;
mod error;
mod log;
mod lora;
mod model;
mod objective;
mod parse;
mod training;

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::{
    data::{DataConfig, RowOrder},
    error::{ConfigError, FieldProblem},
    log::{CheckpointConfig, EvaluationConfig, LogConfig},
    lora::LoraConfig,
    model::{ModelConfig, Precision, ReferenceConfig, ReferenceMode},
    objective::{Objective, ObjectiveConfig, ObjectiveKind, ReferenceScope},
    parse::Set,
    training::{Length, OptimizerKind, ScheduleKind, TrainingConfig},
};

/// A training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What is trained.
    pub model: ModelConfig,
    /// What it is trained on.
    pub data: DataConfig,
    /// What is minimised.
    #[serde(default)]
    pub objective: ObjectiveConfig,
    /// How.
    #[serde(default)]
    pub training: TrainingConfig,
    /// Low-rank adapters; without this table every weight is trained.
    #[serde(default)]
    pub lora: Option<LoraConfig>,
    /// Where the reference's log-probabilities come from.
    #[serde(default)]
    pub reference: ReferenceConfig,
    /// When the state is written, and what is kept.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// When the evaluation files are scored.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    /// What is reported.
    #[serde(default)]
    pub log: LogConfig,
}

impl RunConfig {
    /// Reads a file and puts `sets` over it.
    pub fn load(path: &Path, sets: &[Set]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::from_toml(&path.display().to_string(), &text, sets)
    }

    /// Parses TOML; `name` is what messages call it.
    pub fn from_toml(name: &str, text: &str, sets: &[Set]) -> Result<Self, ConfigError> {
        parse::checked(name, parse::toml(name, text)?, sets)
    }

    /// Reads a JSON object of the same form; `null` counts as absent.
    pub fn from_json(name: &str, value: serde_json::Value) -> Result<Self, ConfigError> {
        parse::checked(name, value, &[])
    }

    /// Everything that makes no sense, or does not fit together. Empty for a configuration that was read.
    pub fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        self.model.check(&mut problems);
        self.data.check(&mut problems);
        self.objective.check(&mut problems);
        self.training.check(&mut problems);
        if let Some(lora) = &self.lora {
            lora.check(&mut problems);
        }
        self.checkpoint.check(&mut problems);
        self.evaluation.check(&mut problems);
        self.log.check(&mut problems);
        self.check_together(&mut problems);
        problems
    }

    fn check_together(&self, problems: &mut Vec<FieldProblem>) {
        let mut refuse = |field: &str, message: &str| problems.push(FieldProblem::new(field, message));
        let verifier = self.objective.kind.trains_verifier();
        match self.reference.mode {
            Some(ReferenceMode::None) if self.objective.kind.needs_reference() => {
                refuse("reference.mode", "is none, but the objective compares with a reference");
            }
            Some(ReferenceMode::AdapterOff) if self.lora.is_none() => {
                refuse("reference.mode", "is adapter-off, which needs the table [lora]");
            }
            Some(ReferenceMode::AdapterOff) if self.model.reference.is_some() => {
                refuse("reference.mode", "is adapter-off, but model.reference names another model");
            }
            _ => {}
        }
        if self.model.reference.is_some() && !self.objective.kind.needs_reference() {
            refuse("model.reference", "is given, but the objective has no reference");
        }
        if self.model.new_scores.is_some() && !verifier {
            refuse("model.new_scores", "is given, but the objective trains a policy, which has no scores");
        }
        if !verifier && self.lora.as_ref().is_some_and(|lora| !lora.modules_to_save.is_empty()) {
            refuse(
                "lora.modules_to_save",
                "names the head of scores, but the objective trains a policy, which has none",
            );
        }
        if self.data.eval.is_empty() {
            if self.checkpoint.keep_best {
                refuse("checkpoint.keep_best", "needs evaluation files (data.eval)");
            }
            if self.evaluation.patience.is_some() {
                refuse("evaluation.patience", "needs evaluation files (data.eval)");
            }
        }
    }

    /// Where the reference's log-probabilities come from: what was asked for, or what fits.
    pub fn reference_mode(&self) -> ReferenceMode {
        match self.reference.mode {
            Some(mode) => mode,
            None if self.objective.kind.needs_reference() => ReferenceMode::Precomputed,
            None => ReferenceMode::None,
        }
    }

    /// Every file and folder that the run reads, with the field that names it. A service confines them to its roots.
    pub fn reads(&self) -> Vec<(String, &Path)> {
        let mut paths = vec![("model.path".to_owned(), self.model.path.as_path())];
        let optional = [
            ("model.reference", &self.model.reference),
            ("model.tokenizer", &self.model.tokenizer),
            ("model.chat_template", &self.model.chat_template),
        ];
        for (field, path) in optional {
            paths.extend(path.as_deref().map(|path| (field.to_owned(), path)));
        }
        for (field, files) in [("data.train", &self.data.train), ("data.eval", &self.data.eval)] {
            paths.extend(
                files.iter().enumerate().map(|(at, file)| (format!("{field}[{at}]"), file.as_path())),
            );
        }
        paths
    }

    /// The configuration with every field, as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is tables of strings, numbers and lists")
    }

    /// Tells runs apart that do not compute the same: a hash of every field that a result depends on. What is written,
    /// where to and how often is not among them, nor are devices beside the first, so a run can be resumed with other
    /// settings there.
    pub fn identity(&self) -> String {
        let mut tree = serde_json::to_value(self).expect("a configuration is JSON");
        let tables = tree.as_object_mut().expect("a configuration is an object");
        tables.remove("log");
        if let Some(model) = tables.get_mut("model") {
            model["device"] = self.model.first_device().into();
        }
        if let Some(checkpoint) = tables.get_mut("checkpoint").and_then(serde_json::Value::as_object_mut) {
            checkpoint.retain(|name, _| name == "metric");
        }
        if let Some(reference) = tables.get_mut("reference").and_then(serde_json::Value::as_object_mut) {
            reference.remove("cache");
        }
        blake3::hash(tree.to_string().as_bytes()).to_hex()[..32].to_owned()
    }
}
