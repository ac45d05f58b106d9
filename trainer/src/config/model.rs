//! `[model]` and `[reference]`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::FieldProblem;

/// `[model]`: what is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Model folder in Hugging Face's layout. No default.
    #[serde(alias = "model_name_or_path")]
    pub path: PathBuf,
    /// Folder of the model that the policy is compared with; default: the model as it is before training.
    #[serde(default)]
    pub reference: Option<PathBuf>,
    /// Folder with another tokenizer; default: the model's.
    #[serde(default)]
    pub tokenizer: Option<PathBuf>,
    /// File with another chat template; default: the model's.
    #[serde(default)]
    pub chat_template: Option<PathBuf>,
    /// Where it computes: `cpu`, `cuda:N`, `wgpu` or `vulkan`; several of one kind as a list, with commas between them,
    /// or as `cuda:all`. Default `cpu`.
    #[serde(default = "cpu", deserialize_with = "names")]
    pub device: String,
    /// Type of weights and activations while computing; `bf16` keeps master weights in single precision. Default `f32`.
    #[serde(default)]
    pub precision: Precision,
    /// Names of the scores of a new head, in place of the head the model has; only for verifiers. Default: the model's
    /// head, or one score where it has none.
    #[serde(default)]
    pub new_scores: Option<Vec<String>>,
}

fn cpu() -> String {
    "cpu".to_owned()
}

/// A name, names with commas between them, or a list of names: all as the second.
fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected the name of a device, or a list of names")]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::One(name) => name,
        Names::Many(names) => names.join(","),
    })
}

/// Type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16 with single-precision master weights.
    Bf16,
}

impl ModelConfig {
    /// The first of the devices. Which others there are changes no result but for rounding.
    pub fn first_device(&self) -> String {
        let first = self.device.split(',').next().unwrap_or_default().trim();
        first.strip_suffix(":all").map_or_else(|| first.to_owned(), |kind| format!("{kind}:0"))
    }

    pub(super) fn check(&self, problems: &mut Vec<FieldProblem>) {
        if self.path.as_os_str().is_empty() {
            problems.push(FieldProblem::new("model.path", "is empty, but must name a model folder"));
        }
        if let Err(error) = model::device::check(&self.device) {
            problems.push(FieldProblem::new("model.device", format!("is `{}`, but {error}", self.device)));
        }
        if self.new_scores.as_ref().is_some_and(Vec::is_empty) {
            problems.push(FieldProblem::new(
                "model.new_scores",
                "is empty: name each score, such as [\"resolved\"]",
            ));
        }
    }
}

/// `[reference]`: where the reference's log-probabilities come from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReferenceConfig {
    /// Default: `precomputed`, or `none` for objectives without a reference.
    pub mode: Option<ReferenceMode>,
    /// Folder of precomputed log-probabilities, by content. Default: `reference` in the run's folder.
    pub cache: Option<PathBuf>,
}

/// Where the reference's log-probabilities come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceMode {
    /// Computed once before training and kept: no second model in memory.
    Precomputed,
    /// The model without its adapter, at every step.
    AdapterOff,
    /// A second model in memory, at every step.
    SecondModel,
    /// There is none.
    None,
}
