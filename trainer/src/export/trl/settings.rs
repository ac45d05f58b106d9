//! The configuration as TRL has it, and what it has no equal of.

use serde_json::{Value, json};

use crate::{
    config::{FieldProblem, LoraConfig, ObjectiveKind, OptimizerKind, Precision, ReferenceMode, RunConfig},
    engine::{example::Example, order::Order},
    run::RunError,
};

/// Metrics of TRL's evaluations that can say which checkpoint is best.
const METRICS: [&str; 9] = [
    "eval_loss",
    "eval_entropy",
    "eval_mean_token_accuracy",
    "eval_rewards/chosen",
    "eval_rewards/rejected",
    "eval_rewards/accuracies",
    "eval_rewards/margins",
    "eval_logps/chosen",
    "eval_logps/rejected",
];

fn is_kto(config: &RunConfig) -> bool {
    matches!(config.objective.kind, ObjectiveKind::Kto | ObjectiveKind::EntropoKto)
}

/// Refuses what TRL, or the module on top of it, has no equal of.
pub(super) fn check(config: &RunConfig) -> Result<(), RunError> {
    let mut problems = Vec::new();
    let mut refuse = |field: &str, why: String| problems.push(FieldProblem::new(field, why));
    let training = &config.training;
    if config.objective.kind.trains_verifier() {
        let why = "trains a verifier, which the export does not have: train it with `entropo train`";
        refuse("objective.kind", format!("\"{}\" {why}", config.objective.kind.word()));
    }
    if is_kto(config) && !config.data.eval.is_empty() {
        let why = "KTO's reference point is not estimated for evaluation rows there";
        refuse("data.eval", format!("{why}: leave it out, and evaluate checkpoints here"));
    }
    if training.optimizer == OptimizerKind::Sgd && training.weight_decay > 0.0 {
        let why = "with sgd is coupled to the gradient in PyTorch, not decoupled: leave it out";
        refuse("training.weight_decay", why.to_owned());
    }
    if let Some(micro) = training.micro_batch_rows
        && !training.rows_per_step.is_multiple_of(micro)
    {
        let rows = training.rows_per_step;
        refuse(
            "training.micro_batch_rows",
            format!("is {micro}, but must divide training.rows_per_step = {rows}"),
        );
    }
    if config.lora.as_ref().is_some_and(|lora| lora.targets.iter().any(|target| target == "lm_head")) {
        refuse("lora.targets", "names lm_head, which TRL cannot train with adapters".to_owned());
    }
    let (evaluation, checkpoint) = (&config.evaluation, &config.checkpoint);
    if evaluation.patience.is_some() || checkpoint.keep_best {
        if !METRICS.contains(&checkpoint.metric.as_str()) {
            let known = METRICS.join(", ");
            refuse("checkpoint.metric", format!("is `{}`, but TRL has {known}", checkpoint.metric));
        }
        if evaluation.every_steps == 0 {
            let why = "is 0, but evaluation.patience and checkpoint.keep_best need evaluations on the way";
            refuse("evaluation.every_steps", why.to_owned());
        }
    }
    if checkpoint.keep_best
        && (checkpoint.every_steps == 0 || checkpoint.every_steps % evaluation.every_steps.max(1) != 0)
    {
        let why = "must be a multiple of evaluation.every_steps for checkpoint.keep_best there";
        refuse("checkpoint.every_steps", why.to_owned());
    }
    for (field, set) in
        [("log.micro_batches", config.log.micro_batches), ("log.gradients", config.log.gradients)]
    {
        if set {
            refuse(field, "is not written by TRL: leave it out".to_owned());
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Err(RunError::Refused(format!("cannot be exported for trl: {}", problems.join("; "))))
}

/// TRL's word for a loss over pairs; its own loss is computed but not used for the objectives it does not have.
fn loss_type(kind: ObjectiveKind) -> &'static str {
    match kind {
        ObjectiveKind::DpoNorm => "sigmoid_norm",
        ObjectiveKind::Ipo => "ipo",
        ObjectiveKind::Hinge => "hinge",
        ObjectiveKind::Robust => "robust",
        ObjectiveKind::ApoZero => "apo_zero",
        ObjectiveKind::ApoDown => "apo_down",
        _ => "sigmoid",
    }
}

/// Rows computed at a time: what was asked for, or as many as fit into the budget of tokens and divide a step.
fn micro_batch_rows(config: &RunConfig, examples: &[Example]) -> usize {
    let training = &config.training;
    let longest = examples.iter().map(Example::tokens).max().unwrap_or(0).max(1);
    let fits = |rows: &usize| {
        training.rows_per_step.is_multiple_of(*rows) && rows * longest <= training.tokens_per_micro_batch
    };
    training.micro_batch_rows.unwrap_or_else(|| (1..=training.rows_per_step).rev().find(fits).unwrap_or(1))
}

/// Everything that the module reads.
pub(super) fn settings(config: &RunConfig, examples: &[Example], order: &Order) -> Value {
    let (objective, training) = (&config.objective, &config.training);
    let steps = training.total_steps(examples.len());
    let entropy = objective.entropy();
    let rows_are = match objective.kind {
        ObjectiveKind::Kto | ObjectiveKind::EntropoKto => "labelled",
        ObjectiveKind::Sft => "imitated",
        _ => "pairs",
    };
    let micro = micro_batch_rows(config, examples);
    json!({
        "rows_are": rows_are,
        "rows": examples.len(),
        "steps": steps,
        "steps_of_epoch": order.steps_of_epoch(),
        "rows_per_step": training.rows_per_step,
        "micro_batch_rows": micro,
        "max_tokens": config.data.max_tokens,
        "model": config.model.path,
        "reference": config.model.reference,
        "tokenizer": config.model.tokenizer,
        "objective": {
            "kind": objective.kind,
            "beta": entropy.beta,
            "alpha": entropy.alpha,
            "cap": entropy.cap,
            "alpha_warmup_steps": objective.alpha_warmup_steps(),
            "gamma": objective.gamma.unwrap_or(0.5),
            "form": objective.form.unwrap_or_default(),
            "reference_point": objective.reference_point.unwrap_or_default(),
            "reference_scope": objective.reference_scope(),
            "desirable_weight": objective.desirable_weight.unwrap_or(1.0),
            "undesirable_weight": objective.undesirable_weight.unwrap_or(1.0),
            "sft_weight": objective.sft_weight(),
        },
        "schedule": {
            "kind": training.schedule,
            "warmup_steps": training.warmup(steps),
            "min_lr_ratio": training.min_lr_ratio,
            "decay_ratio": training.decay_ratio,
        },
        "patience": config.evaluation.patience,
        "min_delta": config.evaluation.min_delta,
        "lora": config.lora.as_ref().map(lora),
        "trl": arguments(config, steps, micro),
    })
}

/// PEFT's `LoraConfig`.
fn lora(lora: &LoraConfig) -> Value {
    let all = lora.targets.iter().any(|target| target == "all-linear");
    json!({
        "task_type": "CAUSAL_LM",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "use_rslora": lora.rslora,
        "target_modules": if all { json!("all-linear") } else { json!(lora.targets) },
        "modules_to_save": (!lora.modules_to_save.is_empty()).then_some(&lora.modules_to_save),
    })
}

/// The arguments of TRL's configuration class, without what depends on the number of processes.
fn arguments(config: &RunConfig, steps: usize, micro: usize) -> Value {
    let (objective, training) = (&config.objective, &config.training);
    let [beta1, beta2] = training.decays();
    let mut all = json!({
        "max_steps": steps,
        "learning_rate": training.learning_rate,
        "optim": match training.optimizer {
            OptimizerKind::Adamw => "adamw_torch",
            OptimizerKind::Sgd => "sgd",
            OptimizerKind::Lion => "lion_32bit",
        },
        "adam_beta1": beta1,
        "adam_beta2": beta2,
        "adam_epsilon": training.epsilon,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.clip,
        "gradient_checkpointing": training.activation_checkpointing,
        "bf16": config.model.precision == Precision::Bf16,
        "seed": training.seed,
        "logging_steps": config.log.every_steps,
        "logging_nan_inf_filter": false,
        "report_to": if config.log.tensorboard { "tensorboard" } else { "none" },
        "remove_unused_columns": false,
        "per_device_eval_batch_size": micro,
        // Rows are exported as they are to be trained.
        "max_length": null,
    });
    let mut more = |name: &str, value: Value| {
        all[name] = value;
    };
    if training.optimizer == OptimizerKind::Sgd {
        more("optim_args", json!(format!("momentum={}", training.momentum)));
    }
    let checkpoint = &config.checkpoint;
    if checkpoint.every_steps == 0 {
        more("save_strategy", json!("no"));
    } else {
        more("save_strategy", json!("steps"));
        more("save_steps", json!(checkpoint.every_steps));
        more("save_total_limit", json!((checkpoint.keep_last > 0).then_some(checkpoint.keep_last)));
    }
    if !config.data.eval.is_empty() {
        let every = config.evaluation.every_steps;
        more("eval_strategy", json!(if every > 0 { "steps" } else { "no" }));
        if every > 0 {
            more("eval_steps", json!(every));
        }
        more("eval_on_start", json!(config.evaluation.at_start));
        more("metric_for_best_model", json!(checkpoint.metric));
        more("greater_is_better", json!(checkpoint.higher_is_better()));
        more("load_best_model_at_end", json!(checkpoint.keep_best));
    }
    if config.lora.is_some() && config.model.precision == Precision::Bf16 {
        // Frozen weights need no master copy; PEFT keeps the adapters in single precision.
        more("model_init_kwargs", json!({"dtype": "bfloat16"}));
    }
    if objective.kind == ObjectiveKind::Sft {
        more("dataset_kwargs", json!({"skip_prepare_dataset": true}));
        return all;
    }
    more("beta", json!(objective.beta()));
    // Adapters may have dropout of their own; models come without.
    more("disable_dropout", json!(config.lora.as_ref().is_none_or(|lora| lora.dropout == 0.0)));
    more("router_aux_loss_coef", json!(0.0));
    if is_kto(config) {
        // The one without a reference point: the module estimates its own. Mismatched trajectories are other ones in
        // every epoch, so the reference stays in memory.
        more("loss_type", json!("apo_zero_unpaired"));
        more("precompute_ref_log_probs", json!(false));
    } else {
        more("loss_type", json!([loss_type(objective.kind)]));
        more("label_smoothing", json!(objective.label_smoothing.unwrap_or(0.0)));
        let known = matches!(config.reference_mode(), ReferenceMode::Precomputed | ReferenceMode::None);
        more("precompute_ref_log_probs", json!(known));
    }
    all
}
