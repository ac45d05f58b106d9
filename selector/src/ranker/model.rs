//! The ranker's parameters: a small versioned JSON.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::{
    calibrate::{self, Calibrator},
    features::{Columns, Feature},
    listwise,
};
use crate::eval::stable_hash;

/// The format this build reads and writes.
const FORMAT: &str = "entropo-ranker/1";

/// The learned parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankerModel {
    /// Always `entropo-ranker/1`.
    pub format: String,
    /// Names the parameters in results; from their content.
    pub version: String,
    /// What it was learned from.
    pub training: Training,
    /// What is weighed.
    pub features: Vec<Weight>,
    /// From scores to probabilities.
    pub calibration: Calibrator,
}

/// One feature and its weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// The feature, as `view:column`.
    pub name: String,
    /// Its weight.
    pub weight: f64,
    /// Divisor that standardises it, for the views that need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
}

/// What a model was learned from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Issues, counted once a pool.
    pub issues: u64,
    /// Those whose candidates disagree.
    pub disagreeing: u64,
    /// Pools learned from: the issues whole and drawn down.
    pub groups: u64,
    /// The penalty.
    pub l2: f64,
    /// Folds of the calibration.
    pub folds: u64,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not JSON, or not of the right shape.
    #[error("the ranker model is not readable: {0}")]
    Json(#[from] serde_json::Error),
    /// Another format.
    #[error(
        "the ranker model has format `{0}`, this build reads `{FORMAT}`; fit it again with `entropo fit`"
    )]
    Format(String),
    /// A feature that this build does not compute.
    #[error("the ranker model weighs `{0}`, which this build does not know; fit it again with `entropo fit`")]
    UnknownFeature(String),
    /// A number that cannot be used.
    #[error(
        "the ranker model's `{0}` has a number that is not finite, or a scale that is missing or not positive"
    )]
    Number(String),
}

impl RankerModel {
    /// The model shipped with this build.
    pub fn shipped() -> Arc<Self> {
        static SHIPPED: LazyLock<Arc<RankerModel>> = LazyLock::new(|| {
            let model = RankerModel::from_json(include_str!("../../models/hybrid.json"));
            Arc::new(model.expect("the shipped model is checked by a test"))
        });
        Arc::clone(&SHIPPED)
    }

    /// Reads and checks a model.
    ///
    /// # Errors
    ///
    /// JSON of another shape or format, or numbers that cannot be computed with.
    pub fn from_json(json: &str) -> Result<Self, ModelError> {
        let model: Self = serde_json::from_str(json)?;
        if model.format != FORMAT {
            return Err(ModelError::Format(model.format));
        }
        for weight in &model.features {
            let Some(feature) = Feature::parse(&weight.name) else {
                return Err(ModelError::UnknownFeature(weight.name.clone()));
            };
            let good_scale = weight.scale.is_none_or(|scale| scale.is_finite() && scale > 0.0);
            if !weight.weight.is_finite() || !good_scale || feature.has_scale() != weight.scale.is_some() {
                return Err(ModelError::Number(weight.name.clone()));
            }
        }
        if !model.calibration.pick.is_sound() || !model.calibration.candidate.is_sound() {
            return Err(ModelError::Number("calibration".to_owned()));
        }
        Ok(model)
    }

    /// The model as JSON, for people to read too.
    pub fn to_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("a model has string keys and finite numbers");
        json.push('\n');
        json
    }

    pub(super) fn new(features: Vec<Weight>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: String::new(),
            training: Training::default(),
            features,
            calibration: Calibrator::default(),
        }
    }

    /// Sets the version from the content.
    pub(super) fn named(mut self) -> Self {
        self.version.clear();
        self.version = format!("hybrid-{:016x}", stable_hash(&self.to_json()));
        self
    }

    /// Scores of a pool's candidates, less their mean, and what each feature adds to them.
    pub(crate) fn scores(&self, columns: &Columns<'_>) -> Scores {
        let parts: Vec<Vec<f64>> = self
            .features
            .iter()
            .map(|weight| {
                let Some(feature) = Feature::parse(&weight.name) else { return vec![0.0; columns.len()] };
                let part = feature.part(columns);
                let mut added: Vec<f64> =
                    (0..columns.len()).map(|at| weight.weight * part.scaled(at, weight.scale)).collect();
                listwise::centre(&mut added);
                added
            })
            .collect();
        let total = (0..columns.len()).map(|at| parts.iter().map(|part| part[at]).sum()).collect();
        Scores { total, parts }
    }

    /// The probability that each of the scored candidates resolves.
    pub(crate) fn probabilities(&self, columns: &Columns<'_>, scores: &Scores) -> Vec<f64> {
        self.calibration.probabilities(&scores.total, &calibrate::pool_inputs(columns))
    }
}

/// Scores and what they are made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scores {
    /// By candidate; higher is better.
    pub(crate) total: Vec<f64>,
    /// By feature, then by candidate.
    pub(crate) parts: Vec<Vec<f64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_model_is_sound_and_named_after_its_content() {
        let model = RankerModel::shipped();
        assert!(model.features.len() > 20);
        assert!(model.features.iter().any(|weight| weight.name == "c:v_logit" && weight.weight > 0.0));
        assert_eq!((*model).clone().named().version, model.version, "edited by hand?");
        let again = RankerModel::from_json(&model.to_json()).unwrap();
        assert_eq!(again, *model);
    }

    #[test]
    fn unusable_models_are_refused_with_the_place() {
        let json = RankerModel::shipped().to_json();
        let error = |from: &str, to: &str| {
            RankerModel::from_json(&json.replacen(from, to, 1)).unwrap_err().to_string()
        };
        assert!(error("entropo-ranker/1", "entropo-ranker/9").contains("entropo-ranker/9"));
        assert!(error("c:x_near", "c:x_nothing").contains("c:x_nothing"));
        assert!(error("\"scale\": 0.", "\"scale\": -0.").contains("c:x_near"));
        assert!(error("\"weight\"", "\"height\"").contains("height"));
    }
}
