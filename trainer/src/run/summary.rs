//! What a run left behind.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Metrics, Reason};

/// What a run left behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Why it ended.
    pub reason: Reason,
    /// Optimiser steps that are done.
    pub step: u64,
    /// Optimiser steps of the run.
    pub steps: u64,
    /// Folder of the last checkpoint, relative to the run's folder; it loads as a model.
    pub checkpoint: Option<PathBuf>,
    /// Folder of the best one, where evaluations said which that is.
    pub best: Option<PathBuf>,
    /// The last metrics of training.
    pub metrics: Metrics,
    /// The last metrics of the evaluation.
    pub evaluation: Metrics,
    /// Trained tokens, over all steps of this attempt.
    pub trained_tokens: u64,
    /// Seconds of this attempt.
    pub seconds: f64,
}
