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
            l2: 3.0,
            folds: 5,
            draws_of_sixteen: 6,
            draws_of_any: 3,
        }
    }
}

/// The features of the default model. Those of the patch were found by forward and backward selection under
/// cross-validation by instance; evidence comes after them, and last what a verifier's word takes the place of.
const FEATURES: [&str; 50] = [
    "c:x_near",
    "k:mr_atriP",
    "c:m_leq",
    "c:m_nline",
    "c:m_ntoken",
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
    "c:l_newsrc",
    "ie:q:l_A",
    "c:x_ident",
    "c:l_maxind",
    "c:l_ncfg",
    "q:l_addscr",
    "c:nv_tri",
    "c:l_addscr",
    "c:l_broken",
    "c:off_base",
    "c:t_run_passed",
    "c:t_run_failed",
    "c:t_late_errors",
    "c:t_failed_edits",
    "c:e_regression",
    "c:e_reproduction",
    "c:e_generated",
    "c:e_tampered",
    "c:v_logit",
    "k:v_logit",
    "iv:c:x_near",
    "iv:k:mr_atriP",
    "iv:c:m_ntoken",
    "iv:c:l_nsrc",
    "iv:k:comratio",
    "iv:k:l_hunks",
    "iv:c:l_newsrc",
    "iv:q:l_addscr",
    "iv:c:l_addscr",
    "iv:c:l_hunks",
    "iv:c:t_run_passed",
    "iv:c:t_run_failed",
    "iv:c:t_late_errors",
    "iv:c:t_failed_edits",
];

/// What a weight is before any pool speaks for or against it: evidence that the public pools hardly have is believed
/// all the same, in the direction that it must mean.
fn prior(feature: &str) -> f64 {
    match feature {
        "c:e_regression" | "k:v_logit" => 0.4,
        "c:e_reproduction" => 0.5,
        "c:e_generated" => 0.1,
        "c:e_tampered" => -0.2,
        "c:v_logit" => 0.8,
        _ => 0.0,
    }
}

/// The scale of a feature that no pool knows.
fn default_scale(feature: &str) -> f64 {
    match feature {
        "c:v_logit" => 1.5,
        "c:e_regression" | "c:e_reproduction" | "c:e_generated" | "c:e_tampered" => 0.5,
        _ => 1.0,
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
        let scales = scales(&groups, options)?;
        let priors: Vec<f64> = options.features.iter().map(|name| prior(name)).collect();
        let late: Vec<bool> = options.features.iter().map(|name| needs_verifier(name)).collect();
        let weights = listwise::fit(&groups, &scales, &priors, &late, options.l2);
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
            let weights = listwise::fit(&outside, &scales, &priors, &late, options.l2);
            scored
                .extend(inside.into_iter().map(|group| (group, listwise::scores(group, &scales, &weights))));
        }
        model.calibration = Calibrator::fit(&scored);
        model.training = Training {
            issues: groups.iter().filter(|group| group.whole).count() as u64,
            disagreeing: groups.iter().filter(|group| group.whole && group.is_mixed()).count() as u64,
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

/// The root mean square over candidates of each feature that is scaled, in the pools that know it.
fn scales(groups: &[&Group], options: &FitOptions) -> Result<Vec<Option<f64>>, FitError> {
    let spread = |at: usize, name: &str| {
        let (mut sum, mut count) = (0.0, 0.0);
        for group in groups.iter().filter(|group| group.is_mixed()) {
            let squares: f64 = group.parts[at].values.iter().map(|value| value * value).sum();
            // Where all candidates are alike, or nothing is known, there is no spread to learn from.
            if squares > 0.0 || !is_evidence(name) {
                sum += group.weight / group.size as f64 * squares;
                count += group.weight;
            }
        }
        let scale = (sum / f64::max(count, 1e-9)).sqrt();
        if scale > 1e-9 { scale } else { default_scale(name) }
    };
    let features = parse(&options.features)?;
    let scale =
        |(at, feature): (usize, &Feature<'_>)| feature.has_scale().then(|| spread(at, &options.features[at]));
    Ok(features.iter().enumerate().map(scale).collect())
}

/// Whether a feature is nothing without a verifier's scores.
fn needs_verifier(name: &str) -> bool {
    name.starts_with("iv:") || name.ends_with(":v_logit")
}

/// Whether a feature is of evidence that many pools lack.
fn is_evidence(name: &str) -> bool {
    let column = name.rsplit(':').next().unwrap_or(name);
    column.starts_with("t_") || column.starts_with("e_") || column.starts_with("v_")
}

#[cfg(test)]
mod tests {
    use common::{Candidate, Outcome, Trajectory, VerifierScore};

    use super::*;
    use crate::{Evidence, Policy, PolicyRequest, Pool, select_prepared};

    /// Issues in which two of five candidates agree and resolve, and the others each do something else.
    fn issues() -> Vec<LabelledIssue> {
        let issue = |number: usize| {
            let instance_id = format!("a__b-{number}");
            let patch = |value: usize| {
                format!(
                    "--- a/x.py\n+++ b/x.py\n@@ -{0} +{0} @@\n-a = 1\n+a{value} = {value}\n",
                    value * 50 + 1
                )
            };
            let candidate = |at: usize| Candidate {
                candidate_id: format!("c{at}"),
                trajectory: Trajectory { patch: Some(patch(at.max(1))), ..Trajectory::default() },
            };
            let pool = Pool {
                instance_id: instance_id.clone(),
                issue: None,
                candidates: (0..5).map(candidate).collect(),
            };
            let outcome = |at: usize| Outcome {
                instance_id: instance_id.clone(),
                candidate_id: Some(format!("c{at}")),
                resolved: Some(at < 2),
                ..Outcome::default()
            };
            LabelledIssue::new(&pool, Evidence::default(), &(0..5).map(outcome).collect::<Vec<_>>())
        };
        (0..30).map(issue).collect()
    }

    #[test]
    fn learns_that_agreement_resolves_the_same_way_each_time() {
        let issues = issues();
        let model = fit(&issues, &FitOptions::default()).unwrap();
        assert_eq!(model, fit(&issues, &FitOptions::default()).unwrap());
        assert_eq!((model.training.issues, model.training.disagreeing), (30, 30));
        let request = PolicyRequest {
            policy: Policy::Hybrid,
            min_confidence: None,
            model: Some(std::sync::Arc::new(model)),
        };
        let result = select_prepared(&issues[0].pool, &Evidence::default(), &request).unwrap();
        assert!(matches!(result.chosen.as_deref(), Some("c0" | "c1")), "{result:?}");
        assert!(result.confidence.unwrap() > 0.8, "{:?}", result.confidence);
    }

    #[test]
    fn scores_are_weighed_last_and_change_no_other_weight() {
        let bare = issues();
        let without = fit(&bare, &FitOptions::default()).unwrap();
        let mut scored = issues();
        for issue in &mut scored {
            issue.evidence.scores = (0..5)
                .map(|at| VerifierScore {
                    candidate_id: format!("c{at}"),
                    probability: Some(if at < 2 { 0.9 } else { 0.1 + 0.1 * f64::from(at) }),
                    ..VerifierScore::default()
                })
                .collect();
        }
        let with = fit(&scored, &FitOptions::default()).unwrap();
        let weight =
            |model: &RankerModel, name: &str| model.features.iter().find(|f| f.name == name).unwrap().weight;
        for feature in &without.features {
            let (before, after) = (feature.weight, weight(&with, &feature.name));
            if needs_verifier(&feature.name) {
                assert_eq!(before.to_bits(), prior(&feature.name).to_bits(), "{}", feature.name);
            } else {
                assert_eq!(before.to_bits(), after.to_bits(), "{}", feature.name);
            }
        }
        assert!(weight(&with, "c:v_logit") > 0.8, "a verifier that is right counts more");
    }

    #[test]
    fn nothing_to_learn_is_an_error() {
        let mut issues = issues();
        for issue in &mut issues {
            issue.resolved = vec![Some(true); 5];
        }
        assert!(matches!(fit(&issues, &FitOptions::default()), Err(FitError::NothingToLearn { .. })));
        let options = FitOptions { features: vec!["c:what".into()], ..FitOptions::default() };
        assert!(matches!(fit(&issues, &options), Err(FitError::UnknownFeature(name)) if name == "c:what"));
    }
}
