//! Selecting in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use common::Selection;
use rayon::prelude::*;
use selector::http::Scorer;
use selector::{PolicyRequest, select_prepared};

use super::{Args, result};
use crate::input::gather::{self, Gathered};
use crate::input::group::Issue;
use crate::input::load::Options;
use crate::output::progress::Progress;
use crate::verifiers;

/// Reads, groups, scores, selects, prints.
pub(super) fn run(args: &Args) -> Result<()> {
    let request = args.policy.request()?;
    let scorer = scorer(args)?;
    let options = Options { whole: scorer.is_some(), ..args.read.options() };
    let Gathered { mut issues, .. } =
        gather::from_paths(&args.paths, &args.evidence(), options, args.read.quiet)?;
    let selections = select_all(&mut issues, scorer.as_ref(), &request, args.read.quiet)?;
    result::show(args, &selections, &issues)
}

/// The verifier to ask, where the policy wants one.
pub(super) fn scorer(args: &Args) -> Result<Option<Arc<dyn Scorer>>> {
    if args.policy.policy.describe().wants.contains(&"verifier") { args.verifier.open() } else { Ok(None) }
}

/// Scores, then selects for every issue, in parallel; the results are in the order of the issues.
pub(super) fn select_all(
    issues: &mut BTreeMap<String, Issue>,
    scorer: Option<&Arc<dyn Scorer>>,
    request: &PolicyRequest,
    quiet: bool,
) -> Result<Vec<Selection>> {
    let notes = match scorer {
        Some(scorer) => verifiers::score_all(issues, scorer, quiet)?,
        None => BTreeMap::new(),
    };
    let progress = Progress::new("selecting", issues.len(), quiet);
    let selections = issues
        .par_iter()
        .map(|(id, issue)| {
            let mut selection = select_prepared(&issue.pool, &issue.evidence, request)
                .with_context(|| format!("cannot select for {id}"))?;
            if let Some(notes) = notes.get(id) {
                // They say more than what selection itself can say of missing scores.
                selection.degraded.retain(|degraded| degraded.evidence != "verifier");
                selection.degraded.extend(notes.iter().cloned());
            }
            progress.step();
            Ok(selection)
        })
        .collect();
    progress.finish();
    selections
}
