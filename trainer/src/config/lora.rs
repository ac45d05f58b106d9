//! `[lora]`.

use serde::{Deserialize, Serialize};

use super::FieldProblem;

/// `[lora]`: low-rank adapters on linear layers, in PEFT's layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the adapters. Default 16.
    #[serde(alias = "r", alias = "lora_r")]
    pub rank: usize,
    /// The update is scaled by alpha / rank. Default 32.
    #[serde(alias = "lora_alpha")]
    pub alpha: f64,
    /// Share of an adapter's inputs that is dropped while training. Default 0.
    #[serde(alias = "lora_dropout")]
    pub dropout: f64,
    /// Last parts of the names of the layers that get adapters. Default: every linear layer of attention and of the
    /// feed-forward part.
    #[serde(alias = "target_modules", alias = "lora_target_modules")]
    pub targets: Vec<String>,
    /// Scale by alpha / √rank instead (rsLoRA, arXiv 2312.03732). Default false.
    #[serde(alias = "use_rslora")]
    pub rslora: bool,
    /// Layers that are trained whole and saved with the adapters. Only `score` can be, the head of a verifier, which
    /// always is: the field is for configurations that name it. Default: none.
    pub modules_to_save: Vec<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        let names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
        Self {
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            targets: names.map(str::to_owned).to_vec(),
            rslora: false,
            modules_to_save: Vec::new(),
        }
    }
}

impl LoraConfig {
    /// What the product of the adapters is multiplied by.
    pub fn scale(&self) -> f64 {
        let rank = self.rank.max(1) as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }

    pub(super) fn check(&self, problems: &mut Vec<FieldProblem>) {
        let Self { rank, alpha, dropout, .. } = *self;
        FieldProblem::unless(rank > 0, "lora.rank", rank, "at least 1", problems);
        FieldProblem::unless(alpha > 0.0, "lora.alpha", alpha, "positive", problems);
        FieldProblem::unless((0.0..1.0).contains(&dropout), "lora.dropout", dropout, "in [0, 1)", problems);
        if let Some(other) = self.modules_to_save.iter().find(|name| *name != "score") {
            let message = format!("names `{other}`, but only `score` can be trained whole beside adapters");
            problems.push(FieldProblem::new("lora.modules_to_save", message));
        }
        if self.targets.is_empty() {
            problems.push(FieldProblem::new("lora.targets", "names no layer"));
        }
    }
}
