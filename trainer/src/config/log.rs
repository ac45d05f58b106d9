//! `[checkpoint]`, `[evaluation]` and `[log]`.

use serde::{Deserialize, Serialize};

use super::FieldProblem;

/// `[checkpoint]`: when the state is written, and what is kept. The last step always writes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Optimiser steps between two; 0 writes only the last. Default 100.
    #[serde(alias = "save_steps")]
    pub every_steps: usize,
    /// Newest checkpoints that are kept; 0 keeps all. Default 2.
    #[serde(alias = "save_total_limit")]
    pub keep_last: usize,
    /// Also keep the best one by `metric`. Default false.
    #[serde(alias = "load_best_model_at_end")]
    pub keep_best: bool,
    /// Metric of the evaluation that says which is best: higher for accuracies, margins and rewards, lower for the
    /// others. Default `eval_loss`.
    #[serde(alias = "metric_for_best_model")]
    pub metric: String,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_steps: 100, keep_last: 2, keep_best: false, metric: "eval_loss".to_owned() }
    }
}

impl CheckpointConfig {
    /// Whether more of the metric is better.
    pub fn higher_is_better(&self) -> bool {
        ["accurac", "margin", "reward"].iter().any(|part| self.metric.contains(part))
    }

    pub(super) fn check(&self, problems: &mut Vec<FieldProblem>) {
        let holds = self.metric.starts_with("eval_");
        FieldProblem::unless(
            holds,
            "checkpoint.metric",
            format!("`{}`", self.metric),
            "one of `eval_…`",
            problems,
        );
    }
}

/// `[evaluation]`: when the evaluation files are scored. With such files, the last step always does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Optimiser steps between two; 0 evaluates at the end only. Default 100.
    #[serde(alias = "eval_steps")]
    pub every_steps: usize,
    /// Also before the first step. Default false.
    #[serde(alias = "eval_on_start")]
    pub at_start: bool,
    /// Stop after so many evaluations in a row without a better `checkpoint.metric`. Default: never.
    #[serde(alias = "early_stopping_patience")]
    pub patience: Option<usize>,
    /// By how much the metric has to be better to count. Default 0.
    #[serde(alias = "early_stopping_threshold")]
    pub min_delta: f64,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { every_steps: 100, at_start: false, patience: None, min_delta: 0.0 }
    }
}

impl EvaluationConfig {
    pub(super) fn check(&self, problems: &mut Vec<FieldProblem>) {
        if let Some(patience) = self.patience {
            FieldProblem::unless(patience > 0, "evaluation.patience", patience, "at least 1", problems);
        }
        let holds = self.min_delta >= 0.0;
        FieldProblem::unless(holds, "evaluation.min_delta", self.min_delta, "0 or more", problems);
    }
}

/// `[log]`: what is reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Optimiser steps that a line of metrics covers. Default 1.
    #[serde(alias = "logging_steps")]
    pub every_steps: usize,
    /// Also write event files for TensorBoard, into `tensorboard` in the run's folder. Default false.
    pub tensorboard: bool,
    /// Also write the metrics of every micro-batch, into `micro_batches.jsonl` in the run's folder. Default false.
    pub micro_batches: bool,
    /// Also write the clipped gradient of every step, into `gradients` in the run's folder; as large as the model each
    /// time. Default false.
    pub gradients: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { every_steps: 1, tensorboard: false, micro_batches: false, gradients: false }
    }
}

impl LogConfig {
    pub(super) fn check(&self, problems: &mut Vec<FieldProblem>) {
        FieldProblem::unless(
            self.every_steps > 0,
            "log.every_steps",
            self.every_steps,
            "at least 1",
            problems,
        );
    }
}
