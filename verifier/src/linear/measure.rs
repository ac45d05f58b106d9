//! How well scores tell apart what resolves from what does not.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fit::{Fitted, Sample};
use crate::calibration::quality;

/// Quality of scores on one pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolQuality {
    /// The pool; `all` for the pools together.
    pub pool: String,
    /// Candidates.
    pub candidates: usize,
    /// Percentage of them that resolve.
    pub resolved: f64,
    /// Issues whose candidates disagree.
    pub disagree: usize,
    /// Probability that one that resolves scores above one that does not, over all issues; null where all are of one
    /// kind.
    pub auc: Option<f64>,
    /// The same within an issue, mean over the issues whose candidates disagree.
    pub auc_within: Option<f64>,
    /// Expected calibration error of the probabilities.
    pub ece: f64,
    /// Brier score of the probabilities.
    pub brier: f64,
}

/// Measures a fit out of fold, by pool and over all.
pub fn measure(samples: &[Sample], fitted: &Fitted) -> Vec<PoolQuality> {
    let mut pools: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, sample) in samples.iter().enumerate() {
        pools.entry(&sample.pool).or_default().push(at);
    }
    let all: Vec<usize> = (0..samples.len()).collect();
    pools
        .into_iter()
        .chain([("all", all)])
        .map(|(pool, of)| {
            let scored: Vec<(f64, bool)> =
                of.iter().map(|&at| (fitted.out_of_fold[at], samples[at].resolved)).collect();
            let mut issues: BTreeMap<(&str, &str), Vec<(f64, bool)>> = BTreeMap::new();
            for (&at, &row) in of.iter().zip(&scored) {
                issues.entry((&samples[at].pool, &samples[at].instance_id)).or_default().push(row);
            }
            let within: Vec<f64> = issues.values().filter_map(|rows| auc(rows)).collect();
            let probabilities: Vec<(f64, bool)> = scored
                .iter()
                .map(|&(logit, resolved)| (fitted.model.calibration.probability(logit), resolved))
                .collect();
            let agreement = quality(&probabilities);
            PoolQuality {
                pool: pool.to_owned(),
                candidates: of.len(),
                resolved: 100.0 * scored.iter().filter(|(_, resolved)| *resolved).count() as f64
                    / of.len().max(1) as f64,
                disagree: within.len(),
                auc: auc(&scored),
                auc_within: (!within.is_empty()).then(|| within.iter().sum::<f64>() / within.len() as f64),
                ece: agreement.map_or(0.0, |quality| quality.expected_error),
                brier: agreement.map_or(0.0, |quality| quality.brier),
            }
        })
        .collect()
}

/// Area under the receiver operating characteristic: the share of pairs of a success and a failure in which the
/// success scores higher, ties counting half. `None` where there is no such pair.
pub fn auc(rows: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = rows.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut pairs) = (0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let right = tied.iter().filter(|(_, resolved)| *resolved).count() as f64;
        let wrong = tied.len() as f64 - right;
        pairs += right * (below + 0.5 * wrong);
        below += wrong;
    }
    let right = rows.len() as f64 - below;
    (right > 0.0 && below > 0.0).then(|| pairs / (right * below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_under_the_curve() {
        assert_eq!(auc(&[(0.1, false), (0.9, true)]), Some(1.0));
        assert_eq!(auc(&[(0.1, true), (0.9, false)]), Some(0.0));
        assert_eq!(auc(&[(0.5, true), (0.5, false), (0.7, true), (0.6, false)]), Some(0.625));
        assert_eq!(auc(&[(0.5, true)]), None);
    }
}
