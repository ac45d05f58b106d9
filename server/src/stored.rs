//! The store as the edge wants it: tokens, idempotency keys, and whether the database answers.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use store::{ClaimRequest, Completion, Store, StoreError, Timestamp};

use crate::{
    Kind, Problem,
    auth::{Scope, TokenHash, TokenRecord, TokenStore},
    health::Probe,
    idempotency::{
        Claim, Claimed, Held, IdempotencyStore, RENEW_EVERY, StoredResponse, Ticket, kept_headers,
    },
    problem::chain,
};

/// How long a claim outlives the last sign of life of its request: so long a retry waits after a crash.
const CLAIM_LEASE: Duration = RENEW_EVERY.saturating_mul(3);

/// The store behind the edge's traits.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The records.
    pub store: Arc<dyn Store>,
    /// How long the answer to an idempotent request is kept.
    pub idempotency_ttl: Duration,
}

#[async_trait]
impl TokenStore for Stored {
    async fn find(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, String> {
        let now = Timestamp::now();
        let found = self.store.token_by_hash(hash.as_bytes()).await.map_err(|error| error.to_string())?;
        let Some(token) = found else { return Ok(None) };
        if let Err(error) = self.store.touch_token(token.id, now).await {
            tracing::warn!(%error, "the use of a token cannot be noted");
        }
        let widest = token.scopes.iter().filter_map(|scope| scope.parse::<Scope>().ok()).max();
        Ok(widest.map(|scope| TokenRecord {
            id: token.id.to_string(),
            name: token.name.clone(),
            tenant: token.tenant.clone(),
            hash: TokenHash::from_bytes(token.hash),
            previous: token
                .previous
                .filter(|previous| now < previous.until)
                .map(|previous| TokenHash::from_bytes(previous.hash)),
            scope,
            expired: !token.is_valid(now),
        }))
    }
}

#[async_trait]
impl IdempotencyStore for Stored {
    async fn claim(&self, claim: &Claim) -> Result<Claimed, String> {
        let request = ClaimRequest {
            tenant: claim.tenant.clone(),
            scope: claim.scope.clone(),
            key: claim.key.clone(),
            body_hash: claim.body_hash,
        };
        let answer = self.store.claim(request, Timestamp::now(), CLAIM_LEASE).await;
        Ok(match answer.map_err(|error| error.to_string())? {
            store::Claim::Acquired(held) => Claimed::Fresh(Held {
                tenant: held.tenant,
                scope: held.scope,
                key: held.key,
                id: held.claim_id,
            }),
            store::Claim::Done(stored) => Claimed::Replay(StoredResponse {
                status: stored.status,
                headers: stored.headers,
                body: stored.body,
            }),
            store::Claim::Mismatch => Claimed::Mismatch,
            store::Claim::InProgress { .. } => Claimed::InProgress,
        })
    }

    async fn renew(&self, held: &Held) -> Result<(), String> {
        let renewed = self.store.renew(&store_held(held), Timestamp::now(), CLAIM_LEASE).await;
        renewed.map_err(|error| error.to_string())
    }

    async fn complete(&self, held: &Held, response: &StoredResponse) -> Result<(), String> {
        let completion = completion(held, response.clone(), self.idempotency_ttl);
        self.store.complete(completion).await.map_err(|error| error.to_string())
    }

    async fn release(&self, held: &Held) -> Result<(), String> {
        self.store.release(&store_held(held)).await.map_err(|error| error.to_string())
    }
}

/// The answer to a request that makes records. It is stored with them, or neither is: a retry after a crash makes
/// nothing twice.
#[derive(Debug)]
pub struct Answer {
    response: Response,
    ticket: Option<Ticket>,
    completion: Option<Completion>,
}

impl Answer {
    /// `body` is JSON; `location` is where what is made can be read. With a `ticket` the answer is kept for `ttl`.
    pub fn json(
        status: StatusCode,
        body: Vec<u8>,
        location: Option<&str>,
        ticket: Option<Ticket>,
        ttl: Duration,
    ) -> Result<Self, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(location) = location {
            let value = HeaderValue::from_str(location).map_err(|error| Problem::internal(&error))?;
            headers.insert(header::LOCATION, value);
        }
        let completion = ticket.as_ref().map(|ticket| {
            let (status, headers) = (status.as_u16(), kept_headers(&headers));
            completion(ticket.held(), StoredResponse { status, headers, body: body.clone() }, ttl)
        });
        Ok(Self { response: (status, headers, body).into_response(), ticket, completion })
    }

    /// What the store writes in the same transaction as the records.
    pub fn completion(&mut self) -> Option<Completion> {
        self.completion.take()
    }

    /// The response, once both are stored.
    pub fn stored(self) -> Response {
        if let Some(ticket) = self.ticket {
            ticket.mark_kept();
        }
        self.response
    }
}

fn completion(held: &Held, response: StoredResponse, ttl: Duration) -> Completion {
    Completion {
        held: store_held(held),
        response: store::StoredResponse {
            status: response.status,
            headers: response.headers,
            body: response.body,
        },
        expires_at: Timestamp::now().plus(ttl),
    }
}

fn store_held(held: &Held) -> store::Held {
    store::Held {
        tenant: held.tenant.clone(),
        scope: held.scope.clone(),
        key: held.key.clone(),
        claim_id: held.id,
    }
}

#[async_trait]
impl Probe for Stored {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Result<(), String> {
        self.store.ping().await.map_err(|error| error.to_string())
    }
}

/// A store's error as a problem.
pub fn problem(error: StoreError) -> Problem {
    match error {
        StoreError::NotFound { what, id } => Problem::not_found(format!("there is no {what} `{id}`")),
        StoreError::Conflict { .. } => Problem::new(Kind::Conflict, error.to_string()),
        StoreError::Invalid { field, detail } => Problem::field(field, detail),
        StoreError::Unavailable { .. } => {
            Problem::new(Kind::Unavailable, "the database does not answer").with_cause(chain(&error))
        }
        StoreError::Corrupt { .. } | StoreError::Failed { .. } => Problem::internal(&error),
    }
}
