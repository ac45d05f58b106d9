//! What EntroPO keeps: one object-safe [`Store`] trait, PostgreSQL ([`PgStore`]) and SQLite ([`SqliteStore`])
//! behind it, with the same behaviour (the contract suite in `tests/` runs on both).
//!
//! Rules that hold throughout:
//!
//! - A write that returned `Ok` survives `kill -9` of the process; a write that did not is there in full or not
//!   at all. Writes run in their own task: dropping the future that waits for one does not stop it half way.
//! - The caller passes the time and the ids of what it creates, so that results can be reproduced and a reply can
//!   be stored together with the rows it describes.
//! - Every record belongs to a [`Tenant`], and every method that reads or writes records is told which: there is no
//!   query without one. What the deployment shares (settings, tokens, the claiming of jobs) says so.
//! - Lists are in a total order and are read on with a cursor, never with an offset.

mod api;
mod blob;
mod connect;
mod error;
mod ids;
mod migrate;
mod sql;
mod tenant;
mod time;

pub use api::candidates::{
    CandidateInfo, CandidateStore, NewCandidate, NewTestRun, Records, StoredCandidate, StoredScore,
};
pub use api::idempotency::{Claim, ClaimRequest, Completion, Held, IdempotencyStore, StoredResponse};
pub use api::issues::{Issue, IssueStore, NewIssue};
pub use api::jobs::{End, Heartbeat, Job, JobState, JobStore, Lease, NewJob, WaitingJobs};
pub use api::outcomes::{
    IssueLabels, LabelCursor, LabelledCandidate, NewOutcome, OutcomeStore, RecordedOutcome, labelled_issues,
};
pub use api::runs::{Checkpoint, NewCheckpoint, NewRunEvent, RunEvent, RunStore};
pub use api::selections::{
    Member, NewMember, NewSelection, Page, SelectionCursor, SelectionFilter, SelectionRecord, SelectionStore,
    SelectionSummary,
};
pub use api::settings::{Setting, SettingStore};
pub use api::tokens::{ApiToken, NewToken, PreviousSecret, Rotation, TokenStore};
pub use api::{Maintenance, PoolState, Purged, Store};
pub use connect::{ConnectOptions, Durability, OnPending, connect};
pub use error::{Result, StoreError};
pub use ids::ContentId;
pub use migrate::{Migration, MigrationState};
pub use sql::{PgStore, SqliteStore};
pub use tenant::Tenant;
pub use time::Timestamp;
