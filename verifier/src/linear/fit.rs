//! Learning the linear verifier from labelled trajectories and patches. A pure function: the same samples in the same
//! order give the same model, bit for bit.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{
    features::Facts,
    loss::{self, Groups, Matrix},
    model::{FACTS_VERSION, Fact, Head, LinearModel, Training, Weights, fold, issue_hash},
};
use crate::calibration::{self, Calibration, Method, Observed};

/// A labelled trajectory or patch, reduced to its facts.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The pool that it is from; candidates are compared within a pool's issue.
    pub pool: String,
    /// The issue.
    pub instance_id: String,
    /// Whether it resolves the issue.
    pub resolved: bool,
    /// Facts of the whole.
    pub whole: Facts,
    /// Facts at the ends of some of the assistant's turns; empty without a conversation.
    pub turns: Vec<Facts>,
}

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitOptions {
    /// Penalty on half the squared weights of standardised facts.
    pub l2: f64,
    /// How much comparisons within an issue count against outcomes over all issues, from 0 to 1.
    pub within: f64,
    /// Parts of the issues; each gets a member that has not seen it.
    pub folds: usize,
    /// Candidates of one issue of one pool that are learned from at most; the others are only scored.
    pub most: usize,
    /// Calls of the function at most in each minimisation.
    pub iterations: usize,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { l2: 10.0, within: 0.75, folds: 5, most: 20, iterations: 150 }
    }
}

/// A model and what its members say of the samples that they have not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The model.
    pub model: LinearModel,
    /// By sample: the logit from the member that has not seen its issue.
    pub out_of_fold: Vec<f64>,
}

/// Why nothing could be learned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// Too little, or all of one kind.
    #[error(
        "{resolved} candidates resolve their issue and {unresolved} do not; at least {LEAST} of each are needed"
    )]
    TooFew {
        /// Those that do.
        resolved: usize,
        /// Those that do not.
        unresolved: usize,
    },
    /// Too few issues for the folds.
    #[error("{issues} issues are too few for {folds} folds with candidates of either outcome in each")]
    Folds {
        /// Issues.
        issues: usize,
        /// Folds.
        folds: usize,
    },
    /// The probabilities could not be fit.
    #[error(transparent)]
    Calibration(#[from] calibration::FitError),
}

/// Candidates of either outcome that a fit needs.
const LEAST: usize = 20;

/// Facts known of fewer samples than this are not weighed.
const LEAST_KNOWN: usize = 50;

/// Learns the weights, the members and the calibration.
pub fn fit(samples: &[Sample], options: &FitOptions) -> Result<Fitted, FitError> {
    let resolved = samples.iter().filter(|sample| sample.resolved).count();
    let unresolved = samples.len() - resolved;
    if resolved.min(unresolved) < LEAST {
        return Err(FitError::TooFew { resolved, unresolved });
    }
    let folds: Vec<usize> = samples.iter().map(|sample| fold(&sample.instance_id, options.folds)).collect();
    let issues: BTreeSet<&str> = samples.iter().map(|sample| sample.instance_id.as_str()).collect();
    for part in 0..options.folds {
        let of = |wanted: bool| samples.iter().zip(&folds).any(|(s, &f)| f == part && s.resolved == wanted);
        if options.folds < 2 || !of(true) || !of(false) {
            return Err(FitError::Folds { issues: issues.len(), folds: options.folds });
        }
    }
    let facts = scales(samples);
    let mut model = LinearModel {
        facts_version: FACTS_VERSION,
        whole: Head { all: none(&facts), members: Vec::new() },
        turn: Head { all: none(&facts), members: Vec::new() },
        facts,
        calibration: Calibration::Platt { slope: 1.0, intercept: 0.0 },
        training: training(samples, &issues),
    };
    let index = model.index();
    let rows: Vec<_> = samples.iter().map(|sample| model.row(&index, &sample.whole)).collect();
    let chosen = chosen(samples, options.most);
    let whole = Matrix::of(&model, chosen.iter().map(|&at| &rows[at]));
    let groups = groups(samples, chosen.iter().map(|&at| (at, 1.0)));
    model.whole = head(&whole, &groups, &chosen.iter().map(|&at| folds[at]).collect::<Vec<_>>(), options);
    let out_of_fold: Vec<f64> =
        rows.iter().zip(&folds).map(|(row, &part)| model.logit(&model.whole.members[part], row)).collect();
    let weights = groups_weights(samples);
    model.calibration = calibrate(samples, &out_of_fold, &weights)?;
    model.turn = turns(&model, samples, &folds, &weights, options);
    Ok(Fitted { model, out_of_fold })
}

fn none(facts: &[Fact]) -> Weights {
    Weights { intercept: 0.0, weights: vec![0.0; facts.len()] }
}

fn training(samples: &[Sample], issues: &BTreeSet<&str>) -> Training {
    let hashes: BTreeSet<u32> = issues.iter().map(|id| issue_hash(id)).collect();
    Training {
        candidates: samples.len() as u64,
        trajectories: samples.iter().filter(|sample| !sample.turns.is_empty()).count() as u64,
        issues: issues.len() as u64,
        issue_hashes: hashes.into_iter().collect(),
    }
}

/// Mean and standard deviation of every fact that enough samples know and that is not the same in all.
fn scales(samples: &[Sample]) -> Vec<Fact> {
    let mut sums: BTreeMap<&str, (f64, f64, f64)> = BTreeMap::new();
    for (name, value) in samples.iter().flat_map(|sample| &sample.whole.values) {
        let (count, sum, squares) = sums.entry(name).or_default();
        *count += 1.0;
        *sum += value;
        *squares += value * value;
    }
    sums.into_iter()
        .filter_map(|(name, (count, sum, squares))| {
            let mean = sum / count;
            let scale = (squares / count - mean * mean).max(0.0).sqrt();
            (count >= LEAST_KNOWN as f64 && scale > 1e-6).then(|| Fact {
                name: name.to_owned(),
                mean: rounded(mean),
                scale: rounded(scale),
            })
        })
        .collect()
}

/// Six digits, so that the file stays small and does not depend on the order of sums.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().expect("a number that was printed is a number")
}

/// Positions of at most so many samples of each issue of each pool, drawn by a hash of their place.
fn chosen(samples: &[Sample], most: usize) -> Vec<usize> {
    let mut by_group: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (at, sample) in samples.iter().enumerate() {
        by_group.entry((&sample.pool, &sample.instance_id)).or_default().push(at);
    }
    let key = |at: usize| blake3::hash(format!("{at} {}", samples[at].instance_id).as_bytes()).to_hex();
    let mut chosen: Vec<usize> = by_group
        .into_values()
        .flat_map(|mut group| {
            if group.len() > most {
                group.sort_by_cached_key(|&at| key(at));
                group.truncate(most);
            }
            group
        })
        .collect();
    chosen.sort_unstable();
    chosen
}

/// Rows grouped by pool and issue; each row is of a sample, with a factor to its weight.
fn groups(samples: &[Sample], rows: impl Iterator<Item = (usize, f64)>) -> Groups {
    let mut numbers: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut groups = Groups::default();
    for (at, factor) in rows {
        let sample = &samples[at];
        let next = numbers.len();
        let number = *numbers.entry((&sample.pool, &sample.instance_id)).or_insert(next);
        groups.push(number, sample.resolved, factor);
    }
    groups
}

/// The weight of each sample in the calibration: an issue of a pool weighs as the square root of its candidates.
fn groups_weights(samples: &[Sample]) -> Vec<f64> {
    groups(samples, (0..samples.len()).map(|at| (at, 1.0))).weights()
}

fn head(matrix: &Matrix, groups: &Groups, folds: &[usize], options: &FitOptions) -> Head {
    let mut fits: Vec<Weights> = (0..=options.folds)
        .into_par_iter()
        .map(|part| {
            // The last is fit on everything.
            let keep: Vec<bool> = folds.iter().map(|&fold| fold != part).collect();
            let weights = loss::minimise(matrix, &groups.only(&keep), options);
            Weights {
                intercept: rounded(weights[matrix.width]),
                weights: weights[..matrix.width].iter().map(|&weight| rounded(weight)).collect(),
            }
        })
        .collect();
    let all = fits.pop().expect("there is always the fit on everything");
    Head { all, members: fits }
}

fn calibrate(samples: &[Sample], logits: &[f64], weights: &[f64]) -> Result<Calibration, FitError> {
    let rows: Vec<Observed> = samples
        .iter()
        .zip(logits)
        .zip(weights)
        .map(|((sample, &logit), &weight)| Observed { logit, resolved: sample.resolved, weight })
        .collect();
    // Isotonic regression has flat parts: candidates of one issue would get the same probability.
    Ok(match Calibration::fit(&rows, Method::Platt)? {
        Calibration::Platt { slope, intercept } => {
            Calibration::Platt { slope: rounded(slope), intercept: rounded(intercept) }
        }
        isotonic @ Calibration::Isotonic { .. } => isotonic,
    })
}

/// Fits the head that judges a run at the end of a turn, on the scale of the whole's logit, so that one calibration
/// serves both. Without conversations it stays at zero.
fn turns(
    model: &LinearModel,
    samples: &[Sample],
    folds: &[usize],
    weights: &[f64],
    options: &FitOptions,
) -> Head {
    let of: Vec<(usize, f64)> = samples
        .iter()
        .enumerate()
        .flat_map(|(at, sample)| sample.turns.iter().map(move |_| (at, 1.0 / sample.turns.len() as f64)))
        .collect();
    let kinds = |wanted: bool| of.iter().filter(|(at, _)| samples[*at].resolved == wanted).count();
    if kinds(true).min(kinds(false)) < LEAST {
        return Head { all: none(&model.facts), members: Vec::new() };
    }
    let index = model.index();
    let rows: Vec<_> =
        samples.iter().flat_map(|sample| &sample.turns).map(|facts| model.row(&index, facts)).collect();
    let matrix = Matrix::of(model, rows.iter());
    let parts: Vec<usize> = of.iter().map(|(at, _)| folds[*at]).collect();
    let mut head = head(&matrix, &groups(samples, of.iter().copied()), &parts, options);
    let observed: Vec<Observed> = rows
        .iter()
        .zip(&of)
        .map(|(row, &(at, factor))| Observed {
            logit: model.logit(&head.members[folds[at]], row),
            resolved: samples[at].resolved,
            weight: weights[at] * factor,
        })
        .collect();
    let (Ok(Calibration::Platt { slope, intercept }), Calibration::Platt { slope: to, intercept: from }) =
        (Calibration::fit(&observed, Method::Platt), &model.calibration)
    else {
        // Runs say nothing before their patch is seen.
        return Head { all: none(&model.facts), members: Vec::new() };
    };
    for weights in std::iter::once(&mut head.all).chain(&mut head.members) {
        weights.intercept = rounded((slope * weights.intercept + intercept - from) / to);
        for weight in &mut weights.weights {
            *weight = rounded(*weight * slope / to);
        }
    }
    head
}

/// Positions of the turns whose ends are learned from, of so many: spread over the run, the last among them.
pub fn turns_to_learn(turns: usize) -> Vec<usize> {
    let at = |share: f64| ((turns as f64 * share) as usize).clamp(1, turns) - 1;
    let mut chosen: Vec<usize> =
        if turns == 0 { Vec::new() } else { [0.1, 0.25, 0.5, 0.75, 0.9, 1.0].map(at).to_vec() };
    chosen.dedup();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{Linear, measure};

    /// Issues of four candidates; those whose run passed resolve it, most of the time.
    fn samples() -> Vec<Sample> {
        let sample = |number: usize| {
            let issue = number / 4;
            let resolved = (number * 7 + issue).is_multiple_of(4);
            let noisy = number.is_multiple_of(11);
            let facts = |patch: bool| {
                let mut values = vec![("r_passed", f64::from(u8::from(resolved != noisy))), ("same", 1.0)];
                if patch {
                    values.push(("p_size", (number * 13 % 17) as f64));
                }
                Facts { values }
            };
            Sample {
                pool: "pool".to_owned(),
                instance_id: format!("a__b-{issue}"),
                resolved,
                whole: facts(true),
                turns: vec![facts(false)],
            }
        };
        (0..240).map(sample).collect()
    }

    #[test]
    fn learns_what_resolves_and_says_how_sure_it_is() {
        let samples = samples();
        let fitted = fit(&samples, &FitOptions { l2: 0.1, ..FitOptions::default() }).unwrap();
        let model = &fitted.model;
        // A fact that is the same everywhere is not weighed.
        let names: Vec<&str> = model.facts.iter().map(|fact| fact.name.as_str()).collect();
        assert_eq!(names, ["p_size", "r_passed"]);
        let quality = measure(&samples, &fitted);
        assert!(quality[0].auc_within.unwrap() > 0.8 && quality[0].auc.unwrap() > 0.8, "{quality:?}");
        assert!(quality[0].ece < 0.1, "{quality:?}");
        let row = |passed: f32| vec![(0, 8.0), (1, passed)];
        let logit = |passed| model.logit(&model.whole.all, &row(passed));
        assert!(logit(1.0) > logit(0.0) + 1.0);
        assert!(model.calibration.probability(logit(1.0)) > 0.6);
        assert!(model.spread(&row(1.0)).unwrap() < 1.0);
        // The head for turns is on the same scale, without the patch.
        let turn = |passed: f32| model.logit(&model.turn.all, &vec![(1, passed)]);
        assert!(turn(1.0) > turn(0.0) + 1.0);
        assert!(
            (model.calibration.probability(turn(1.0)) - model.calibration.probability(logit(1.0))).abs()
                < 0.15
        );
        assert!(model.has_seen("a__b-3") && !model.has_seen("a__b-300"));
    }

    #[test]
    fn members_have_not_seen_their_fold() {
        let mut samples = samples();
        let options = FitOptions::default();
        let before = fit(&samples, &options).unwrap().model;
        let held_out = before.fold("a__b-3");
        for sample in samples.iter_mut().filter(|sample| sample.instance_id == "a__b-3") {
            sample.resolved = !sample.resolved;
        }
        let after = fit(&samples, &options).unwrap().model;
        for (part, (before, after)) in before.whole.members.iter().zip(&after.whole.members).enumerate() {
            assert_eq!(before == after, part == held_out, "member {part}");
        }
        assert_ne!(before.whole.all, after.whole.all);
    }

    #[test]
    fn the_same_samples_give_the_same_file() {
        let fitted = fit(&samples(), &FitOptions::default()).unwrap();
        let again = fit(&samples(), &FitOptions::default()).unwrap();
        assert_eq!(fitted.model.to_json(), again.model.to_json());
        let read = Linear::from_json(fitted.model.to_json().as_bytes()).unwrap();
        assert_eq!(read.model(), &fitted.model);
    }

    #[test]
    fn too_little_is_refused() {
        let few = &samples()[..20];
        assert!(matches!(fit(few, &FitOptions::default()), Err(FitError::TooFew { .. })));
        let mut one = samples();
        for sample in &mut one {
            sample.instance_id = "a__b-1".to_owned();
        }
        assert_eq!(fit(&one, &FitOptions::default()), Err(FitError::Folds { issues: 1, folds: 5 }));
    }

    #[test]
    fn turns_are_spread_over_the_run() {
        assert!(turns_to_learn(0).is_empty());
        assert_eq!(turns_to_learn(1), [0]);
        assert_eq!(turns_to_learn(20), [1, 4, 9, 14, 17, 19]);
    }
}
