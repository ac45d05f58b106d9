//! What happens in a run.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Metrics by their name; TRL's names where TRL has them.
pub type Metrics = BTreeMap<String, f64>;

/// What a run will do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Rows of the training files that are used.
    pub rows: u64,
    /// Rows that are not, by the reason.
    pub dropped: BTreeMap<String, u64>,
    /// Rows that were shortened.
    pub shortened: u64,
    /// Rows of the evaluation files that are used.
    pub eval_rows: u64,
    /// Tokens of the training rows; what a row's trajectories share counts once.
    pub tokens: u64,
    /// Those that carry a loss.
    pub trained_tokens: u64,
    /// Tokens of the longest row.
    pub longest_row: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Passes over the rows.
    pub epochs: f64,
    /// Parameters of the model.
    pub parameters: u64,
    /// Those that are trained.
    pub trainable: u64,
    /// Devices that compute.
    #[serde(default = "one")]
    pub devices: u64,
    /// Most memory that the run is expected to need, in bytes: of several GPUs, on the first one, which needs the most.
    pub memory_bytes: u64,
    /// What the memory is for, in bytes.
    pub memory: BTreeMap<String, u64>,
    /// Hash of the training rows, as the model card has it.
    pub data_hash: String,
}

fn one() -> u64 {
    1
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The rows are read, and it is clear what will be done. The first event of every attempt, but for progress.
    Planned(Plan),
    /// Something before or beside the steps goes on, such as `reference` or `evaluation`.
    Progress {
        /// What.
        stage: String,
        /// How much is done.
        done: u64,
        /// Of how much.
        total: u64,
    },
    /// Training goes on from a checkpoint.
    Resumed {
        /// Optimiser steps that were done before.
        step: u64,
        /// The checkpoint's folder.
        path: PathBuf,
    },
    /// Optimiser steps are done.
    Step {
        /// The last of them, from 1.
        step: u64,
        /// Optimiser steps of the run.
        steps: u64,
        /// Passes over the rows so far.
        epoch: f64,
        /// Over the rows since the event before.
        metrics: Metrics,
        /// Seconds of this attempt so far.
        seconds: f64,
    },
    /// The evaluation files are scored.
    Evaluated {
        /// After which step.
        step: u64,
        /// The metrics, with `eval_` before their names.
        metrics: Metrics,
    },
    /// A checkpoint is whole on the disk.
    Checkpoint {
        /// After which step.
        step: u64,
        /// Its folder, relative to the run's folder.
        path: PathBuf,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A checkpoint was deleted, by the rules on what is kept.
    Deleted {
        /// After which step it was written.
        step: u64,
    },
    /// Something looks wrong; training goes on.
    Alarm {
        /// After which step.
        step: u64,
        /// What.
        kind: AlarmKind,
        /// The figures, and what to do.
        message: String,
    },
    /// Training ended.
    Finished {
        /// After which step.
        step: u64,
        /// Why.
        reason: Reason,
    },
}

/// What looks wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// The policy's entropy over trained tokens falls towards 0.
    EntropyCollapse,
    /// The chosen trajectories become less likely.
    ChosenFalling,
    /// Most logits are so large that they have no gradient.
    Saturated,
    /// The gradient is 0.
    ZeroGradient,
    /// Policy and reference do not agree before the first step.
    ReferenceMismatch,
    /// The longer of two trajectories is nearly always preferred.
    LengthBias,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// All steps are done.
    Completed,
    /// The evaluation's metric got no better.
    EarlyStop,
    /// Somebody asked for it.
    Stopped,
}
