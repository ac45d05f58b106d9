//! Opening what a run is made of: model, tokenizer, rows, reference.

use std::{
    fs,
    path::{Path, PathBuf},
};

use model::{
    Config, Device, Dtype, LanguageModel, LoadOptions, NewScores,
    config::Head,
    training::{AdapterOptions, Method, Optimizer},
};

use super::{
    devices::Devices,
    load::{Dataset, load},
    memory,
    order::Order,
};
use crate::{
    config::{OptimizerKind, Precision, RunConfig},
    data::Encoder,
    run::{Observer, Plan, RunError},
};

pub(crate) fn refused(error: impl std::fmt::Display) -> RunError {
    RunError::Refused(error.to_string())
}

/// The rows of a run.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) train: Dataset,
    pub(crate) eval: Dataset,
}

/// Reads the rows.
pub(crate) fn rows(config: &RunConfig, observer: &dyn Observer) -> Result<Rows, RunError> {
    let encoder = encoder(config)?;
    let train = load(&config.data.train, config, &encoder, "reading rows", observer)?;
    if train.examples.is_empty() {
        let dropped: u64 = train.dropped.values().sum();
        return Err(RunError::Refused(format!(
            "data.train has no row to train on ({dropped} dropped: {:?}); look at the files with `entropo data inspect`",
            train.dropped
        )));
    }
    let eval = load(&config.data.eval, config, &encoder, "reading evaluation rows", observer)?;
    Ok(Rows { train, eval })
}

fn encoder(config: &RunConfig) -> Result<Encoder, RunError> {
    let dir = config.model.tokenizer.as_deref().unwrap_or(&config.model.path);
    let rules = config.data.encode_rules();
    let encoder = Encoder::open(dir, rules).map_err(refused)?;
    match &config.model.chat_template {
        None => Ok(encoder),
        Some(path) => {
            let source = fs::read_to_string(path)
                .map_err(|source| RunError::Io { what: path.display().to_string(), source })?;
            encoder.with_chat_template(&path.display().to_string(), &source).map_err(refused)
        }
    }
}

/// The model's configuration, with the head that will be trained.
pub(crate) fn model_config(config: &RunConfig) -> Result<(Config, Option<NewScores>), RunError> {
    let path = config.model.path.join("config.json");
    let text = fs::read_to_string(&path)
        .map_err(|error| RunError::Refused(format!("model.path: {}: {error}", path.display())))?;
    let parsed = Config::parse(&text).map_err(|error| refused(format!("{}: {error}", path.display())))?;
    let kind = config.objective.kind;
    if !kind.trains_verifier() {
        return match parsed.head {
            Head::Language { .. } => Ok((parsed, None)),
            _ => Err(RunError::Refused(format!(
                "{}: objective.kind = \"{}\" trains a policy, but the model has no head over the vocabulary",
                config.model.path.display(),
                kind.word()
            ))),
        };
    }
    let labels = match (&config.model.new_scores, &parsed.head) {
        (Some(labels), _) => labels.clone(),
        (None, Head::Scores { .. }) => return Ok((parsed, None)),
        (None, _) => vec!["resolved".to_owned()],
    };
    let new = NewScores { labels: labels.clone(), seed: config.training.seed };
    Ok((parsed.with_scores(labels), Some(new)))
}

fn precision(config: &RunConfig) -> Dtype {
    match config.model.precision {
        Precision::F32 => Dtype::F32,
        Precision::Bf16 => Dtype::Bf16,
    }
}

/// Loads the model that training begins with, or goes on with from a checkpoint; with its adapters, if it gets any.
pub(crate) fn model(
    config: &RunConfig,
    device: &Device,
    checkpoint: Option<&Path>,
) -> Result<(LanguageModel, Option<AdapterOptions>), RunError> {
    let (_, new_scores) = model_config(config)?;
    let precision = precision(config);
    let Some(lora) = &config.lora else {
        let (dir, new_scores) = match checkpoint {
            Some(checkpoint) => (checkpoint, None),
            None => (config.model.path.as_path(), new_scores),
        };
        let options = LoadOptions { precision, new_scores };
        let model = LanguageModel::load(dir, device, &options).map_err(refused)?;
        return Ok((model.trained(), None));
    };
    let wanted = AdapterOptions {
        rank: lora.rank,
        alpha: lora.alpha,
        dropout: lora.dropout,
        targets: lora.targets.clone(),
        rslora: lora.rslora,
        seed: config.training.seed,
    };
    let options = LoadOptions { precision, new_scores };
    let base = LanguageModel::load(&config.model.path, device, &options).map_err(refused)?.trained();
    let model = match checkpoint {
        Some(checkpoint) => base.load_adapters(checkpoint).map_err(refused)?.0,
        None => base.with_adapters(&wanted).map_err(|error| refused(format!("lora: {error}")))?,
    };
    Ok((model, Some(wanted)))
}

/// The reference, without gradients.
pub(crate) fn reference_model(config: &RunConfig, device: &Device) -> Result<LanguageModel, RunError> {
    let dir = config.model.reference.as_deref().unwrap_or(&config.model.path);
    let options = LoadOptions { precision: precision(config), ..LoadOptions::default() };
    let model =
        LanguageModel::load(dir, device, &options).map_err(|error| refused(format!("reference: {error}")))?;
    if model.vocabulary_weight().is_none() {
        return Err(RunError::Refused(format!(
            "{}: a reference needs a head over the vocabulary",
            dir.display()
        )));
    }
    Ok(model)
}

/// Hash of the files that decide what the reference computes, and of the type it computes in.
pub(crate) fn reference_hash(config: &RunConfig) -> Result<String, RunError> {
    let dir = config.model.reference.as_deref().unwrap_or(&config.model.path);
    let io = |path: &Path| {
        let what = path.display().to_string();
        move |source| RunError::Io { what, source }
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir).map_err(io(dir))? {
        let path = entry.map_err(io(dir))?.path();
        let weights = path.extension().is_some_and(|extension| extension == "safetensors");
        if weights || path.file_name().is_some_and(|name| name == "config.json") {
            files.push(path);
        }
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{:?} {}", config.model.precision, config.model.first_device()).as_bytes());
    for path in files {
        hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        let mut one = blake3::Hasher::new();
        one.update_mmap_rayon(&path).map_err(io(&path))?;
        hasher.update(one.finalize().as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

pub(crate) fn optimizer(config: &RunConfig) -> Optimizer {
    let training = &config.training;
    let [beta1, beta2] = training.decays();
    let method = match training.optimizer {
        OptimizerKind::Adamw => Method::AdamW { beta1, beta2, epsilon: training.epsilon },
        OptimizerKind::Sgd => Method::Sgd { momentum: training.momentum },
        OptimizerKind::Lion => Method::Lion { beta1, beta2 },
    };
    Optimizer::new(method, training.weight_decay)
}

/// How the rows are dealt to steps.
pub(crate) fn order(config: &RunConfig, rows: usize) -> Order {
    Order {
        rows,
        per_step: config.training.rows_per_step,
        kind: config.data.order,
        seed: config.data.seed.unwrap_or(config.training.seed),
    }
}

/// What will be done.
pub(crate) fn plan(config: &RunConfig, rows: &Rows, devices: &Devices) -> Result<Plan, RunError> {
    let (model, _) = model_config(config)?;
    let share = config.training.share_prefix;
    let examples = &rows.train.examples;
    let steps = config.training.total_steps(examples.len());
    let sum = |count: &dyn Fn(&super::example::Example) -> usize| -> u64 {
        examples.iter().map(|example| count(example) as u64).sum()
    };
    let longest_row = examples.iter().map(|example| example.computed(share) as u64).max().unwrap_or(0);
    let memory = memory::estimate(config, &model, longest_row, devices);
    Ok(Plan {
        rows: examples.len() as u64,
        dropped: rows.train.dropped.clone(),
        shortened: rows.train.shortened,
        eval_rows: rows.eval.examples.len() as u64,
        tokens: sum(&|example| example.computed(share)),
        trained_tokens: sum(&super::example::Example::trained),
        longest_row,
        steps: steps as u64,
        epochs: order(config, examples.len()).epochs(steps),
        parameters: LanguageModel::count_parameters(&model) as u64,
        trainable: memory::trainable(config, &model),
        memory_bytes: memory.values().sum(),
        memory,
        devices: devices.count() as u64,
        data_hash: rows.train.hash.clone(),
    })
}
