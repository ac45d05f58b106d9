//! What `entropo select` prints and writes, wherever the selection was made.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use common::Selection;

use super::Args;
use crate::input::group::Issue;
use crate::output::preds::{self, Prediction};
use crate::output::table::{self, Facts, Look};

/// Prints selections as tables or JSON, and writes the winners.
pub(super) fn show(args: &Args, selections: &[Selection], issues: &BTreeMap<String, Issue>) -> Result<()> {
    if let Some(path) = &args.preds {
        preds::write(path, &predictions(selections, issues))?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, selections)?;
        writeln!(out)?;
        return Ok(());
    }
    for selection in selections {
        let details = &issues[&selection.instance_id].details;
        let facts = |id: &str| Facts { steps: details.get(id).and_then(|details| details.steps) };
        writeln!(out, "{}", table::selection(selection, facts, Look::of_stdout()))?;
    }
    Ok(())
}

/// The winners; an issue for which nothing was picked gets an empty patch, so that the harness counts it.
pub(super) fn predictions(selections: &[Selection], issues: &BTreeMap<String, Issue>) -> Vec<Prediction> {
    let patch = |selection: &Selection| {
        let chosen = selection.chosen.as_deref()?;
        let mut candidates = issues.get(&selection.instance_id)?.pool.candidates.iter();
        candidates.find(|candidate| candidate.candidate_id == chosen).map(|candidate| candidate.patch.clone())
    };
    selections
        .iter()
        .map(|selection| {
            Prediction::new(&selection.instance_id, &selection.policy, &patch(selection).unwrap_or_default())
        })
        .collect()
}
