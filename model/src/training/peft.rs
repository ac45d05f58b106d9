//! Adapters in the files of PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use burn::{
    module::Param,
    tensor::{DType, Tensor, TensorData},
};
use serde_json::{Value, json};

use super::{AdapterOptions, Flat, TargetError, adapters::NAMES};
use crate::{
    LanguageModel, SaveError,
    network::{ParameterMapper, ParameterVisitor},
    weights::{TensorFile, TensorFileError, beside, replace, write_json},
};

/// What PEFT puts before the names of a model's modules.
const PREFIX: &str = "base_model.model.";
const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Why adapters cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A file that cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The file of tensors.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The configuration cannot be read.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// They do not fit the model.
    #[error("{path}: {reason}; these adapters belong to another model")]
    Other {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The configuration asks for what there is not.
    #[error("{path}: {error}")]
    Target {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: TargetError,
    },
    /// The model has none.
    #[error("the model has no adapters to save")]
    None,
}

/// Everything that is trained.
struct Trained(TensorFile);

impl ParameterVisitor for Trained {
    fn parameter<const D: usize>(&mut self, name: &str, value: &Param<Tensor<D>>) {
        if name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight") || name.starts_with("score.")
        {
            let values = Flat::of(value.base()).to_vec();
            self.0.push(format!("{PREFIX}{name}"), value.dims().to_vec(), values);
        }
    }
}

/// Puts stored tensors in the place of the model's.
struct Fill {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

impl ParameterMapper for Fill {
    fn map<const D: usize>(&mut self, name: &str, value: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((shape, values)) = self.tensors.remove(&format!("{PREFIX}{name}")) else {
            if name.contains(".lora_") {
                self.missing.push(name.to_owned());
            }
            return value;
        };
        let dims = value.dims();
        if shape != dims {
            self.misshapen.push(format!("{name} is {shape:?} and must be {dims:?}"));
            return value;
        }
        value.map(|old| {
            let new: Tensor<D> =
                Tensor::from_data(TensorData::new(values, dims), (&old.device(), DType::F32));
            new.cast(old.dtype()).set_require_grad(old.is_require_grad())
        })
    }
}

impl LanguageModel {
    /// Writes the adapters, and a head of scores that was trained with them, as PEFT does. `base` is the name or folder
    /// of the model they are for. The folder appears when all of it is written.
    pub fn save_adapters(
        &self,
        dir: &Path,
        options: &AdapterOptions,
        base: &str,
    ) -> Result<(), AdapterError> {
        if !self.has_adapters() {
            return Err(AdapterError::None);
        }
        let mut trained = Trained(TensorFile::default());
        self.network().all_parameters(self.prefix(), &mut trained);
        let scored = self.network().score.is_some();
        let all = options.targets.iter().any(|target| target == "all-linear");
        let targets = if all { json!(NAMES) } else { json!(options.targets) };
        let config = json!({
            "peft_type": "LORA",
            "task_type": if scored { "SEQ_CLS" } else { "CAUSAL_LM" },
            "base_model_name_or_path": base,
            "r": options.rank,
            "lora_alpha": options.alpha,
            "lora_dropout": options.dropout,
            "use_rslora": options.rslora,
            "target_modules": targets,
            "modules_to_save": if scored { json!(["score"]) } else { Value::Null },
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
        });
        let temporary = beside(dir, "new");
        let made = fs::create_dir_all(&temporary)
            .map_err(|error| SaveError::Io { path: temporary.clone(), error }.into());
        let written = made.and_then(|()| {
            write_json(&temporary.join(CONFIG), &config)?;
            trained.0.write(&temporary.join(WEIGHTS), ("format", "pt".to_owned()))?;
            replace(&temporary, dir)?;
            Ok(())
        });
        if written.is_err() {
            // What was wrong is more use than what goes wrong while tidying up.
            let _ = fs::remove_dir_all(&temporary);
        }
        written
    }

    /// The model with the adapters of a PEFT folder, ready for further training or for [`Self::merged`].
    pub fn load_adapters(self, dir: &Path) -> Result<(Self, AdapterOptions), AdapterError> {
        let options = options(&dir.join(CONFIG))?;
        let path = dir.join(WEIGHTS);
        let (file, _) = TensorFile::read(&path)?;
        let target = |error| AdapterError::Target { path: dir.join(CONFIG), error };
        let model = self.with_adapters(&options).map_err(target)?;
        let mut fill = Fill { tensors: file.into_tensors(), missing: Vec::new(), misshapen: Vec::new() };
        let model = model.exchange(&mut fill);
        let mut problems = fill.misshapen;
        problems.extend(fill.missing.into_iter().map(|name| format!("{name} is missing")));
        problems.extend(fill.tensors.into_keys().map(|name| format!("{name} has no place in the model")));
        if problems.is_empty() {
            Ok((model, options))
        } else {
            Err(AdapterError::Other { path, reason: problems.join("; ") })
        }
    }
}

fn options(path: &Path) -> Result<AdapterOptions, AdapterError> {
    let bad = |reason: String| AdapterError::Config { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let config: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if config["peft_type"] != "LORA" {
        return Err(bad(format!("peft_type is {}, but only LORA is read", config["peft_type"])));
    }
    for (field, harmless) in [
        ("use_dora", json!(false)),
        ("bias", json!("none")),
        ("fan_in_fan_out", json!(false)),
        ("rank_pattern", json!({})),
        ("alpha_pattern", json!({})),
        ("layers_to_transform", Value::Null),
    ] {
        let value = &config[field];
        if !value.is_null() && *value != harmless {
            return Err(bad(format!("{field} is {value}, which is not supported")));
        }
    }
    let targets = match &config["target_modules"] {
        Value::String(name) => vec![name.clone()],
        Value::Array(names) => names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        other => return Err(bad(format!("target_modules is {other}, but must be a list of names"))),
    };
    let number = |field: &str| {
        config[field]
            .as_f64()
            .ok_or_else(|| bad(format!("{field} is {}, but must be a number", config[field])))
    };
    Ok(AdapterOptions {
        rank: number("r")? as usize,
        alpha: number("lora_alpha")?,
        dropout: config["lora_dropout"].as_f64().unwrap_or(0.0),
        targets,
        rslora: config["use_rslora"].as_bool().unwrap_or(false),
        seed: 0,
    })
}
