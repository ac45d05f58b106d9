//! Learning the ranker from labelled pools. Deterministic: the same pools in the same order give the same model.

use super::{
    calibrate::Calibrator,
    dataset::{self, Draws, Group},
    features::Feature,
    listwise,
    model::{RankerModel, Training, Weight},
};
use crate::{
    eval::{LabelledIssue, fold},
    evidence::SelectError,
};

/// How to fit.
#[derive(Debug, Clone)]
pub struct FitOptions {
    /// Names of the features to weigh; see the module of features for what there is.
    pub features: Vec<String>,
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
        Self {
            features: FEATURES.map(str::to_owned).to_vec(),
            l2: 10.0,
            folds: 5,
            draws_of_sixteen: 4,
            draws_of_any: 2,
        }
    }
}

/// The features of the default model, found by forward selection under cross-validation by instance.
const FEATURES: [&str; 26] = [
    "c:m_chg",
    "c:x_near",
    "k:mr_atriP",
    "c:m_leq",
    "c:l_pr",
    "c:l_nsrc",
    "k:comratio",
    "c:m_near",
    "k:f_k_true",
    "c:l_remdefs",
    "k:l_hunks",
    "q:m_filesP",
    "c:l_imps",
    "c:l_defs",
    "k:mr_nearP",
    "in:c:l_newsrc",
    "in:c:m_line",
    "ie:q:l_A",
    "c:x_ident",
    "c:l_maxind",
    "in:c:m_files",
    "c:l_ncfg",
    "q:l_addscr",
    "in:c:nv_tri",
    "in:k:l_nsrc",
    "in:k:l_files",
];

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
    /// A feature that does not exist.
    #[error("no feature is called `{0}`")]
    UnknownFeature(String),
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

/// Features that many fits share.
#[derive(Debug)]
pub(crate) struct Data {
    groups: Vec<Group>,
}

fn parse(names: &[String]) -> Result<Vec<Feature<'_>>, FitError> {
    names
        .iter()
        .map(|name| Feature::parse(name).ok_or_else(|| FitError::UnknownFeature(name.clone())))
        .collect()
}

impl Data {
    /// Computes the features of every issue.
    pub(crate) fn of(issues: &[&LabelledIssue], options: &FitOptions) -> Result<Self, FitError> {
        let draws = Draws { of_sixteen: options.draws_of_sixteen, of_any: options.draws_of_any };
        let groups = dataset::groups(issues, &parse(&options.features)?, draws)
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
            self.groups.iter().filter(|group| keep(&group.instance_id) && group.size > 0).collect();
        if !groups.iter().any(|group| group.is_mixed()) {
            return Err(FitError::NothingToLearn { issues: groups.len() });
        }
        let scales = scales(&groups, &parse(&options.features)?);
        let weights = listwise::fit(&groups, &scales, options.l2);
        let mut model = RankerModel::new(
            options
                .features
                .iter()
                .zip(weights.iter().zip(&scales))
                .map(|(name, (&weight, &scale))| Weight { name: name.clone(), weight, scale })
                .collect(),
        );
        let folds = options.folds.max(2);
        let mut scored: Vec<(&Group, Vec<f64>)> = Vec::with_capacity(groups.len());
        for held_out in 0..folds {
            let (inside, outside): (Vec<&Group>, Vec<&Group>) =
                groups.iter().partition(|group| calibration_fold(&group.instance_id, folds) == held_out);
            let weights = listwise::fit(&outside, &scales, options.l2);
            scored
                .extend(inside.into_iter().map(|group| (group, listwise::scores(group, &scales, &weights))));
        }
        model.calibration = Calibrator::fit(&scored);
        model.training = Training {
            issues: groups.iter().map(|group| group.weight).sum::<f64>().round() as u64,
            disagreeing: groups.iter().filter(|g| g.is_mixed()).map(|g| g.weight).sum::<f64>().round() as u64,
            groups: groups.len() as u64,
            l2: options.l2,
            folds: folds as u64,
        };
        Ok(model.named())
    }
}

/// Other folds than the evaluation's, so that calibration inside a fold still spreads over all of its own.
fn calibration_fold(instance_id: &str, folds: usize) -> usize {
    fold(&format!("calibration {instance_id}"), folds)
}

/// The root mean square over candidates of each feature that is scaled.
fn scales(groups: &[&Group], features: &[Feature<'_>]) -> Vec<Option<f64>> {
    let spread = |at: usize| {
        let (mut sum, mut count) = (0.0, 0.0);
        for group in groups.iter().filter(|group| group.is_mixed()) {
            let weight = group.weight / group.size as f64;
            sum += weight * group.parts[at].values.iter().map(|value| value * value).sum::<f64>();
            count += group.weight;
        }
        let scale = (sum / count).sqrt();
        // A feature that never varies has nothing to be scaled by; any divisor will do.
        if scale > 1e-9 { scale } else { 1.0 }
    };
    features.iter().enumerate().map(|(at, feature)| feature.has_scale().then(|| spread(at))).collect()
}
