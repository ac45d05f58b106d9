//! Idempotency keys: a creating request that is sent again gets the first one's answer, and nothing is made twice.
//!
//! A request [claims](IdempotencyStore::claim) its key, does its work, and stores its answer in the same transaction
//! as what it made ([`Completion`]). A process that dies in between leaves a claim that expires; whoever retries
//! after that starts afresh, and a late answer of the first holder is refused, because claims have ids.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{Result, Tenant, Timestamp};

/// A key that a client sent with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// Whose key it is.
    pub tenant: Tenant,
    /// What it is for: caller and route. The same key in two scopes is two keys.
    pub scope: String,
    /// The key.
    pub key: String,
    /// Hash of the request's body: the same key with another body is a mistake of the client.
    pub body_hash: [u8; 32],
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The key is the caller's: do the work, then complete or release it.
    Acquired(Held),
    /// Another request with this key and body is being worked on, until `until` at most.
    InProgress {
        /// When its claim expires.
        until: Timestamp,
    },
    /// The key was used with another body.
    Mismatch,
    /// The work was done: the answer that was given.
    Done(StoredResponse),
}

/// A claim that the caller holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Whose key it is.
    pub tenant: Tenant,
    /// The key's scope.
    pub scope: String,
    /// The key.
    pub key: String,
    /// This claim of it.
    pub claim_id: Uuid,
}

/// An answer to be given again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredResponse {
    /// HTTP status.
    pub status: u16,
    /// Headers worth repeating, such as `content-type` and `location`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A claim together with its answer; handed to the operation that does the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The claim.
    pub held: Held,
    /// The answer.
    pub response: StoredResponse,
    /// Until when the answer is given again.
    pub expires_at: Timestamp,
}

/// Idempotency keys.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Claims a key for `lease`, atomically: of any number of callers at most one acquires it.
    async fn claim(&self, request: ClaimRequest, now: Timestamp, lease: Duration) -> Result<Claim>;

    /// Holds a claim for `lease` from now on: whoever works longer says now and then that he still lives. A claim that
    /// was lost or completed stays as it is.
    async fn renew(&self, held: &Held, now: Timestamp, lease: Duration) -> Result<()>;

    /// Stores the answer of a request that made nothing else; `Conflict` when the claim was lost.
    async fn complete(&self, completion: Completion) -> Result<()>;

    /// Gives a claim up, so that the request can be sent again at once: after a failure that left nothing behind.
    /// A claim that was lost or completed stays as it is.
    async fn release(&self, held: &Held) -> Result<()>;
}
