//! The learned weights and what they make of facts.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::features::Facts;
use crate::calibration::Calibration;

/// Facts are cut this many standard deviations from their mean.
pub(super) const CUT: f64 = 3.0;

/// Known facts of one trajectory or of its beginning: position in [`Linear::facts`](LinearModel::facts) and value.
pub type Row = Vec<(u32, f32)>;

/// A linear model with the members that were fit without one part of the issues each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearModel {
    /// Version of the facts; a model of another version is refused.
    pub facts_version: u32,
    /// What the weights are of.
    pub facts: Vec<Fact>,
    /// Judges whole trajectories with their patch.
    pub whole: Head,
    /// Judges a run at the end of a turn, its patch not seen.
    pub turn: Head,
    /// From the logit of [`LinearModel::whole`] to a probability.
    pub calibration: Calibration,
    /// What it was fit on.
    pub training: Training,
}

/// A fact and how it is brought to scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Mean where it is known; a fact that is not known stands there.
    pub mean: f64,
    /// Standard deviation where it is known.
    pub scale: f64,
}

/// Weights by fact, of the model and of its members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Fit on all issues.
    pub all: Weights,
    /// Member k is fit without the issues of fold k.
    pub members: Vec<Weights>,
}

/// A linear function of facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// The logit of a trajectory whose every fact is at its mean.
    pub intercept: f64,
    /// By fact.
    pub weights: Vec<f64>,
}

/// What a model was fit on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Candidates.
    pub candidates: u64,
    /// Of which have a trajectory.
    pub trajectories: u64,
    /// Different issues.
    pub issues: u64,
    /// Hashes of the issues' ids, ascending: whether an issue was among them can be told, their ids not be read.
    pub issue_hashes: Vec<u32>,
}

/// Version of the facts that this code computes.
pub const FACTS_VERSION: u32 = 1;

/// Why a model's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not such a file.
    #[error("not a linear verifier: {0}")]
    Json(#[from] serde_json::Error),
    /// Of another version.
    #[error("facts_version: {0} is not {FACTS_VERSION}, which this program computes; fit the model again")]
    Version(u32),
    /// Its parts do not fit together.
    #[error("{0}")]
    Shape(String),
}

impl LinearModel {
    /// Reads a model and checks that its parts fit together.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ModelError> {
        let model: Self = serde_json::from_slice(bytes)?;
        if model.facts_version != FACTS_VERSION {
            return Err(ModelError::Version(model.facts_version));
        }
        for (name, head) in [("whole", &model.whole), ("turn", &model.turn)] {
            for weights in std::iter::once(&head.all).chain(&head.members) {
                let sound = weights.weights.len() == model.facts.len()
                    && weights.intercept.is_finite()
                    && weights.weights.iter().all(|weight| weight.is_finite());
                if !sound {
                    return Err(ModelError::Shape(format!(
                        "{name}: every list of weights has one finite number a fact"
                    )));
                }
            }
        }
        if let Some(fact) = model.facts.iter().find(|fact| !(fact.scale > 0.0 && fact.mean.is_finite())) {
            return Err(ModelError::Shape(format!(
                "facts: {} needs a finite mean and a scale above 0",
                fact.name
            )));
        }
        Ok(model)
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("finite numbers and strings are serialisable");
        text.push('\n');
        text
    }

    /// Positions of the facts by name.
    pub fn index(&self) -> FxHashMap<&str, u32> {
        (0..).zip(&self.facts).map(|(at, fact)| (fact.name.as_str(), at)).collect()
    }

    /// The known facts that the model weighs.
    pub fn row(&self, index: &FxHashMap<&str, u32>, facts: &Facts) -> Row {
        facts.values.iter().filter_map(|(name, value)| Some((*index.get(name)?, *value as f32))).collect()
    }

    /// The part of the issues that an issue belongs to: the member of that number has not seen it.
    pub fn fold(&self, instance_id: &str) -> usize {
        fold(instance_id, self.whole.members.len().max(1))
    }

    /// Whether the model was fit on candidates of this issue.
    pub fn has_seen(&self, instance_id: &str) -> bool {
        self.training.issue_hashes.binary_search(&issue_hash(instance_id)).is_ok()
    }

    /// The standardised facts, by position.
    pub(super) fn scaled(&self, row: &Row) -> impl Iterator<Item = (usize, f64)> {
        row.iter().filter_map(|&(at, value)| {
            let fact = self.facts.get(at as usize)?;
            Some((at as usize, ((f64::from(value) - fact.mean) / fact.scale).clamp(-CUT, CUT)))
        })
    }

    /// The logit of a row under some weights of this model.
    pub fn logit(&self, weights: &Weights, row: &Row) -> f64 {
        weights.intercept + self.scaled(row).map(|(at, value)| weights.weights[at] * value).sum::<f64>()
    }

    /// The facts that weigh most in a row's logit, by size, with what each adds: why the score is what it is.
    pub fn reasons(&self, row: &Row, most: usize) -> Vec<(&str, f64)> {
        let mut parts: Vec<(&str, f64)> = self
            .scaled(row)
            .map(|(at, value)| (self.facts[at].name.as_str(), self.whole.all.weights[at] * value))
            .collect();
        parts.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(b.0)));
        parts.truncate(most);
        parts
    }

    /// The delete-one-group jackknife's standard error of the logit (Efron and Tibshirani 1993, § 11.5): how much the
    /// members disagree that each lack one part of the issues.
    pub fn spread(&self, row: &Row) -> Option<f64> {
        let logits: Vec<f64> = self.whole.members.iter().map(|member| self.logit(member, row)).collect();
        let count = logits.len() as f64;
        if count < 2.0 {
            return None;
        }
        let mean = logits.iter().sum::<f64>() / count;
        let squares: f64 = logits.iter().map(|logit| (logit - mean).powi(2)).sum();
        Some(((count - 1.0) / count * squares).sqrt())
    }
}

/// The fold of an issue among so many, by a hash of its id.
pub(super) fn fold(instance_id: &str, folds: usize) -> usize {
    (hash(instance_id) % folds as u64) as usize
}

/// What of an issue's id is kept in a model's file.
pub(super) fn issue_hash(instance_id: &str) -> u32 {
    (hash(instance_id) >> 32) as u32
}

fn hash(instance_id: &str) -> u64 {
    let bytes = blake3::hash(instance_id.as_bytes());
    u64::from_le_bytes(bytes.as_bytes()[..8].try_into().expect("eight bytes are eight bytes"))
}
