//! Measures policies on labelled pools: the reference scorer's table, out of fold for the learned policy, with
//! calibration.

mod calibration;
mod issue;
mod python;
mod report;
mod table;

use std::sync::Arc;

use rand_xoshiro::{
    SplitMix64,
    rand_core::{RngCore as _, SeedableRng as _},
};
use rayon::prelude::*;

pub use self::{
    calibration::{Bin, Calibration, pass_at},
    issue::{LabelledIssue, LabelledPool},
    report::{PoolReport, Report},
    table::Row,
};
pub(crate) use issue::{mix, stable_hash};
use table::Line;

use crate::{
    evidence::SelectError,
    policy::{Policy, PolicyRequest},
    ranker::{Data, FitError, FitOptions, RankerModel},
    select::select_prepared,
};

/// How to measure.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// Folds of instances for the learned policy; each is picked by a model fit on the others. Below 2: the shipped
    /// or given model is used as it is, which flatters it on pools it was fit on.
    pub folds: usize,
    /// Draw this many candidates of each issue at random instead of taking all.
    pub sample: Option<usize>,
    /// How often to draw; the figures are means over the draws.
    pub seeds: u64,
    /// What to measure, in the order of the table.
    pub policies: Vec<Policy>,
    /// How the learned policy is fit.
    pub fit: FitOptions,
    /// Parameters of the learned policy when `folds` is below 2; `None` for those shipped.
    pub model: Option<Arc<RankerModel>>,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self {
            folds: 5,
            sample: None,
            seeds: 1,
            policies: Policy::ALL.to_vec(),
            fit: FitOptions::default(),
            model: None,
        }
    }
}

/// Why pools could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// An issue's candidates or evidence do not fit together.
    #[error("pool {pool}, issue {instance_id}: {source}")]
    Select {
        /// The pool.
        pool: String,
        /// The issue.
        instance_id: String,
        /// Why.
        source: SelectError,
    },
    /// The learned policy could not be fit.
    #[error(transparent)]
    Fit(#[from] FitError),
}

/// The fold of an issue: by a hash of its id, so that the same issue is in the same fold in every pool.
pub fn fold(instance_id: &str, folds: usize) -> usize {
    (stable_hash(instance_id) % folds.max(1) as u64) as usize
}

/// Measures the policies on every pool.
///
/// # Errors
///
/// Evidence that does not fit its candidates, or too little to fit the learned policy on.
pub fn evaluate(pools: &[LabelledPool], options: &EvalOptions) -> Result<Report, EvalError> {
    let learned = options.policies.contains(&Policy::Hybrid);
    let models: Vec<Option<Arc<RankerModel>>> = if learned && options.folds > 1 {
        let all: Vec<&LabelledIssue> = pools.iter().flat_map(|pool| &pool.issues).collect();
        let data = Data::of(&all, &options.fit)?;
        (0..options.folds)
            .map(|held_out| {
                let model = data.fit(&options.fit, |id| fold(id, options.folds) != held_out)?;
                Ok(Some(Arc::new(model)))
            })
            .collect::<Result<_, FitError>>()?
    } else {
        vec![options.model.clone()]
    };
    let reports = pools.iter().map(|pool| measure(pool, options, &models)).collect::<Result<Vec<_>, _>>()?;
    let picks: Vec<(f64, f64)> = reports.iter().flat_map(|(_, picks)| picks.iter().copied()).collect();
    Ok(Report {
        folds: options.folds,
        sample: options.sample,
        seeds: options.seeds,
        pools: reports.into_iter().map(|(report, _)| report).collect(),
        calibration: (!picks.is_empty()).then(|| Calibration::of(&picks)),
    })
}

type Picks = Vec<(f64, f64)>;

fn measure(
    pool: &LabelledPool,
    options: &EvalOptions,
    models: &[Option<Arc<RankerModel>>],
) -> Result<(PoolReport, Picks), EvalError> {
    let measured: Vec<(Line, Picks)> = pool
        .issues
        .par_iter()
        .map(|issue| {
            let failed = |source| EvalError::Select {
                pool: pool.name.clone(),
                instance_id: issue.pool.instance_id.clone(),
                source,
            };
            let model = models.get(fold(&issue.pool.instance_id, models.len())).cloned().flatten();
            issue_lines(issue, options, model.as_ref()).map_err(failed)
        })
        .collect::<Result<_, _>>()?;
    let lines: Vec<Line> = measured.iter().map(|(line, _)| line.clone()).collect();
    let names: Vec<&str> = options.policies.iter().map(|policy| policy.name()).collect();
    let candidates = pool.issues.iter().map(|issue| issue.resolved.len()).sum();
    let picks: Picks = measured.into_iter().flat_map(|(_, picks)| picks).collect();
    let report = PoolReport {
        name: pool.name.clone(),
        instances: lines.len(),
        candidates,
        disagree: lines.iter().filter(|line| line.oracle > 0.0 && line.random < 1.0).count(),
        rows: table::rows(&lines, &names),
        oracle_at: report::oracle_at(&pool.issues),
        calibration: (!picks.is_empty()).then(|| Calibration::of(&picks)),
    };
    Ok((report, picks))
}

/// What an issue is worth to every selector, averaged over draws of its candidates.
fn issue_lines(
    issue: &LabelledIssue,
    options: &EvalOptions,
    model: Option<&Arc<RankerModel>>,
) -> Result<(Line, Picks), SelectError> {
    let size = issue.resolved.len();
    let drawn: Vec<Option<Vec<usize>>> = match options.sample {
        Some(sample) if sample < size => (0..options.seeds.max(1))
            .map(|seed| Some(draw(size, sample, stable_hash(&issue.pool.instance_id) ^ mix(seed))))
            .collect(),
        _ => vec![None],
    };
    let (mut lines, mut picks) = (Vec::with_capacity(drawn.len()), Picks::new());
    for keep in drawn {
        let part = keep.map(|keep| issue.subset(&keep));
        let issue = part.as_ref().unwrap_or(issue);
        let mut line = Line::of(issue);
        for &policy in &options.policies {
            let request = PolicyRequest {
                policy,
                model: model.cloned().filter(|_| policy == Policy::Hybrid),
                ..PolicyRequest::default()
            };
            let selection = select_prepared(&issue.pool, &issue.evidence, &request)?;
            let chosen = selection.chosen.and_then(|id| {
                issue.pool.candidates.iter().position(|candidate| candidate.candidate_id == id)
            });
            let worth = f64::from(u8::from(chosen.is_some_and(|at| issue.is_resolved(at))));
            line.picked.push(worth);
            // A pick without a label says nothing about the confidence in it.
            if let Some(confidence) = selection.confidence
                && chosen.is_some_and(|at| issue.resolved[at].is_some())
            {
                picks.push((confidence, worth));
            }
        }
        lines.push(line);
    }
    // With one draw an issue, the mean is the draw itself.
    let line = Line::mean(&lines).unwrap_or_else(|| Line::of(issue));
    Ok((line, picks))
}

/// `count` of `size` positions without repetition, in a random order that depends on the seed alone.
pub(crate) fn draw(size: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..size).collect();
    // The first number is left out.
    let mut random = SplitMix64::seed_from_u64(seed);
    random.next_u64();
    for at in 0..count.min(size) {
        let other = at + (random.next_u64() % (size - at) as u64) as usize;
        positions.swap(at, other);
    }
    positions.truncate(count);
    positions
}
