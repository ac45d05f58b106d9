//! Learning the ranker from labelled pools. Deterministic: the same pools in the same order give the same model.

use super::{
    calibrate::Calibrator,
    dataset::{self, Draws, Group},
    listwise,
    model::{Feature, RankerModel, Training},
};
use crate::{
    eval::{LabelledIssue, fold},
    evidence::SelectError,
};

/// How to fit.
#[derive(Debug, Clone)]
pub struct FitOptions {
    /// Penalty on half the squared weights of standardised features.
    pub l2: f64,
    /// Folds of instances whose out-of-fold scores the probabilities are calibrated on.
    pub folds: usize,
    /// Draws of sixteen candidates from each larger pool, beside the whole.
    pub draws_of_sixteen: usize,
    /// Draws of a random number of candidates from each pool, beside the whole.
    pub draws_of_any: usize,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { l2: 30.0, folds: 5, draws_of_sixteen: 4, draws_of_any: 2 }
    }
}

/// Why nothing could be learned.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// An issue's candidates or evidence do not fit together.
    #[error("issue {instance_id}: {source}")]
    Select {
        /// The issue.
        instance_id: String,
        /// Why.
        source: SelectError,
    },
    /// No issue has both candidates that resolve it and candidates that do not.
    #[error(
        "{issues} issues were given and in none of them do labelled candidates disagree; there is nothing to learn"
    )]
    NothingToLearn {
        /// Issues given.
        issues: usize,
    },
}

/// Learns the ranker's weights and calibration.
///
/// # Errors
///
/// Evidence that does not fit its candidates, or no issue whose candidates disagree.
pub fn fit<'a>(
    issues: impl IntoIterator<Item = &'a LabelledIssue>,
    options: &FitOptions,
) -> Result<RankerModel, FitError> {
    let issues: Vec<&LabelledIssue> = issues.into_iter().collect();
    let data = Data::of(&issues, options)?;
    data.fit(options, |_| true)
}

/// Feature matrices that many fits share.
#[derive(Debug)]
pub(crate) struct Data {
    groups: Vec<Group>,
}

impl Data {
    /// Computes the features of every issue.
    pub(crate) fn of(issues: &[&LabelledIssue], options: &FitOptions) -> Result<Self, FitError> {
        let draws = Draws { of_sixteen: options.draws_of_sixteen, of_any: options.draws_of_any };
        let groups = dataset::groups(issues, draws)
            .map_err(|(instance_id, source)| FitError::Select { instance_id, source })?;
        Ok(Self { groups })
    }

    /// Fits to the issues whose id passes the test.
    pub(crate) fn fit(
        &self,
        options: &FitOptions,
        keep: impl Fn(&str) -> bool,
    ) -> Result<RankerModel, FitError> {
        let groups: Vec<&Group> =
            self.groups.iter().filter(|group| keep(&group.instance_id) && !group.rows.is_empty()).collect();
        let Some(first) = groups.iter().find(|group| group.is_mixed()) else {
            return Err(FitError::NothingToLearn { issues: groups.len() });
        };
        let names = first.names.clone();
        let scales = scales(&groups, names.len());
        let weights = listwise::fit(&groups, &scales, options.l2);
        let mut model = RankerModel::new(
            names
                .iter()
                .zip(weights.iter().zip(&scales))
                .map(|(name, (&weight, &scale))| Feature { name: (*name).to_owned(), weight, scale })
                .collect(),
        );
        let mut scored: Vec<(&Group, Vec<f64>)> = Vec::with_capacity(groups.len());
        for held_out in 0..options.folds.max(2) {
            let (inside, outside): (Vec<&Group>, Vec<&Group>) = groups
                .iter()
                .partition(|group| calibration_fold(&group.instance_id, options.folds.max(2)) == held_out);
            let weights = listwise::fit(&outside, &scales, options.l2);
            let score =
                |row: &Vec<f64>| row.iter().zip(&scales).zip(&weights).map(|((x, s), w)| x / s * w).sum();
            scored.extend(inside.into_iter().map(|group| (group, group.rows.iter().map(score).collect())));
        }
        model.calibration = Calibrator::fit(&scored);
        model.training = Training {
            issues: groups.iter().map(|group| group.weight).sum::<f64>().round() as u64,
            disagreeing: groups.iter().filter(|g| g.is_mixed()).map(|g| g.weight).sum::<f64>().round() as u64,
            groups: groups.len() as u64,
            l2: options.l2,
            folds: options.folds as u64,
        };
        Ok(model.named())
    }
}

/// Other folds than the evaluation's, so that calibration inside a fold still spreads over all of its own.
fn calibration_fold(instance_id: &str, folds: usize) -> usize {
    fold(&format!("calibration {instance_id}"), folds)
}

/// The root mean square of each centred feature over candidates.
fn scales(groups: &[&Group], features: usize) -> Vec<f64> {
    let mut sums = vec![0.0; features];
    let mut count = 0.0;
    for group in groups.iter().filter(|group| group.is_mixed()) {
        let weight = group.weight / group.rows.len() as f64;
        for row in &group.rows {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += weight * value * value;
            }
            count += weight;
        }
    }
    // A feature that never varies has nothing to be scaled by; any divisor will do.
    sums.into_iter()
        .map(|sum| (sum / count).sqrt())
        .map(|scale| if scale > 1e-9 { scale } else { 1.0 })
        .collect()
}
