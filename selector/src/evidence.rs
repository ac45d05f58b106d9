//! What is known of the candidates beside themselves, and the check that it fits them.

use std::collections::BTreeSet;

use common::{TestRun, VerifierScore};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::pool::PreparedPool;

/// Evidence about the candidates of one issue, joined to them by id. All of it may be missing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evidence {
    /// Test runs on candidates and on the unpatched code.
    pub tests: Vec<TestRun>,
    /// Scores of learned verifiers. Several of one candidate are averaged.
    pub scores: Vec<VerifierScore>,
}

/// Why a pool cannot be selected from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SelectError {
    /// Two candidates share an id.
    #[error("candidates[{index}]: candidate id `{id}` is used twice; ids must be unique within an issue")]
    DuplicateCandidate {
        /// Position of the second one.
        index: usize,
        /// The id.
        id: String,
    },
    /// A test run names a candidate that is not in the pool.
    #[error("tests[{index}]: no candidate `{id}` in the pool of `{instance_id}`")]
    UnknownCandidateOfTest {
        /// Position in the list of test runs.
        index: usize,
        /// The id.
        id: String,
        /// The issue.
        instance_id: String,
    },
    /// A score names a candidate that is not in the pool.
    #[error("scores[{index}]: no candidate `{id}` in the pool of `{instance_id}`")]
    UnknownCandidateOfScore {
        /// Position in the list of scores.
        index: usize,
        /// The id.
        id: String,
        /// The issue.
        instance_id: String,
    },
    /// A probability is NaN or outside [0, 1], a logit is NaN or infinite, or a spread is that or negative.
    #[error(
        "scores[{index}].{field}: {value} of candidate `{id}` is not {wanted}; give null where the verifier could not say"
    )]
    BadScore {
        /// Position in the list of scores.
        index: usize,
        /// `probability`, `logit` or `spread`.
        field: &'static str,
        /// The id.
        id: String,
        /// The value.
        value: f64,
        /// What it should be.
        wanted: &'static str,
    },
    /// The requested minimum confidence is NaN or outside [0, 1].
    #[error("min_confidence: {0} is not a number from 0 to 1")]
    BadMinConfidence(f64),
}

/// Positions of the candidates by id.
pub(crate) type Index<'a> = FxHashMap<&'a str, usize>;

/// Indexes the candidates by id.
pub(crate) fn index(pool: &PreparedPool) -> Result<Index<'_>, SelectError> {
    let mut index = Index::default();
    for (at, candidate) in pool.candidates.iter().enumerate() {
        let id = candidate.candidate_id.as_str();
        if index.insert(id, at).is_some() {
            return Err(SelectError::DuplicateCandidate { index: at, id: id.to_owned() });
        }
    }
    Ok(index)
}

/// Refuses evidence about candidates that are not in the pool, and numbers that are no probabilities.
pub(crate) fn check(pool: &PreparedPool, index: &Index<'_>, evidence: &Evidence) -> Result<(), SelectError> {
    for (at, run) in evidence.tests.iter().enumerate() {
        if let Some(id) = &run.candidate_id
            && !index.contains_key(id.as_str())
        {
            return Err(SelectError::UnknownCandidateOfTest {
                index: at,
                id: id.clone(),
                instance_id: pool.instance_id.clone(),
            });
        }
    }
    for (at, score) in evidence.scores.iter().enumerate() {
        let id = &score.candidate_id;
        if !index.contains_key(id.as_str()) {
            return Err(SelectError::UnknownCandidateOfScore {
                index: at,
                id: id.clone(),
                instance_id: pool.instance_id.clone(),
            });
        }
        let bad =
            |field, value, wanted| SelectError::BadScore { index: at, field, id: id.clone(), value, wanted };
        if let Some(value) = score.probability
            && !(0.0..=1.0).contains(&value)
        {
            return Err(bad("probability", value, "a number from 0 to 1"));
        }
        if let Some(value) = score.logit
            && !value.is_finite()
        {
            return Err(bad("logit", value, "a finite number"));
        }
        if let Some(value) = score.spread
            && !(0.0..f64::INFINITY).contains(&value)
        {
            return Err(bad("spread", value, "a finite number that is not negative"));
        }
    }
    Ok(())
}

/// What the verifier says of a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Opinion {
    /// The mean of its probabilities.
    pub(crate) probability: f64,
    /// The mean of its spreads, where it gives any.
    pub(crate) spread: Option<f64>,
}

impl Opinion {
    /// Log-odds, cut where a verifier's certainty means no more, and nearer to none the less it is sure of them: the
    /// logistic function averaged over a normal logit of standard error s is about that of the logit divided by
    /// √(1 + π s²/8) (MacKay 1992).
    pub(crate) fn logit(self) -> f64 {
        let logit = (self.probability / (1.0 - self.probability)).ln().clamp(-5.0, 5.0);
        let spread = self.spread.unwrap_or(0.0);
        logit / (1.0 + std::f64::consts::PI / 8.0 * spread * spread).sqrt()
    }
}

/// What the verifier says of each candidate; `None` where it has no score or it is null.
pub(crate) fn verifier(index: &Index<'_>, evidence: &Evidence) -> Vec<Option<Opinion>> {
    let mut sums = vec![((0.0, 0_u32), (0.0, 0_u32)); index.len()];
    let add = |sum: &mut (f64, u32), value: Option<f64>| {
        if let Some(value) = value {
            *sum = (sum.0 + value, sum.1 + 1);
        }
    };
    let scored = evidence.scores.iter().filter(|score| score.probability.is_some());
    for score in scored {
        if let Some(&at) = index.get(score.candidate_id.as_str()) {
            add(&mut sums[at].0, score.probability);
            add(&mut sums[at].1, score.spread);
        }
    }
    let mean = |(sum, count): (f64, u32)| (count > 0).then(|| sum / f64::from(count));
    let opinion =
        |(probability, spread)| Some(Opinion { probability: mean(probability)?, spread: mean(spread) });
    sums.into_iter().map(opinion).collect()
}

/// The revisions that scored, each once, in order.
pub(crate) fn revisions(evidence: &Evidence) -> Vec<String> {
    let scored = evidence.scores.iter().filter(|score| score.probability.is_some());
    let named: BTreeSet<&String> =
        scored.map(|score| &score.revision).filter(|revision| !revision.is_empty()).collect();
    named.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(id: &str, probability: Option<f64>, spread: Option<f64>) -> VerifierScore {
        VerifierScore { candidate_id: id.to_owned(), probability, spread, ..VerifierScore::default() }
    }

    #[test]
    fn several_scores_of_a_candidate_are_one_opinion() {
        let index: Index<'_> = [("a", 0), ("b", 1), ("c", 2)].into_iter().collect();
        let scores = vec![
            score("a", Some(0.2), Some(1.0)),
            score("b", Some(0.9), None),
            score("a", Some(0.4), None),
            score("c", None, Some(1.0)),
        ];
        let opinions = verifier(&index, &Evidence { scores, ..Evidence::default() });
        let [Some(a), Some(b), None] = opinions[..] else { panic!("{opinions:?}") };
        assert!((a.probability - 0.3).abs() < 1e-12 && a.spread == Some(1.0));
        assert_eq!(b, Opinion { probability: 0.9, spread: None });
    }

    #[test]
    fn an_unsure_verifier_says_less() {
        let of = |probability, spread| Opinion { probability, spread }.logit();
        assert!((of(0.9, None) - 9f64.ln()).abs() < 1e-12);
        assert!((of(0.9, Some(0.0)) - of(0.9, None)).abs() < 1e-12);
        assert!(of(0.9, Some(2.0)) < of(0.9, Some(1.0)) && of(0.9, Some(2.0)) > 0.0);
        assert!((of(0.1, Some(1.5)) + of(0.9, Some(1.5))).abs() < 1e-12, "either way alike");
        assert!((of(1.0, None), of(0.0, None)) == (5.0, -5.0), "certainty has an end");
        // The mean of the logistic function over logits around 2 with a standard error of 2, by numbers.
        let steps = 4000;
        let (mut sum, mut total) = (0.0, 0.0);
        for step in 0..=steps {
            let z = f64::from(step) / f64::from(steps) * 16.0 - 8.0;
            let weight = (-0.5 * z * z).exp();
            sum += weight / (1.0 + (-(2.0 + 2.0 * z)).exp());
            total += weight;
        }
        let mean: f64 = sum / total;
        let shrunk = of(1.0 / (1.0 + (-2.0f64).exp()), Some(2.0));
        assert!((mean - 1.0 / (1.0 + (-shrunk).exp())).abs() < 0.02, "{mean} {shrunk}");
    }
}
