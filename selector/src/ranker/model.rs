//! The ranker's parameters: a small versioned JSON.

use serde::{Deserialize, Serialize};

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
    /// What is weighed.
    pub features: Vec<Feature>,
}

/// One feature and its weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// As the feature matrix names it.
    pub name: String,
    /// Weight of the standardised value.
    pub weight: f64,
    /// Divisor that standardises it.
    pub scale: f64,
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
    /// A number that cannot be used.
    #[error("the ranker model's feature `{0}` has a weight or scale that is not finite, or a scale of zero")]
    Number(String),
}

impl RankerModel {
    /// Reads and checks a model.
    pub fn from_json(json: &str) -> Result<Self, ModelError> {
        let model: Self = serde_json::from_str(json)?;
        if model.format != FORMAT {
            return Err(ModelError::Format(model.format));
        }
        match model.features.iter().find(|f| !f.weight.is_finite() || !f.scale.is_normal()) {
            Some(bad) => Err(ModelError::Number(bad.name.clone())),
            None => Ok(model),
        }
    }
}
