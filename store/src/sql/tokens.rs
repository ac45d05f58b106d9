//! API tokens in SQL.

use async_trait::async_trait;
use uuid::Uuid;

use super::rows::json;
use super::statement::{Row, Statement};
use super::{Backend, SqlStore};
use crate::api::candidates::check_key;
use crate::{ApiToken, NewToken, PreviousSecret, Result, Rotation, StoreError, Timestamp, TokenStore};

const COLUMNS: &str =
    "SELECT id, tenant, name, hash, scopes, created_at, expires_at, revoked_at, last_used_at,
    rotated_at, previous_hash, previous_until FROM api_tokens";
/// The last use is kept to the minute: a write for every request would cost more than the request.
const TOUCH_EVERY: std::time::Duration = std::time::Duration::from_mins(1);

fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

fn unhex(hash: &str) -> Result<[u8; 32]> {
    let hash = blake3::Hash::from_hex(hash).map_err(|error| StoreError::corrupt("column hash", error))?;
    Ok(*hash.as_bytes())
}

fn token(row: &Row) -> Result<ApiToken> {
    let previous = row.get::<Option<String>>("previous_hash")?.zip(row.time_opt("previous_until")?);
    let previous =
        previous.map(|(hash, until)| Ok::<_, StoreError>(PreviousSecret { hash: unhex(&hash)?, until }));
    Ok(ApiToken {
        id: row.uuid("id")?,
        tenant: row.tenant("tenant")?,
        name: row.get("name")?,
        hash: unhex(&row.get::<String>("hash")?)?,
        scopes: row.json("scopes")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_opt("expires_at")?,
        revoked_at: row.time_opt("revoked_at")?,
        last_used_at: row.time_opt("last_used_at")?,
        rotated_at: row.time_opt("rotated_at")?,
        previous: previous.transpose()?,
    })
}

fn unusable(id: Uuid) -> StoreError {
    StoreError::Conflict {
        what: "token",
        id: id.to_string(),
        detail: "it was revoked or has expired; create a new one".to_owned(),
    }
}

#[async_trait]
impl<B: Backend> TokenStore for SqlStore<B> {
    async fn create_token(&self, token: NewToken) -> Result<()> {
        check_key("name", &token.name)?;
        let taken = StoreError::Conflict {
            what: "token",
            id: token.id.to_string(),
            detail: "a token with this id or secret exists already".to_owned(),
        };
        let sql = "INSERT INTO api_tokens (tenant, id, name, hash, scopes, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id";
        let insert = Statement::of(&token.tenant, sql)
            .bind(token.id)
            .bind(token.name)
            .bind(hex(&token.hash))
            .bind(json("scopes", &token.scopes)?)
            .bind(token.created_at)
            .bind(token.expires_at)
            .or_else(taken);
        self.write_one(insert).await.map(drop)
    }

    async fn token(&self, id: Uuid) -> Result<ApiToken> {
        let row = self.read_one(Statement::wide_built(format!("{COLUMNS} WHERE id = $1")).bind(id)).await?;
        token(&row.ok_or_else(|| StoreError::not_found("token", id))?)
    }

    async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>> {
        let read =
            Statement::wide_built(format!("{COLUMNS} WHERE hash = $1 OR previous_hash = $1")).bind(hex(hash));
        self.read_one(read).await?.as_ref().map(token).transpose()
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>> {
        let read = Statement::wide_built(format!("{COLUMNS} ORDER BY created_at, id"));
        self.read(read).await?.iter().map(token).collect()
    }

    async fn revoke_token(&self, id: Uuid, now: Timestamp) -> Result<()> {
        let sql = "UPDATE api_tokens SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1 RETURNING id";
        let revoke = Statement::wide(sql).bind(id).bind(now).or_else(StoreError::not_found("token", id));
        self.write_one(revoke).await.map(drop)
    }

    async fn rotate_token(&self, id: Uuid, rotation: Rotation, now: Timestamp) -> Result<()> {
        if !self.token(id).await?.is_valid(now) {
            return Err(unusable(id));
        }
        let sql =
            "UPDATE api_tokens SET previous_hash = hash, previous_until = $3, hash = $4, expires_at = $5,
                rotated_at = $2
            WHERE id = $1 AND revoked_at IS NULL RETURNING id";
        let rotate = Statement::wide(sql)
            .bind(id)
            .bind(now)
            .bind(rotation.previous_until)
            .bind(hex(&rotation.hash))
            .bind(rotation.expires_at);
        self.write_one(rotate.or_else(unusable(id))).await.map(drop)
    }

    async fn touch_token(&self, id: Uuid, now: Timestamp) -> Result<()> {
        let stale = "SELECT id FROM api_tokens WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
        let before = now.minus(TOUCH_EVERY);
        if self.read(Statement::wide(stale).bind(id).bind(before)).await?.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE api_tokens SET last_used_at = $2
            WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
        self.write_relaxed(Statement::wide(sql).bind(id).bind(now)).await.map(drop)
    }
}
