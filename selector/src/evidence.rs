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

/// The verifier's probability of each candidate: the mean of its scores, `None` where there is none or it is null.
pub(crate) fn verifier(index: &Index<'_>, evidence: &Evidence) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_u32); index.len()];
    for score in &evidence.scores {
        if let (Some(probability), Some(&at)) = (score.probability, index.get(score.candidate_id.as_str())) {
            sums[at].0 += probability;
            sums[at].1 += 1;
        }
    }
    sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / f64::from(count))).collect()
}

/// The revisions that scored, each once, in order.
pub(crate) fn revisions(evidence: &Evidence) -> Vec<String> {
    let scored = evidence.scores.iter().filter(|score| score.probability.is_some());
    let named: BTreeSet<&String> =
        scored.map(|score| &score.revision).filter(|revision| !revision.is_empty()).collect();
    named.into_iter().cloned().collect()
}
