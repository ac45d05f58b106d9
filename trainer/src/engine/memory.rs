//! How much memory a run needs: an estimate from shapes alone, an upper bound for the parts that do not depend on luck.

use std::collections::BTreeMap;

use model::{Config, LanguageModel};

use super::devices::Devices;
use crate::config::{OptimizerKind, Precision, ReferenceMode, RunConfig};

/// Parameters that are trained.
pub(crate) fn trainable(config: &RunConfig, model: &Config) -> u64 {
    let Some(lora) = &config.lora else { return LanguageModel::count_parameters(model) as u64 };
    let (queries, keys) = (model.heads * model.head_size, model.kv_heads * model.head_size);
    let (hidden, inner) = (model.hidden, model.intermediate);
    let sizes = [
        ("q_proj", hidden + queries),
        ("k_proj", hidden + keys),
        ("v_proj", hidden + keys),
        ("o_proj", queries + hidden),
        ("gate_proj", hidden + inner),
        ("up_proj", hidden + inner),
        ("down_proj", inner + hidden),
    ];
    let all = lora.targets.iter().any(|target| target == "all-linear");
    let wanted = |name: &str| all || lora.targets.iter().any(|target| target == name);
    let per_layer: usize = sizes.iter().filter(|(name, _)| wanted(name)).map(|(_, size)| size).sum();
    let head = if config.objective.kind.trains_verifier() { model.labels().len().max(1) * hidden } else { 0 };
    (lora.rank * per_layer * model.layers() + head) as u64
}

/// Bytes by what they are for. Of several GPUs each holds the whole model, its gradients and activations, and the first
/// one also the optimiser's state: the bytes are the first one's. Several replicas on the processor share its memory:
/// the bytes are those of all.
pub(crate) fn estimate(
    config: &RunConfig,
    model: &Config,
    longest_row: u64,
    devices: &Devices,
) -> BTreeMap<String, u64> {
    let parameters = LanguageModel::count_parameters(model) as u64;
    let trained = trainable(config, model);
    let (bytes, master) = match config.model.precision {
        Precision::F32 => (4, 0),
        Precision::Bf16 => (2, 4),
    };
    let moments = match config.training.optimizer {
        OptimizerKind::Adamw => 8,
        OptimizerKind::Lion => 4,
        OptimizerKind::Sgd => {
            if config.training.momentum > 0.0 {
                4
            } else {
                0
            }
        }
    };
    let tokens = (config.training.tokens_per_micro_batch as u64).max(longest_row);
    let (hidden, inner) = (model.hidden as u64, model.intermediate as u64);
    let queries = (model.heads * model.head_size) as u64;
    let keys = (model.kv_heads * model.head_size) as u64;
    // What the way back needs of a layer: inputs of the norms and projections, queries, keys and values before and after
    // rotation, the attention's result, gate, up and their product.
    let layer = 6 * hidden + 4 * queries + 4 * keys + 3 * inner;
    let layers = model.layers() as u64;
    let kept =
        if config.training.activation_checkpointing { layers * hidden + layer } else { layers * layer };
    let second = config.reference_mode() == ReferenceMode::SecondModel || config.model.reference.is_some();
    let (mut copies, mut moved) = (1, 0);
    if devices.count() > 1 && devices.cpu() {
        copies = devices.count() as u64;
        // What is not trained is there once; what is, once more while the replicas take over a step.
        moved = trained * bytes;
    } else if devices.count() > 1 {
        // The gradient of the largest parameter, from another device.
        let largest = if config.lora.is_some() { 0 } else { (model.vocabulary * model.hidden) as u64 };
        moved = largest * 4;
    }
    let mut memory = BTreeMap::from([
        ("weights".to_owned(), parameters * bytes + trained * master),
        ("gradients".to_owned(), trained * 4 * copies),
        ("optimizer".to_owned(), trained * moments),
        ("activations".to_owned(), tokens * kept * bytes.max(2) * copies),
    ]);
    if moved > 0 {
        memory.insert("replicas".to_owned(), moved);
    }
    if second && config.objective.kind.needs_reference() {
        memory.insert("reference".to_owned(), parameters * bytes);
    }
    memory
}
