//! What a verifier model reads: a trajectory laid out as text, within a budget of tokens.
//!
//! Pure: the same example always gives the same bytes. `docs/verifier-input.md` is the whole format on one page; any
//! change of a byte is a new version of the layout. What is not in here cannot reach a model: of an [`Example`] only the
//! issue, the assistant's turns, what came back, how the run ended and the final patch are read. Ids, names, the format
//! of the file, costs and the scaffold's prompt are not, and labels and reference patches are not in the types at all.

mod compact;
mod condense;
mod document;
mod escape;
mod estimate;
mod judge;
mod prepare;
mod steps;
#[cfg(test)]
mod tests;

pub use condense::{Fitted, OBSERVATION_MARKER, THOUGHT_MARKER, TooLong, fit};
pub use document::{Document, Message, Part, Place, Segment, Speaker};
pub use escape::escape;
pub use estimate::estimate_tokens;
pub use judge::{ANSWER_PREFIX, INSTRUCTIONS as JUDGE_INSTRUCTIONS};
pub use prepare::{prepare_chat, too_long};

use crate::backend::{Example, Layout};

/// The last assistant turns, with what came back, that are never condensed.
pub const KEPT_TURNS: usize = 3;

/// Lays an example out, whole; `None` for [`Layout::FeaturesV1`], which is no text.
pub fn lay_out(example: &Example, layout: Layout) -> Option<Document<'_>> {
    let trajectory = &example.candidate.trajectory;
    match layout {
        Layout::JudgeV1 => Some(judge::lay_out(&example.issue, trajectory)),
        Layout::CompactV1 => Some(compact::lay_out(&example.issue, trajectory)),
        Layout::FeaturesV1 => None,
    }
}

/// Whether step `number` of `count` is one of the last.
fn exempt(number: usize, count: usize, kept: usize) -> bool {
    number + kept >= count
}
