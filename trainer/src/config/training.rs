//! `[training]`.

use serde::{Deserialize, Serialize};

use super::FieldProblem;

/// `[training]`: how the objective is minimised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Optimiser steps. Default: as many as `epochs` takes.
    #[serde(alias = "max_steps")]
    pub steps: Option<usize>,
    /// Passes over the rows, also fractions; not together with `steps`. Default 1.
    #[serde(alias = "num_train_epochs")]
    pub epochs: Option<f64>,
    /// Rows (pairs, labelled or demonstrated trajectories) of one optimiser step. Default 8.
    pub rows_per_step: usize,
    /// Rows computed at a time, in their order, for comparison with trainers that split this way. Default: as
    /// `tokens_per_micro_batch` allows.
    #[serde(alias = "per_device_train_batch_size")]
    pub micro_batch_rows: Option<usize>,
    /// Tokens computed at a time; a longer row is computed alone. Bounds the memory, never the result. Default 16,384.
    pub tokens_per_micro_batch: usize,
    /// Put several rows into one sequence instead of padding them. Default true.
    pub packing: bool,
    /// Compute what the trajectories of a row have in common once. Default true.
    pub share_prefix: bool,
    /// Peak learning rate. Default 1e-6, which suits full fine-tuning; with adapters 1e-5 is usual.
    pub learning_rate: f64,
    /// `adamw`, `sgd` or `lion`. Default `adamw`.
    #[serde(alias = "optim")]
    pub optimizer: OptimizerKind,
    /// Decay of the first and the second moment. Default [0.9, 0.999]; Lion's is [0.9, 0.99].
    pub betas: Option<[f64; 2]>,
    /// Added to the root of AdamW's second moment. Default 1e-8.
    #[serde(alias = "adam_epsilon")]
    pub epsilon: f64,
    /// Decoupled; not on biases and norms. Default 0.
    pub weight_decay: f64,
    /// Of SGD. Default 0.
    pub momentum: f64,
    /// The gradient's norm over all parameters is cut down to this; 0 cuts nothing. Default 1.
    #[serde(alias = "max_grad_norm")]
    pub clip: f64,
    /// `constant`, `linear`, `cosine` or `wsd`. Default `linear`.
    #[serde(alias = "lr_scheduler_type")]
    pub schedule: ScheduleKind,
    /// Steps in which the rate rises from 0; not together with `warmup_ratio`. Default 0.
    pub warmup_steps: Option<usize>,
    /// The same as a share of all steps.
    pub warmup_ratio: Option<f64>,
    /// Where the rate ends, as a share of the peak. Default 0.
    pub min_lr_ratio: f64,
    /// Share of the steps in which the rate falls, at the end (`wsd`). Default 0.2.
    pub decay_ratio: f64,
    /// Recompute activations instead of keeping them: less memory for about a third more work. Default false.
    #[serde(alias = "gradient_checkpointing")]
    pub activation_checkpointing: bool,
    /// Of everything that is drawn. Default 42.
    pub seed: u64,
}

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// Optimiser steps.
    Steps(usize),
    /// Passes over the rows.
    Epochs(f64),
}

/// How weights are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay (arXiv 1711.05101).
    #[default]
    #[serde(alias = "adamw_torch", alias = "adamw_torch_fused")]
    Adamw,
    /// Stochastic gradient descent.
    Sgd,
    /// The sign of an interpolated momentum (arXiv 2302.06675).
    #[serde(alias = "lion_32bit")]
    Lion,
}

/// How the learning rate goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Stays at the peak.
    #[serde(alias = "constant_with_warmup")]
    Constant,
    /// Falls in a line.
    #[default]
    Linear,
    /// Falls along half a cosine.
    #[serde(alias = "cosine_with_min_lr")]
    Cosine,
    /// Stays at the peak, then falls in a line: warm-up, stable, decay.
    #[serde(alias = "warmup_stable_decay")]
    Wsd,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            steps: None,
            epochs: None,
            rows_per_step: 8,
            micro_batch_rows: None,
            tokens_per_micro_batch: 16_384,
            packing: true,
            share_prefix: true,
            learning_rate: 1e-6,
            optimizer: OptimizerKind::Adamw,
            betas: None,
            epsilon: 1e-8,
            weight_decay: 0.0,
            momentum: 0.0,
            clip: 1.0,
            schedule: ScheduleKind::Linear,
            warmup_steps: None,
            warmup_ratio: None,
            min_lr_ratio: 0.0,
            decay_ratio: 0.2,
            activation_checkpointing: false,
            seed: 42,
        }
    }
}

impl TrainingConfig {
    /// How long to train.
    pub fn length(&self) -> Length {
        match self.steps {
            Some(steps) => Length::Steps(steps),
            None => Length::Epochs(self.epochs.unwrap_or(1.0)),
        }
    }

    /// Optimiser steps for this many rows. An epoch ends with a step, however few rows are left for it.
    pub fn total_steps(&self, rows: usize) -> usize {
        match self.length() {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => {
                let of_epoch = rows.div_ceil(self.rows_per_step.max(1));
                (of_epoch as f64 * epochs).ceil() as usize
            }
        }
    }

    /// Steps of the warm-up, of so many in all.
    pub fn warmup(&self, total_steps: usize) -> usize {
        let ratio = self.warmup_ratio.map(|ratio| (ratio * total_steps as f64).ceil() as usize);
        self.warmup_steps.or(ratio).unwrap_or(0)
    }

    /// Decay of the moments: what was asked for, or the optimiser's own.
    pub fn decays(&self) -> [f64; 2] {
        self.betas.unwrap_or(match self.optimizer {
            OptimizerKind::Lion => [0.9, 0.99],
            OptimizerKind::Adamw | OptimizerKind::Sgd => [0.9, 0.999],
        })
    }

    pub(super) fn check(&self, problems: &mut Vec<FieldProblem>) {
        let mut number = |holds: bool, name: &str, value: f64, expected: &str| {
            FieldProblem::unless(holds, &format!("training.{name}"), value, expected, problems);
        };
        let counts = [
            ("steps", self.steps),
            ("rows_per_step", Some(self.rows_per_step)),
            ("micro_batch_rows", self.micro_batch_rows),
            ("tokens_per_micro_batch", Some(self.tokens_per_micro_batch)),
        ];
        for (name, count) in counts {
            number(count != Some(0), name, 0.0, "at least 1");
        }
        let in_one = |value: f64| (0.0..=1.0).contains(&value);
        let epochs = self.epochs.unwrap_or(1.0);
        number(epochs > 0.0 && epochs.is_finite(), "epochs", epochs, "positive");
        number(
            self.learning_rate > 0.0 && self.learning_rate.is_finite(),
            "learning_rate",
            self.learning_rate,
            "positive",
        );
        for beta in self.decays() {
            number((0.0..1.0).contains(&beta), "betas", beta, "in [0, 1)");
        }
        number(self.epsilon > 0.0, "epsilon", self.epsilon, "positive");
        number(self.weight_decay >= 0.0, "weight_decay", self.weight_decay, "0 or more");
        number((0.0..1.0).contains(&self.momentum), "momentum", self.momentum, "in [0, 1)");
        number(self.clip >= 0.0, "clip", self.clip, "0 or more");
        number(in_one(self.min_lr_ratio), "min_lr_ratio", self.min_lr_ratio, "in [0, 1]");
        number(in_one(self.decay_ratio), "decay_ratio", self.decay_ratio, "in [0, 1]");
        if let Some(ratio) = self.warmup_ratio {
            number(in_one(ratio), "warmup_ratio", ratio, "in [0, 1]");
        }
        let mut clash = |first: bool, second: bool, field: &str, other: &str| {
            if first && second {
                let field = format!("training.{field}");
                problems.push(FieldProblem::new(
                    field,
                    format!("is given, and training.{other} too: leave one out"),
                ));
            }
        };
        clash(self.steps.is_some(), self.epochs.is_some(), "epochs", "steps");
        clash(self.warmup_steps.is_some(), self.warmup_ratio.is_some(), "warmup_ratio", "warmup_steps");
        if self.micro_batch_rows.is_some_and(|rows| rows > self.rows_per_step) {
            let message = format!("is more than training.rows_per_step = {}", self.rows_per_step);
            problems.push(FieldProblem::new("training.micro_batch_rows", message));
        }
        if self.momentum > 0.0 && self.optimizer != OptimizerKind::Sgd {
            problems
                .push(FieldProblem::new("training.momentum", "counts for training.optimizer = \"sgd\" only"));
        }
    }
}
