//! Selecting through a running service, which also remembers candidates and selections.

use std::collections::BTreeMap;

use anyhow::Result;
use common::Selection;

use super::{Args, result};
use crate::input::gather::{self, Gathered};
use crate::input::group::Issue;
use crate::input::load::Options;
use crate::output::progress::Progress;
use crate::remote::{Client, SelectionRequest};

/// Reads and groups here, selects there, prints.
pub(super) fn run(args: &Args, url: &str) -> Result<()> {
    let client = Client::new(url, args.remote.token.as_deref())?.acting_for(&args.remote.tenant);
    let options = Options { whole: true, ..args.read.options() };
    let Gathered { mut issues, .. } =
        gather::from_paths(&args.paths, &args.evidence(), options, args.read.quiet)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let selections = runtime.block_on(select_all(&client, args, &mut issues))?;
    result::show(args, &selections, &issues)
}

async fn select_all(
    client: &Client,
    args: &Args,
    issues: &mut BTreeMap<String, Issue>,
) -> Result<Vec<Selection>> {
    let progress = Progress::new("selecting", issues.len(), args.read.quiet);
    let mut selections = Vec::with_capacity(issues.len());
    for issue in issues.values_mut() {
        let request = SelectionRequest::of(issue, args.policy.policy, args.policy.min_confidence);
        selections.push(client.select(&request).await?.selection);
        progress.step();
    }
    progress.finish();
    Ok(selections)
}
