//! API tokens. The store never sees a token, only its hash.

use async_trait::async_trait;
use uuid::Uuid;

use crate::{Result, Tenant, Timestamp};

/// A token to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its id: a UUID of version 7, made by the caller.
    pub id: Uuid,
    /// Whose records it opens.
    pub tenant: Tenant,
    /// What its owner calls it; not empty.
    pub name: String,
    /// Hash of the secret (the token has enough entropy that a fast hash does). Unique.
    pub hash: [u8; 32],
    /// What it may do, such as `read`.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops being valid; `None` for never.
    pub expires_at: Option<Timestamp>,
}

/// A stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: Uuid,
    /// Whose records it opens.
    pub tenant: Tenant,
    /// What its owner calls it.
    pub name: String,
    /// Hash of the secret; compare it in constant time.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops being valid; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last seen, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it got the secret that it has, where that is not its first.
    pub rotated_at: Option<Timestamp>,
    /// The secret before, while it is still accepted.
    pub previous: Option<PreviousSecret>,
}

/// The secret that a token had before its last rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreviousSecret {
    /// Hash of the secret; compare it in constant time.
    pub hash: [u8; 32],
    /// Until when it is accepted beside the new one.
    pub until: Timestamp,
}

/// A new secret for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Hash of the new secret. Unique.
    pub hash: [u8; 32],
    /// Until when the present secret is accepted beside it.
    pub previous_until: Timestamp,
    /// When the token stops being valid from now on; `None` for never.
    pub expires_at: Option<Timestamp>,
}

impl ApiToken {
    /// Whether it is neither revoked nor expired at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expiry| now < expiry)
    }
}

/// API tokens.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Stores a token; `Conflict` when its id or hash is taken.
    async fn create_token(&self, token: NewToken) -> Result<()>;

    /// The token with this id, valid or not, or `NotFound`. For tokens that carry their id in clear.
    async fn token(&self, id: Uuid) -> Result<ApiToken>;

    /// The token whose secret, or whose secret before the last rotation, has this hash; valid or not.
    async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>>;

    /// Every token of every tenant, oldest first.
    async fn tokens(&self) -> Result<Vec<ApiToken>>;

    /// Revokes a token; one that is revoked keeps its time. `NotFound` when there is none.
    async fn revoke_token(&self, id: Uuid, now: Timestamp) -> Result<()>;

    /// Gives a token a new secret; the present one stays good for a while, an earlier one is forgotten. The token's id,
    /// tenant and scopes stay. `NotFound` when there is none, `Conflict` when it was revoked or has expired.
    async fn rotate_token(&self, id: Uuid, rotation: Rotation, now: Timestamp) -> Result<()>;

    /// Notes that a token was used. Writes at most once a minute for a token.
    async fn touch_token(&self, id: Uuid, now: Timestamp) -> Result<()>;
}
