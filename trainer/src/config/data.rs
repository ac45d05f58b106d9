//! `[data]`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use verifier::Layout;

use super::FieldProblem;
use crate::data::{EncodeRules, Mask, OverLong};

/// `[data]`: what is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Files of rows, in the formats that `entropo data` writes and reads. One name or a list. No default.
    #[serde(deserialize_with = "one_or_many")]
    pub train: Vec<PathBuf>,
    /// Files of rows to evaluate on. Default: none.
    #[serde(default, deserialize_with = "one_or_many")]
    pub eval: Vec<PathBuf>,
    /// Which tokens carry a loss: `policy` (what the policy wrote, the default) or `completion` (everything after the
    /// prompt, as TRL does).
    #[serde(default)]
    pub mask: Mask,
    /// The longest sequence in tokens, prompt included. Default 18,000.
    #[serde(default = "max_tokens", alias = "max_length")]
    pub max_tokens: usize,
    /// Rows with a longer prompt, in tokens, are dropped. Default: no limit of its own.
    #[serde(default, alias = "max_prompt_length")]
    pub max_prompt_tokens: Option<usize>,
    /// What happens to a longer row: `condense` (the default), `drop`, `head-tail` or `cut-right`.
    #[serde(default)]
    pub over_long: OverLong,
    /// Refuse rows in which a turn is rendered differently once others follow. Default false.
    #[serde(default)]
    pub refuse_unstable: bool,
    /// How candidates are laid out for a verifier: `compact-v1` or `judge-v1`. Default: what the model's `entropo.json`
    /// names, else `compact-v1`.
    #[serde(default)]
    pub layout: Option<Layout>,
    /// `shuffled` (the default: anew in every epoch, by the seed) or `fixed`: the order of the files in every epoch.
    #[serde(default, alias = "train_sampling_strategy")]
    pub order: RowOrder,
    /// Of the shuffling. Default: that of `[training]`.
    #[serde(default, alias = "data_seed")]
    pub seed: Option<u64>,
}

fn max_tokens() -> usize {
    EncodeRules::default().max_tokens
}

/// In which order rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowOrder {
    /// Shuffled anew in every epoch.
    #[default]
    #[serde(alias = "random")]
    Shuffled,
    /// As the files have them, in the order in which the files are named: batches are reproducible elsewhere.
    #[serde(alias = "sequential")]
    Fixed,
}

impl DataConfig {
    /// How rows become tokens.
    pub fn encode_rules(&self) -> EncodeRules {
        EncodeRules {
            mask: self.mask,
            max_tokens: self.max_tokens,
            over_long: self.over_long,
            refuse_unstable: self.refuse_unstable,
            max_prompt_tokens: self.max_prompt_tokens,
            layout: self.layout,
        }
    }

    pub(super) fn check(&self, problems: &mut Vec<FieldProblem>) {
        if self.train.is_empty() {
            problems.push(FieldProblem::new("data.train", "names no file"));
        }
        FieldProblem::unless(self.max_tokens >= 2, "data.max_tokens", self.max_tokens, "2 or more", problems);
        if let Some(limit) = self.max_prompt_tokens {
            let fits = (1..self.max_tokens).contains(&limit);
            let expected = "at least 1 and less than data.max_tokens";
            FieldProblem::unless(fits, "data.max_prompt_tokens", limit, expected, problems);
        }
    }
}

/// A name, or a list of names.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a file name or a list of file names")]
    enum Names {
        One(PathBuf),
        Many(Vec<PathBuf>),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}
