//! What other crates' errors are to a client.

use server::{Kind, Problem};
use store::StoreError;

use crate::SelectError;

/// A store's error as a problem.
pub(super) fn stored(error: StoreError) -> Problem {
    match error {
        StoreError::NotFound { what, id } => Problem::not_found(format!("there is no {what} `{id}`")),
        StoreError::Conflict { .. } => Problem::new(Kind::Conflict, error.to_string()),
        StoreError::Invalid { field, detail } => Problem::field(field, detail),
        StoreError::Unavailable { .. } => {
            tracing::error!(%error, "the store does not answer");
            Problem::new(Kind::Unavailable, "the database does not answer")
        }
        StoreError::Corrupt { .. } | StoreError::Failed { .. } => Problem::internal(&error),
    }
}

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
