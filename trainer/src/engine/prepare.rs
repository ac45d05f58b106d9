//! What is there before the first step beside the policy: its replicas, and the reference's log-probabilities.

use std::path::Path;

use model::LanguageModel;

use super::{
    devices::Devices,
    example::Example,
    order::Order,
    reference::{Reference, ReferenceError},
    session::{Beside, micro_batches, mismatched},
    setup::{self, Rows},
};
use crate::{
    config::{Objective, ReferenceMode, ReferenceScope, RunConfig},
    data::Tokens,
    run::{Event, Observer, Plan, RunError},
};

/// Copies of a model on all devices but the first, where it is.
pub(crate) fn replicas(model: &LanguageModel, devices: &Devices) -> Result<Vec<LanguageModel>, RunError> {
    let copies = devices.others().enumerate();
    let copies = copies.map(|(index, device)| devices.with(index + 1, || model.replica(device)));
    copies.map(|copy| Ok(copy?)).collect()
}

/// Opens the reference, and computes what is computed before training.
#[expect(clippy::too_many_arguments, reason = "called once, while what it is given is put together")]
pub(crate) fn reference(
    config: &RunConfig,
    out: &Path,
    observer: &dyn Observer,
    rows: &Rows,
    order: &Order,
    plan: &Plan,
    policy: &LanguageModel,
    replicas: &[LanguageModel],
    step: u64,
    devices: &Devices,
) -> Result<(Reference, Beside), RunError> {
    let budget = config.training.tokens_per_micro_batch;
    let load = || {
        let model = setup::reference_model(config, devices.first())?;
        let mut others = self::replicas(&model, devices)?;
        others.insert(0, model);
        Ok::<_, RunError>(others)
    };
    match config.reference_mode() {
        ReferenceMode::None => return Ok((Reference::in_memory(budget), Beside::Nothing)),
        ReferenceMode::AdapterOff => return Ok((Reference::in_memory(budget), Beside::AdapterOff)),
        ReferenceMode::SecondModel => {
            return Ok((Reference::in_memory(budget), Beside::Models(load()?)));
        }
        ReferenceMode::Precomputed => {}
    }
    let folder = config.reference.cache.clone().unwrap_or_else(|| out.join("reference"));
    let failed = |error| match error {
        ReferenceError::Io { path, error } => {
            RunError::Io { what: path.display().to_string(), source: error }
        }
        ReferenceError::Device(failure) => failure.into(),
    };
    let hash = setup::reference_hash(config)?;
    let mut reference = Reference::cached(&folder, &hash, budget).map_err(failed)?;
    let others = mismatches(config, rows, order, plan.steps as usize);
    let all = rows.train.examples.iter().chain(&rows.eval.examples);
    let mut groups: Vec<Vec<&Tokens>> = all.map(|example| example.sequences.iter().collect()).collect();
    groups.extend(others.iter().map(|tokens| vec![tokens]));
    let sequences: Vec<&Tokens> = groups.iter().flatten().copied().collect();
    if !reference.missing(&sequences).is_empty() {
        let same = step == 0 && config.model.reference.is_none();
        let models: Vec<LanguageModel> = if same {
            let policies = std::iter::once(policy).chain(replicas);
            policies.map(|policy| policy.clone().without_adapters().valid()).collect()
        } else {
            load()?
        };
        let share = config.training.share_prefix;
        let whole = reference.ensure(devices, &models, &groups, share, |done, total| {
            let (done, total) = (done as u64, total as u64);
            observer.event(&Event::Progress { stage: "reference".to_owned(), done, total });
            !observer.stop()
        });
        if !whole.map_err(failed)? {
            return Err(RunError::Failed(
                "stopped while the reference's log-probabilities were computed; what is done is kept"
                    .to_owned(),
            ));
        }
    }
    Ok((reference, Beside::Nothing))
}

/// The mismatched trajectories of all steps and of the evaluation, for KTO.
fn mismatches(config: &RunConfig, rows: &Rows, order: &Order, steps: usize) -> Vec<Tokens> {
    if !matches!(config.objective.objective(), Objective::Kto(_)) {
        return Vec::new();
    }
    let scope = config.objective.reference_scope();
    let mut all = Vec::new();
    let mut window = |examples: &[&Example]| {
        let split = match scope {
            ReferenceScope::Step => vec![(0..examples.len()).collect()],
            ReferenceScope::MicroBatch => micro_batches(config, examples),
        };
        for batch in split {
            let batch: Vec<&Example> = batch.into_iter().map(|row: usize| examples[row]).collect();
            let tokens = mismatched(scope, &batch, config.data.max_tokens);
            all.extend(tokens.into_iter().filter(|tokens| tokens.trained_tokens() > 0));
        }
    };
    for step in 0..steps {
        let examples: Vec<&Example> =
            order.rows_of(step).into_iter().map(|row| &rows.train.examples[row]).collect();
        window(&examples);
    }
    let eval: Vec<&Example> = rows.eval.examples.iter().collect();
    for examples in eval.chunks(config.training.rows_per_step) {
        window(examples);
    }
    all
}
