//! Idempotency keys in SQL.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::rows::json;
use super::statement::{Row, Statement};
use super::{Backend, SqlStore};
use crate::api::candidates::check_key;
use crate::{
    Claim, ClaimRequest, Completion, Held, IdempotencyStore, Result, StoreError, StoredResponse, Timestamp,
    blob,
};

/// How often a claim is tried when the key expires and is purged between the two statements of a try.
const TRIES: usize = 5;

/// Stores the answer, if the claim still stands.
pub(super) fn complete(completion: Completion) -> Result<Statement> {
    let Completion { held, response, expires_at } = completion;
    let lost = StoreError::Conflict {
        what: "idempotency key",
        id: held.key.clone(),
        detail: "the claim was lost: it expired and another request took the key".to_owned(),
    };
    let sql = "UPDATE idempotency_keys SET status = $5, headers = $6, response = $7, expires_at = $8
        WHERE tenant = $1 AND scope = $2 AND key = $3 AND claim_id = $4 AND status IS NULL RETURNING claim_id";
    Ok(Statement::of(&held.tenant, sql)
        .bind(held.scope)
        .bind(held.key)
        .bind(held.claim_id)
        .bind(i64::from(response.status))
        .bind(json("headers", &response.headers)?)
        .bind(blob::encode(&response.body))
        .bind(expires_at)
        .or_else(lost))
}

fn stored(row: &Row) -> Result<StoredResponse> {
    let body: Vec<u8> = row.get("response")?;
    Ok(StoredResponse {
        status: row.number("status")?,
        headers: row.json("headers")?,
        body: blob::decode(&body).map_err(|detail| StoreError::corrupt("response", detail))?.into_owned(),
    })
}

#[async_trait]
impl<B: Backend> IdempotencyStore for SqlStore<B> {
    async fn claim(&self, request: ClaimRequest, now: Timestamp, lease: Duration) -> Result<Claim> {
        let ClaimRequest { tenant, scope, key, body_hash } = request;
        check_key("scope", &scope)?;
        check_key("idempotency key", &key)?;
        let body_hash = blake3::Hash::from_bytes(body_hash).to_hex().to_string();
        let claim_id = Uuid::new_v4();
        // Takes the key when it is free or expired; nothing comes back when it is neither.
        let take = "INSERT INTO idempotency_keys (tenant, scope, key, body_hash, claim_id, claimed_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (tenant, scope, key) DO UPDATE SET body_hash = excluded.body_hash, claim_id = excluded.claim_id,
                claimed_at = excluded.claimed_at, expires_at = excluded.expires_at,
                status = NULL, headers = NULL, response = NULL
            WHERE idempotency_keys.expires_at <= excluded.claimed_at
            RETURNING claim_id";
        let look = "SELECT body_hash, status, headers, response, expires_at FROM idempotency_keys
            WHERE tenant = $1 AND scope = $2 AND key = $3";
        for _ in 0..TRIES {
            let taken = self
                .write_relaxed(
                    Statement::of(&tenant, take)
                        .bind(scope.as_str())
                        .bind(key.as_str())
                        .bind(body_hash.as_str())
                        .bind(claim_id)
                        .bind(now)
                        .bind(now.plus(lease)),
                )
                .await?;
            if !taken.is_empty() {
                return Ok(Claim::Acquired(Held { tenant, scope, key, claim_id }));
            }
            let look = Statement::of(&tenant, look).bind(scope.as_str()).bind(key.as_str());
            let Some(row) = self.read_one(look).await? else { continue };
            if row.get::<String>("body_hash")? != body_hash {
                return Ok(Claim::Mismatch);
            }
            return Ok(match row.get::<Option<i64>>("status")? {
                Some(_) => Claim::Done(stored(&row)?),
                None => Claim::InProgress { until: row.time("expires_at")? },
            });
        }
        let detail = "an idempotency key was taken and freed again and again".to_owned();
        Err(StoreError::Unavailable { detail, source: None })
    }

    async fn renew(&self, held: &Held, now: Timestamp, lease: Duration) -> Result<()> {
        let sql = "UPDATE idempotency_keys SET expires_at = $5
            WHERE tenant = $1 AND scope = $2 AND key = $3 AND claim_id = $4 AND status IS NULL";
        let update = Statement::of(&held.tenant, sql)
            .bind(held.scope.as_str())
            .bind(held.key.as_str())
            .bind(held.claim_id)
            .bind(now.plus(lease));
        self.write_relaxed(update).await.map(drop)
    }

    async fn complete(&self, completion: Completion) -> Result<()> {
        self.write_one(complete(completion)?).await.map(drop)
    }

    async fn release(&self, held: &Held) -> Result<()> {
        let sql = "DELETE FROM idempotency_keys
            WHERE tenant = $1 AND scope = $2 AND key = $3 AND claim_id = $4 AND status IS NULL";
        let delete = Statement::of(&held.tenant, sql)
            .bind(held.scope.as_str())
            .bind(held.key.as_str())
            .bind(held.claim_id);
        self.write_relaxed(delete).await.map(drop)
    }
}
