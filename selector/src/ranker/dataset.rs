//! Labelled issues as feature matrices: every issue whole, and drawn down to smaller pools.

use rayon::prelude::*;

use super::calibrate;
use super::features::{Columns, Feature, Part};
use crate::{
    agreement::Agreement,
    eval::{LabelledIssue, draw, mix, stable_hash},
    evidence::{self, SelectError},
    policies::{Context, nonempty},
    test_evidence::TestEvidence,
};

/// One pool to learn from.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// The issue.
    pub(crate) instance_id: String,
    /// How many candidates have a non-empty patch.
    pub(crate) size: usize,
    /// By feature.
    pub(crate) parts: Vec<Part>,
    /// Features of the pool.
    pub(crate) pool: Vec<(&'static str, f64)>,
    /// Whether it is an issue's whole pool, not a draw from it.
    pub(crate) whole: bool,
    /// Labels, by candidate with a non-empty patch; those without one are left out of the loss.
    pub(crate) labels: Vec<Option<bool>>,
    /// All draws of one issue weigh as much as one issue.
    pub(crate) weight: f64,
}

/// How to draw smaller pools from large ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws {
    /// Draws of sixteen.
    pub(crate) of_sixteen: usize,
    /// Draws of a random size.
    pub(crate) of_any: usize,
}

/// Builds the groups of every issue, in the order given.
pub(crate) fn groups(
    issues: &[&LabelledIssue],
    features: &[Feature<'_>],
    draws: Draws,
) -> Result<Vec<Group>, (String, SelectError)> {
    let groups: Vec<Vec<Group>> = issues
        .par_iter()
        .map(|issue| {
            of_issue(issue, features, draws).map_err(|error| (issue.pool.instance_id.clone(), error))
        })
        .collect::<Result<_, _>>()?;
    Ok(groups.into_iter().flatten().collect())
}

fn of_issue(
    issue: &LabelledIssue,
    features: &[Feature<'_>],
    draws: Draws,
) -> Result<Vec<Group>, SelectError> {
    let size = issue.resolved.len();
    let seed = stable_hash(&issue.pool.instance_id);
    let mut parts: Vec<Option<Vec<usize>>> = vec![None];
    if size > 16 {
        parts.extend((0..draws.of_sixteen).map(|at| Some(draw(size, 16, seed ^ mix(at as u64)))));
    }
    if size > 3 {
        parts.extend((0..draws.of_any).map(|at| {
            let seed = seed ^ mix(1_000 + at as u64);
            // Sizes uniform on a logarithmic scale from 2 to all.
            let share = (mix(seed) >> 11) as f64 / (1_u64 << 53) as f64;
            let count = (2.0 * (size as f64 / 2.0).powf(share)).round() as usize;
            Some(draw(size, count, seed))
        }));
    }
    // What counts is picking among a few; the whole of a large pool and odd sizes have a say.
    let sampled = if size > 16 { draws.of_sixteen } else { 0 };
    let weight = |at: usize| match at {
        0 if sampled > 0 => 0.3,
        0 => 1.0,
        at if at <= sampled => 1.0 / sampled as f64,
        _ => 0.3 / draws.of_any as f64,
    };
    parts
        .into_iter()
        .enumerate()
        .map(|(at, keep)| match keep {
            None => of_pool(issue, features, true, weight(at)),
            Some(keep) => of_pool(&issue.subset(&keep), features, false, weight(at)),
        })
        .collect()
}

fn of_pool(
    issue: &LabelledIssue,
    features: &[Feature<'_>],
    whole: bool,
    weight: f64,
) -> Result<Group, SelectError> {
    let pool = &issue.pool;
    let index = evidence::index(pool)?;
    evidence::check(pool, &index, &issue.evidence)?;
    let agreement = Agreement::of(pool);
    let tests = TestEvidence::of(pool, &index, &issue.evidence);
    let verifier = evidence::verifier(&index, &issue.evidence);
    let context = Context { pool, agreement: &agreement, tests: &tests, verifier: &verifier, model: None };
    let of = nonempty(pool);
    let columns = Columns::new(&context, &of);
    Ok(Group {
        instance_id: pool.instance_id.clone(),
        size: of.len(),
        parts: features.iter().map(|feature| feature.part(&columns)).collect(),
        pool: calibrate::pool_inputs(&columns),
        labels: of.iter().map(|&at| issue.resolved[at]).collect(),
        whole,
        weight,
    })
}

impl Group {
    /// Whether some candidates resolve and some do not: only then is there something to learn.
    pub(crate) fn is_mixed(&self) -> bool {
        self.labels.contains(&Some(true)) && self.labels.contains(&Some(false))
    }
}
