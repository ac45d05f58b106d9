//! Unified diffs: parse, classify, normalise, fingerprint, compare and cluster. Pure functions, no I/O.
//!
//! [`parse`] reads any diff an agent emits, [`Digest::of`] reduces it to hashes of its normalised change, and the rest
//! works on digests alone: [`similarity`], [`cluster`] and [`features`]. What is normalised and what the figures mean
//! is in `docs/patches.md`.

mod classify;
mod digest;
mod fingerprint;
mod language;
mod model;
mod normalise;
mod parse;
mod similarity;

pub use classify::{FileClass, classify};
pub use digest::{ClassCounts, Counts, Digest, Scope, Touched};
pub use fingerprint::Fingerprint;
pub use language::Language;
pub use model::{FileChange, FilePatch, Flag, FlagKind, Hunk, Line, LineKind, Patch};
pub use parse::parse;
pub use similarity::{Similarity, similarity};
