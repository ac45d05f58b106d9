//! From raw logits to probabilities that mean what they say, fitted to outcomes of runs the model has not learned from.
//!
//! Pure functions; what they give is stored with the model and is part of its revision.

mod held_out;
mod isotonic;
mod platt;
mod quality;

pub use held_out::{HeldOut, held_out};
pub use quality::{Quality, quality};

use serde::{Deserialize, Serialize};

/// A scored run with its outcome.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// The raw logit, from a model that did not learn from this run.
    pub logit: f64,
    /// Whether the run resolved its issue.
    pub resolved: bool,
    /// How much it counts; 1 for all, or less for runs of issues that have many.
    pub weight: f64,
}

/// How a logit becomes a probability. Never decreasing in the logit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "method", try_from = "Unchecked")]
pub enum Calibration {
    /// σ(slope · logit + intercept) (Platt 1999).
    Platt {
        /// More than zero.
        slope: f64,
        /// Log-odds at logit 0.
        intercept: f64,
    },
    /// Straight lines between points, flat beyond the first and the last (isotonic regression).
    Isotonic {
        /// Logits, ascending.
        logits: Vec<f64>,
        /// The probability at each, not descending.
        probabilities: Vec<f64>,
    },
}

/// Which kind of calibration to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Isotonic from [`ISOTONIC_FROM`] rows on, Platt below that.
    #[default]
    Auto,
    /// A logistic curve: two numbers, sound on little data.
    Platt,
    /// A curve of any rising shape: needs many rows.
    Isotonic,
}

/// From how many rows on [`Method::Auto`] takes isotonic regression; with fewer it follows chance
/// (Niculescu-Mizil and Caruana 2005).
pub const ISOTONIC_FROM: usize = 1000;

/// Why there is no calibration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// A logit or a weight that is no number.
    #[error("row {0} has a logit that is not finite, or a weight that is not above zero")]
    NotFinite(usize),
    /// Nothing to learn from.
    #[error("{resolved} resolved and {unresolved} unresolved runs: at least {least} of each are needed")]
    TooFew {
        /// Resolved runs.
        resolved: usize,
        /// The others.
        unresolved: usize,
        /// How many of each it takes.
        least: usize,
    },
    /// The scores rank the wrong way, or not at all.
    #[error(
        "runs with a higher logit are not more often resolved (slope {0:.3}); the scores carry no signal here"
    )]
    NoSignal(f64),
}

/// Runs of either outcome that a fit needs at least.
const LEAST: usize = 5;

impl Calibration {
    /// Fits to outcomes.
    pub fn fit(rows: &[Observed], method: Method) -> Result<Self, FitError> {
        let bad = rows
            .iter()
            .position(|row| !row.logit.is_finite() || !row.weight.is_finite() || row.weight <= 0.0);
        if let Some(bad) = bad {
            return Err(FitError::NotFinite(bad));
        }
        let resolved = rows.iter().filter(|row| row.resolved).count();
        let unresolved = rows.len() - resolved;
        if resolved.min(unresolved) < LEAST {
            return Err(FitError::TooFew { resolved, unresolved, least: LEAST });
        }
        let (slope, intercept) = platt::fit(rows);
        // A slope of zero or less makes isotonic regression a constant, too.
        if !(slope.is_finite() && slope > 1e-9) {
            return Err(FitError::NoSignal(slope));
        }
        let isotonic = match method {
            Method::Auto => rows.len() >= ISOTONIC_FROM,
            Method::Platt => false,
            Method::Isotonic => true,
        };
        Ok(if isotonic {
            let (logits, probabilities) = isotonic::fit(rows);
            Self::Isotonic { logits, probabilities }
        } else {
            Self::Platt { slope, intercept }
        })
    }

    /// The probability, in (0, 1) for finite logits; NaN for NaN.
    pub fn probability(&self, logit: f64) -> f64 {
        match self {
            Self::Platt { slope, intercept } => sigmoid(slope * logit + intercept),
            Self::Isotonic { logits, probabilities } => isotonic::at(logits, probabilities, logit),
        }
    }
}

/// The probability that a logit means when nothing was fitted.
pub fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// A calibration as it stands in a file, before it is known to be one.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "method", deny_unknown_fields)]
enum Unchecked {
    Platt { slope: f64, intercept: f64 },
    Isotonic { logits: Vec<f64>, probabilities: Vec<f64> },
}

impl TryFrom<Unchecked> for Calibration {
    type Error = &'static str;

    fn try_from(read: Unchecked) -> Result<Self, Self::Error> {
        match read {
            Unchecked::Platt { slope, intercept } => {
                if slope.is_finite() && slope > 0.0 && intercept.is_finite() {
                    Ok(Self::Platt { slope, intercept })
                } else {
                    Err("a platt calibration has a finite slope above zero and a finite intercept")
                }
            }
            Unchecked::Isotonic { logits, probabilities } => {
                let rising =
                    logits.iter().all(|at| at.is_finite()) && logits.windows(2).all(|two| two[0] < two[1]);
                let sound =
                    probabilities.iter().all(|p| (0.0..=1.0).contains(p)) && probabilities.is_sorted();
                if !logits.is_empty() && logits.len() == probabilities.len() && rising && sound {
                    Ok(Self::Isotonic { logits, probabilities })
                } else {
                    Err(
                        "an isotonic calibration has as many probabilities in [0, 1] as finite logits, both rising",
                    )
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
