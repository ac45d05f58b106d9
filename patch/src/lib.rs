//! Unified diffs: parse, classify, normalise, fingerprint, compare and cluster. Pure functions, no I/O.
//!
//! [`parse`] reads any diff an agent emits, [`Digest::of`] reduces it to hashes of its normalised change, and the rest
//! works on digests alone: [`similarity`], [`cluster`] and [`features`]. What is normalised and what the figures mean
//! is in `docs/patches.md`.

mod classify;
mod cluster;
mod digest;
mod features;
mod fingerprint;
mod language;
mod model;
mod normalise;
mod overlap;
mod parse;
mod pool;
mod similarity;

pub use classify::{FileClass, classify};
pub use cluster::{ClusterOptions, Clusters, Linkage, cluster, cluster_with};
pub use digest::{ClassCounts, Counts, Digest, Scope, Touched};
pub use features::{Features, features, features_with};
pub use fingerprint::Fingerprint;
pub use language::Language;
pub use model::{FileChange, FilePatch, Flag, FlagKind, Hunk, Line, LineKind, Patch};
pub use overlap::Overlap;
pub use parse::parse;
pub use pool::PoolStats;
pub use similarity::{Similarity, similarity};
