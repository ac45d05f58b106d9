//! Scores for labelled pools, to measure and to fit with.

use anyhow::{Context, Result};
use common::score::BeyondFacts;
use common::{Candidate, VerifierScore};
use rayon::prelude::*;
use selector::eval::LabelledPool;
use verifier::linear::Linear;
use verifier::{Backend as _, Example, PrepareOptions};

use super::{named, score_all};
use crate::input::group::Issue;
use crate::input::labelled::{self, PoolArgs, ReadPool};
use crate::output::progress::{Progress, say};

/// The name of the verifier that comes with the program.
pub(super) const BUILT_IN: &str = "builtin";

/// Reads labelled pools and scores their candidates with a verifier, where one is named.
///
/// With `out_of_fold`, issues that the built-in verifier was fit on are scored by its member that has not seen them.
pub fn scored(args: &PoolArgs, verifier: Option<&str>, out_of_fold: bool) -> Result<Vec<LabelledPool>> {
    let Some(verifier) = verifier else { return labelled::read(args) };
    let mut pools = labelled::read_issues(args, true)?;
    if verifier == BUILT_IN {
        built_in(&mut pools, out_of_fold, args.quiet)?;
    } else {
        let scorer = named(verifier, None)?;
        for pool in &mut pools {
            let notes = score_all(&mut pool.issues, &scorer, args.quiet)?;
            if let (Some((issue, lines)), false) = (notes.iter().next(), args.quiet) {
                let first = lines.first().map_or("", |line| line.detail.as_str());
                say(&format!(
                    "{}: {} issues lack scores, the first: {issue}: {first}",
                    pool.name,
                    notes.len()
                ));
            }
        }
    }
    pools.into_iter().map(labelled::finish).collect()
}

fn built_in(pools: &mut [ReadPool], out_of_fold: bool, quiet: bool) -> Result<()> {
    let model = Linear::built_in();
    let issues: usize = pools.iter().map(|pool| pool.issues.len()).sum();
    let seen =
        pools.iter().flat_map(|pool| pool.issues.keys()).filter(|id| model.model().has_seen(id)).count();
    if seen > 0 && !quiet {
        let how = if out_of_fold {
            "each is scored by the member that has not seen it"
        } else {
            "its scores flatter it there; --folds 5 scores them out of fold"
        };
        say(&format!("the built-in verifier was fit on {seen} of {issues} issues: {how}"));
    }
    let progress = Progress::new("scoring", issues, quiet);
    for pool in pools {
        pool.issues.par_iter_mut().try_for_each(|(id, issue)| {
            let unseen = out_of_fold && model.model().has_seen(id);
            let scores = of_issue(&if unseen { model.unseen(id) } else { model.clone() }, issue);
            progress.step();
            issue.evidence.scores.extend(scores.with_context(|| format!("cannot score {id}"))?);
            Ok::<(), anyhow::Error>(())
        })?;
    }
    progress.finish();
    Ok(())
}

fn of_issue(model: &Linear, issue: &Issue) -> Result<Vec<VerifierScore>> {
    let text = issue.pool.issue.clone().unwrap_or_default();
    let of = |candidate: Candidate| {
        let example = Example { issue: text.clone(), candidate: candidate.into() };
        let prepared = model.prepare(&example, PrepareOptions { max_tokens: None, condense: true })?;
        let score = model.score_one(&prepared)?;
        Ok(VerifierScore {
            candidate_id: example.candidate.candidate_id.clone(),
            probability: score.logit.map(|logit| model.probability(logit).value),
            logit: score.logit,
            spread: score.spread,
            revision: model.info().revision.clone(),
        })
    };
    // Some are left to the ranker, as when selecting.
    let candidates: Vec<Candidate> = issue.whole().collect();
    let beyond = BeyondFacts::of(&candidates);
    candidates.into_iter().filter(|candidate| beyond.reason(candidate).is_none()).map(of).collect()
}
