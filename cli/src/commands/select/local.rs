//! Selecting in this process.

use anyhow::{Context, Result};
use common::Selection;
use rayon::prelude::*;
use selector::{PolicyRequest, select_prepared};

use super::{Args, result};
use crate::input::gather::{self, Gathered};
use crate::input::group::Issue;
use crate::output::progress::Progress;

/// Reads, groups, selects, prints.
pub(super) fn run(args: &Args) -> Result<()> {
    let request = args.policy.request()?;
    let Gathered { issues, .. } =
        gather::from_paths(&args.paths, &args.evidence(), args.read.options(), args.read.quiet)?;
    let selections = select_all(&issues.values().collect::<Vec<_>>(), &request, args.read.quiet)?;
    result::show(args, &selections, &issues)
}

/// Selects for every issue, in parallel; the results are in the order of the issues.
pub(super) fn select_all(issues: &[&Issue], request: &PolicyRequest, quiet: bool) -> Result<Vec<Selection>> {
    let progress = Progress::new("selecting", issues.len(), quiet);
    let selections = issues
        .par_iter()
        .map(|issue| {
            let selection = select_prepared(&issue.pool, &issue.evidence, request)
                .with_context(|| format!("cannot select for {}", issue.pool.instance_id));
            progress.step();
            selection
        })
        .collect();
    progress.finish();
    selections
}
