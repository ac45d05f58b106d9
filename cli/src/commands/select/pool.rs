//! Picking for a whole pool: one line an issue.

use std::path::Path;

use anyhow::Result;
use common::Selection;
use serde::Serialize;

use super::{Args, local, result};
use crate::input::gather::{self, PoolFiles};
use crate::input::load::Options;
use crate::output::{atomic, preds};

/// One line of the picks file.
#[derive(Debug, PartialEq, Serialize)]
struct Pick<'a> {
    instance_id: &'a str,
    candidate_id: Option<&'a str>,
    probability: Option<f64>,
}

/// Reads the pool, selects, writes the picks.
pub(super) fn run(args: &Args, pool: &Path, picks: &Path) -> Result<()> {
    let request = args.policy.request()?;
    let scorer = local::scorer(args)?;
    let options = Options { whole: scorer.is_some(), ..args.read.options() };
    let files = PoolFiles { pool, evidence: args.evidence() };
    let pools = gather::from_pools(&[files], args.trajectories.as_deref(), options, args.read.quiet)?;
    let mut issues = pools.into_iter().next().unwrap_or_default();
    let selections = local::select_all(&mut issues, scorer.as_ref(), &request, args.read.quiet)?;
    atomic::write(picks, |out| {
        for selection in &selections {
            serde_json::to_writer(&mut *out, &pick(selection))?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })?;
    if let Some(path) = &args.preds {
        preds::write(path, &result::predictions(&selections, &issues))?;
    }
    Ok(())
}

fn pick(selection: &Selection) -> Pick<'_> {
    Pick {
        instance_id: &selection.instance_id,
        candidate_id: selection.chosen.as_deref(),
        probability: selection.confidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_picked_is_null() {
        let selection = Selection {
            instance_id: "a__b-1".into(),
            policy: "hybrid".into(),
            model: None,
            chosen: None,
            confidence: Some(0.2),
            abstained: true,
            verifiers: Vec::new(),
            degraded: Vec::new(),
            candidates: Vec::new(),
        };
        let line = serde_json::to_string(&pick(&selection)).unwrap();
        assert_eq!(line, r#"{"instance_id":"a__b-1","candidate_id":null,"probability":0.2}"#);
    }
}
