//! The model card of a checkpoint.

use std::fmt::Write;

use super::checkpoint::State;
use crate::{config::RunConfig, run::Plan};

/// The card's text: what the model is, what it was made from, how, and how it did.
pub(crate) fn text(config: &RunConfig, plan: &Plan, state: &State) -> String {
    let kind = config.objective.kind.word();
    let library = if config.lora.is_some() { "peft" } else { "transformers" };
    let mut text = format!(
        "---\nlibrary_name: {library}\nbase_model: {}\ntags:\n- entropo\n- {kind}\n---\n\n",
        config.model.path.display()
    );
    let _ = write!(
        text,
        "# Step {} of a run with {kind}\n\nTrained by EntroPO from `{}`.\n\n| | |\n|---|---|\n",
        state.step,
        config.model.path.display()
    );
    let facts = [
        ("step", format!("{} of {}", state.step, plan.steps)),
        ("rows", plan.rows.to_string()),
        ("data (BLAKE3)", format!("`{}`", plan.data_hash)),
        ("configuration", format!("`{}`", state.identity)),
        ("trained tokens so far", state.trained_tokens.to_string()),
        ("parameters", format!("{} ({} trained)", plan.parameters, plan.trainable)),
    ];
    for (name, value) in facts {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    for (title, metrics) in [("Training", &state.metrics), ("Evaluation", &state.evaluation)] {
        if metrics.is_empty() {
            continue;
        }
        let _ = write!(text, "\n## {title}\n\n| metric | value |\n|---|---|\n");
        for (name, value) in metrics {
            let _ = writeln!(text, "| {name} | {value:.6} |");
        }
    }
    let _ = write!(text, "\n## Configuration\n\n```toml\n{}```\n", config.to_toml());
    text
}
