//! What other crates' errors are to a client.

use server::Problem;
pub(super) use server::stored::problem as stored;

use crate::SelectError;

/// A selection's error as a problem. Positions beyond the request's own lists are of what its files held.
pub(super) fn selected(error: &SelectError, tests: usize) -> Problem {
    let message = error.to_string();
    let reason = message.split_once(": ").map_or(message.as_str(), |(_, reason)| reason);
    let field = match error {
        SelectError::DuplicateCandidate { index, .. } => format!("candidates[{index}].candidate_id"),
        SelectError::UnknownCandidateOfTest { index, .. } if *index >= tests => "files".to_owned(),
        SelectError::UnknownCandidateOfTest { index, .. } => format!("tests[{index}].candidate_id"),
        SelectError::UnknownCandidateOfScore { index, .. } => format!("scores[{index}].candidate_id"),
        SelectError::BadScore { index, field, .. } => format!("scores[{index}].{field}"),
        SelectError::BadMinConfidence(_) => "options.min_confidence".to_owned(),
    };
    Problem::field(field, reason)
}
