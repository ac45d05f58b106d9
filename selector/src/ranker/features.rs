//! What the ranker knows of each candidate, relative to its pool.

use super::matrix::Matrix;
use crate::policies::Context;

/// Candidate features of the positions in `of` (those with a non-empty patch), and features of the pool as a whole.
pub(crate) fn features(context: &Context<'_>, of: &[usize]) -> (Matrix, Vec<(&'static str, f64)>) {
    let mut matrix = Matrix::new(of.len());
    let votes = |value: &dyn Fn(&common::Votes) -> f64| -> Vec<f64> {
        of.iter().map(|&at| value(&context.agreement.votes[at])).collect()
    };
    let others = (of.len().max(2) - 1) as f64;
    matrix.push("votes_exact", votes(&|votes| f64::from(votes.exact - 1) / others));
    matrix.push("votes_files", votes(&|votes| f64::from(votes.files - 1) / others));
    matrix.push("similarity", votes(&|votes| votes.similarity));
    let agreement = votes(&|votes| votes.similarity).iter().sum::<f64>() / of.len().max(1) as f64;
    let pool = vec![("pool_size", (of.len() as f64).ln()), ("pool_agreement", agreement)];
    (matrix, pool)
}
