//! Learning a linear verifier.

use anyhow::{Context, Result};
use common::Candidate;
use rayon::prelude::*;
use verifier::linear::{FitOptions, Linear, PoolQuality, Sample, fit, measure};

use super::Args;
use crate::input::group::Issue;
use crate::input::labelled::{self, ReadPool};
use crate::output::atomic;
use crate::output::progress::{Progress, say};

/// Reads pools, learns, writes, and says what it is worth out of fold.
pub(super) fn run(args: &Args) -> Result<()> {
    let pools = labelled::read_issues(&args.pools, true)?;
    let issues = pools.iter().map(|pool| pool.issues.len()).sum();
    let progress = Progress::new("reading facts", issues, args.pools.quiet);
    let samples: Vec<Sample> = pools.iter().flat_map(|pool| of_pool(pool, &progress)).collect();
    progress.finish();
    let defaults = FitOptions::default();
    let options = FitOptions {
        l2: args.l2.unwrap_or(defaults.l2),
        folds: args.folds.unwrap_or(defaults.folds),
        ..defaults
    };
    let progress = Progress::new("fitting", 0, args.pools.quiet);
    let fitted = fit(&samples, &options).context("cannot fit")?;
    progress.finish();
    atomic::write(&args.output, |out| Ok(out.write_all(fitted.model.to_json().as_bytes())?))?;
    if !args.pools.quiet {
        let training = &fitted.model.training;
        say(&format!(
            "{} facts from {} candidates of {} issues, {} of them with a trajectory; out of fold:",
            fitted.model.facts.len(),
            training.candidates,
            training.issues,
            training.trajectories
        ));
        say(&table(&measure(&samples, &fitted)));
    }
    Ok(())
}

fn of_pool(pool: &ReadPool, progress: &Progress) -> Vec<Sample> {
    let of_issue = |(id, issue): (&String, &Issue)| {
        let text = issue.pool.issue.as_deref().unwrap_or_default();
        let sample = |candidate: Candidate| {
            let resolved = issue.details.get(&candidate.candidate_id)?.outcome.as_ref()?.resolved?;
            let mut trajectory = candidate.trajectory;
            trajectory.instance_id.clone_from(id);
            Some(Linear::sample(&pool.name, text, &trajectory, resolved))
        };
        let samples: Vec<Sample> = issue.whole().filter_map(sample).collect();
        progress.step();
        samples
    };
    pool.issues.par_iter().flat_map_iter(of_issue).collect()
}

fn table(rows: &[PoolQuality]) -> String {
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
    let mut lines = vec![
        "| pool | candidates | resolved | issues that disagree | AUC | AUC within an issue | ECE | Brier |"
            .to_owned(),
    ];
    lines.push("|---|---|---|---|---|---|---|---|".to_owned());
    lines.extend(rows.iter().map(|row| {
        format!(
            "| {} | {} | {:.1} % | {} | {} | {} | {:.3} | {:.3} |",
            row.pool,
            row.candidates,
            row.resolved,
            row.disagree,
            number(row.auc),
            number(row.auc_within),
            row.ece,
            row.brier
        )
    }));
    lines.join("\n")
}
