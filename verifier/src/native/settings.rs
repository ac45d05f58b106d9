//! `entropo.json`: what a verifier's folder says beyond the weights.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::LoadError;
use crate::backend::Layout;
use crate::calibration::Calibration;

/// The file's name, beside `config.json`.
pub const SETTINGS_FILE: &str = "entropo.json";

/// How a model wants to be read. Every field may be left out; a field that is not known is an error, because leaving
/// out what it means could change scores.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What it is called; the folder's name without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The layout it was trained on; without it `compact-v1` for a reward head and `judge-v1` for a language head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// The longest input in tokens; the model's number of positions without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// Of several labels the one that is the score; without it `success` where there is one, else the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// From logits to probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// False for weights that have learned nothing yet; true without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained: Option<bool>,
}

impl Settings {
    /// Reads the settings of a model's folder; all defaults where it has none.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        let path = dir.join(SETTINGS_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(LoadError::Io { path, error }),
        };
        serde_json::from_str(&text).map_err(|error| LoadError::Settings { path, reason: error.to_string() })
    }

    /// Writes the settings into a model's folder; the file appears when it is complete.
    pub fn save(&self, dir: &Path) -> Result<(), LoadError> {
        let path = dir.join(SETTINGS_FILE);
        let new = dir.join(format!("{SETTINGS_FILE}.new"));
        let text = serde_json::to_string_pretty(self).expect("settings are plain data with finite numbers");
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| LoadError::Io { path, error }
        };
        std::fs::write(&new, text + "\n").map_err(io(&new))?;
        std::fs::rename(&new, &path).map_err(io(&path))
    }

    /// The layout to use: the one that was asked for, the settings' own, or the usual one for the head.
    pub(super) fn layout(
        &self,
        dir: &Path,
        asked: Option<Layout>,
        usual: Layout,
    ) -> Result<Layout, LoadError> {
        let refused = |reason: String| LoadError::Settings { path: dir.join(SETTINGS_FILE), reason };
        let own: Option<Layout> = match &self.layout {
            Some(name) => Some(name.parse().map_err(|error| {
                refused(format!(
                    "field `layout`: {error}; the model needs a version of this program that knows it"
                ))
            })?),
            None => None,
        };
        match (own, asked) {
            (Some(own), Some(asked)) if own != asked => {
                Err(refused(format!("field `layout`: the model was made for {own}, not for {asked}")))
            }
            (own, asked) => Ok(own.or(asked).unwrap_or(usual)),
        }
    }
}
