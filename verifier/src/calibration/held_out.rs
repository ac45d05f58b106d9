//! What a calibration is worth on issues that it was not fitted to.

use serde::Serialize;

use super::{Calibration, Method, Observed, Quality, quality, sigmoid};

/// Quality before and after, on the same rows, each of them calibrated by a fit to the issues of the other folds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOut {
    /// Rows measured: all but those of folds for which no fit was possible.
    pub rows: usize,
    /// The logistic function of the raw logit.
    pub raw: Quality,
    /// Calibrated.
    pub calibrated: Quality,
}

/// Measures a method by cross-validation over issues. Rows come with their issue's name, which alone decides the fold;
/// `None` when no fold leaves enough to fit.
pub fn held_out(rows: &[(&str, Observed)], method: Method, folds: u64) -> Option<HeldOut> {
    let folds = folds.max(2);
    let fold = |issue: &str| {
        let hash = blake3::hash(issue.as_bytes());
        let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*first) % folds
    };
    let rows: Vec<(u64, Observed)> = rows.iter().map(|(issue, row)| (fold(issue), *row)).collect();
    let (mut raw, mut calibrated) = (Vec::new(), Vec::new());
    for out in 0..folds {
        let (measured, fitted): (Vec<_>, Vec<_>) = rows.iter().partition(|(fold, _)| *fold == out);
        let fitted: Vec<Observed> = fitted.into_iter().map(|(_, row)| row).collect();
        let Ok(calibration) = Calibration::fit(&fitted, method) else { continue };
        for (_, row) in measured {
            raw.push((sigmoid(row.logit), row.resolved));
            calibrated.push((calibration.probability(row.logit), row.resolved));
        }
    }
    Some(HeldOut { rows: raw.len(), raw: quality(&raw)?, calibrated: quality(&calibrated)? })
}
