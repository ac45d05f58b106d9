//! Back end `openai` against servers that are well, wrong, slow, dying and gone.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod failures;
mod heads;
mod judge;
mod mock;
