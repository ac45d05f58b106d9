//! Putting low-rank adapters on a model, and folding them into its matrices.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use burn::{
    module::{Module, Param},
    tensor::{DType, Tensor, TensorData},
};

use crate::{
    LanguageModel,
    network::{Adapter, Dropout, Projection},
    weights::{Random, stream},
};

/// How adapters are made.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterOptions {
    /// Inner size r.
    pub rank: usize,
    /// Strength: what an adapter adds is multiplied by α/r, or by α/√r with `rslora`.
    pub alpha: f64,
    /// Share of the elements of an adapter's input that are dropped in training.
    pub dropout: f64,
    /// Projections that get one, by the last part of their names: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`,
    /// `up_proj`, `down_proj`; or `all-linear`.
    pub targets: Vec<String>,
    /// Rank-stabilised scaling (arXiv 2312.03732).
    pub rslora: bool,
    /// Of the random matrices A.
    pub seed: u64,
}

impl Default for AdapterOptions {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            targets: vec!["all-linear".to_owned()],
            rslora: false,
            seed: 0,
        }
    }
}

impl AdapterOptions {
    /// The factor of what an adapter adds.
    pub fn scale(&self) -> f64 {
        let rank = self.rank.max(1) as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}

/// Why adapters cannot be put on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// No projection has such a name.
    #[error("`{0}` is no projection of the model; use all-linear, or some of {NAMES:?}")]
    Unknown(String),
    /// No target was named.
    #[error("no targets for adapters are named; use all-linear, or some of {NAMES:?}")]
    None,
    /// A setting that makes no sense.
    #[error("{0}")]
    Setting(String),
    /// There are adapters already.
    #[error("the model has adapters already; merge them first")]
    Twice,
}

/// The names of projections, without their layers'.
pub(super) const NAMES: [&str; 7] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

impl LanguageModel {
    /// The model with adapters that change nothing yet: only they, and a head of scores if there is one, are trained
    /// from now on. A is drawn as PEFT draws it (uniform within ±1/√in), B is zero.
    pub fn with_adapters(self, options: &AdapterOptions) -> Result<Self, TargetError> {
        check(options)?;
        if self.has_adapters() {
            return Err(TargetError::Twice);
        }
        let all = options.targets.iter().any(|target| target == "all-linear");
        let wanted = |name: &str| {
            let name = name.rsplit('.').next().unwrap_or(name);
            all || options.targets.iter().any(|target| target == name)
        };
        let round = Arc::new(AtomicU64::new(0));
        let device = self.device().clone();
        let random = Random { seed: options.seed, spread: 0.0, device: device.clone() };
        let mut network = self.network().clone().set_require_grad(false);
        for (index, layer) in network.model.layers.iter_mut().enumerate() {
            for (part, projection) in layer.projections() {
                if !wanted(part) {
                    continue;
                }
                let name = format!("layers.{index}.{part}.lora_A");
                let [outputs, inputs] = projection.weight.dims();
                let a = random.uniform(&name, options.rank * inputs, 1.0 / (inputs as f64).sqrt());
                let a = TensorData::new(a, [options.rank, inputs]);
                let device = (&device, DType::F32);
                projection.adapter = Some(Adapter {
                    a: Param::from_tensor(Tensor::from_data(a, device)),
                    b: Param::from_tensor(Tensor::zeros([outputs, options.rank], device)),
                    scale: options.scale(),
                    dropout: Dropout {
                        rate: options.dropout,
                        round: Arc::clone(&round),
                        stream: stream(&name),
                    },
                });
            }
        }
        network.score = network.score.map(|score| score.set_require_grad(true));
        Ok(self.with_network(network))
    }

    /// Whether the model has adapters.
    pub fn has_adapters(&self) -> bool {
        self.adapters().next().is_some()
    }

    /// The adapters, with the names of their projections.
    pub(super) fn adapters(&self) -> impl Iterator<Item = (String, &Adapter)> {
        let prefix = self.prefix();
        self.network().model.layers.iter().enumerate().flat_map(move |(index, layer)| {
            layer
                .adapters()
                .into_iter()
                .map(move |(part, adapter)| (format!("{prefix}layers.{index}.{part}"), adapter))
        })
    }

    /// Switches dropout on for passes of this round (0 switches it off). The same round drops the same elements.
    pub fn set_dropout_round(&self, round: u64) {
        if let Some((_, adapter)) = self.adapters().next() {
            // All of them share it.
            adapter.dropout.round.store(round, Ordering::Relaxed);
        }
    }

    /// The model without its adapters, as it was before.
    #[must_use]
    pub fn without_adapters(self) -> Self {
        self.each_projection(|projection| {
            projection.adapter = None;
        })
    }

    /// The model with what its adapters add in its matrices, and without them.
    #[must_use]
    pub fn merged(self) -> Self {
        self.each_projection(|projection| {
            if let Some(adapter) = projection.adapter.take() {
                let weight = projection.weight.clone();
                projection.weight = weight.map(|weight| {
                    let (dtype, tracked) = (weight.dtype(), weight.is_require_grad());
                    let sum = weight.detach().cast(DType::F32) + adapter.matrix().detach().cast(DType::F32);
                    sum.cast(dtype).set_require_grad(tracked)
                });
            }
        })
    }

    pub(super) fn each_projection(self, change: impl Fn(&mut Projection)) -> Self {
        let mut network = self.network().clone();
        for layer in &mut network.model.layers {
            for (_, projection) in layer.projections() {
                change(projection);
            }
        }
        self.with_network(network)
    }
}

fn check(options: &AdapterOptions) -> Result<(), TargetError> {
    if options.targets.is_empty() {
        return Err(TargetError::None);
    }
    let known = |target: &&String| target.as_str() == "all-linear" || NAMES.contains(&target.as_str());
    if let Some(target) = options.targets.iter().find(|target| !known(target)) {
        return Err(TargetError::Unknown(target.clone()));
    }
    let setting = |text: String| Err(TargetError::Setting(text));
    if options.rank == 0 {
        return setting("the rank of adapters is 0, but must be at least 1".to_owned());
    }
    if !(options.alpha.is_finite() && options.alpha > 0.0) {
        return setting(format!("alpha of adapters is {}, but must be positive", options.alpha));
    }
    if !(0.0..1.0).contains(&options.dropout) {
        return setting(format!("dropout of adapters is {}, but must be in [0, 1)", options.dropout));
    }
    Ok(())
}
