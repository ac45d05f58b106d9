//! API tokens in SQL.

use async_trait::async_trait;
use uuid::Uuid;

use super::rows::json;
use super::statement::{Row, Statement};
use super::{Backend, SqlStore};
use crate::api::candidates::check_key;
use crate::{ApiToken, NewToken, Result, StoreError, Timestamp, TokenStore};

const COLUMNS: &str =
    "SELECT id, name, hash, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_tokens";
/// The last use is kept to the minute: a write for every request would cost more than the request.
const TOUCH_EVERY: std::time::Duration = std::time::Duration::from_mins(1);

fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

fn token(row: &Row) -> Result<ApiToken> {
    let hash: String = row.get("hash")?;
    let hash = blake3::Hash::from_hex(&hash).map_err(|error| StoreError::corrupt("column hash", error))?;
    Ok(ApiToken {
        id: row.uuid("id")?,
        name: row.get("name")?,
        hash: *hash.as_bytes(),
        scopes: row.json("scopes")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_opt("expires_at")?,
        revoked_at: row.time_opt("revoked_at")?,
        last_used_at: row.time_opt("last_used_at")?,
    })
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
        let sql = "INSERT INTO api_tokens (id, name, hash, scopes, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING id";
        let insert = Statement::new(sql)
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
        let row = self.read_one(Statement::built(format!("{COLUMNS} WHERE id = $1")).bind(id)).await?;
        token(&row.ok_or_else(|| StoreError::not_found("token", id))?)
    }

    async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>> {
        let read = Statement::built(format!("{COLUMNS} WHERE hash = $1")).bind(hex(hash));
        self.read_one(read).await?.as_ref().map(token).transpose()
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>> {
        let read = Statement::built(format!("{COLUMNS} ORDER BY created_at, id"));
        self.read(read).await?.iter().map(token).collect()
    }

    async fn revoke_token(&self, id: Uuid, now: Timestamp) -> Result<()> {
        let sql = "UPDATE api_tokens SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1 RETURNING id";
        let revoke = Statement::new(sql).bind(id).bind(now).or_else(StoreError::not_found("token", id));
        self.write_one(revoke).await.map(drop)
    }

    async fn touch_token(&self, id: Uuid, now: Timestamp) -> Result<()> {
        let stale = "SELECT id FROM api_tokens WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
        let before = now.minus(TOUCH_EVERY);
        if self.read(Statement::new(stale).bind(id).bind(before)).await?.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE api_tokens SET last_used_at = $2
            WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
        self.write_relaxed(Statement::new(sql).bind(id).bind(now)).await.map(drop)
    }
}
