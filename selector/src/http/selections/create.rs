//! `POST /v1/selections`.

use std::{str::FromStr as _, sync::Arc, time::Instant};

use axum::{Extension, extract::State, response::Response};
use common::{Degraded, Selection};
use http::StatusCode;
use server::{
    Json, Problem, ProblemResponses, auth::Caller, idempotency::Ticket, observe::RequestId, stored::Answer,
};
use store::{
    ContentId, NewIssue, NewSelection, SelectionRecord, StoreError, StoredCandidate, Tenant, Timestamp,
};
use tracing::{Instrument as _, info_span};
use uuid::Uuid;

use super::{
    pool::{self, Ready},
    scoring,
    types::{CreateSelection, SelectionView},
};
use crate::{
    PolicyRequest, Prepared, PreparedPool,
    http::{Service, errors, meter},
    select_prepared,
};

/// Select among the candidates of an issue
///
/// Takes candidates as `candidates`, as raw `files` of any known format, or by the content ids of `stored` ones.
/// Labels in files never reach the selection. The answer is stored and can be read again.
#[utoipa::path(
    post, path = "/v1/selections", tag = "selections",
    params(("idempotency-key" = Option<String>, Header,
        description = "The same key with the same body gets the first answer again.",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body = CreateSelection,
    responses(
        (status = 201, description = "The selection.", body = SelectionView, headers(
            ("location" = String, description = "Where the selection can be read."),
            ("idempotency-replayed" = Option<String>, description = "`true` when this is the answer to an earlier request."),
        )),
        ProblemResponses,
    ),
)]
pub(super) async fn create(
    State(service): State<Service>,
    caller: Caller,
    ticket: Option<Extension<Ticket>>,
    id: Option<Extension<RequestId>>,
    Json(request): Json<CreateSelection>,
) -> Result<Response, Problem> {
    let started = Instant::now();
    let known = known(&service, &caller.tenant, &request.stored).await?;
    let limits = service.settings.clone();
    let read = service.compute(move || pool::prepare(request, known, &limits));
    let mut ready = read.instrument(info_span!("read candidates")).await?;
    let (scored, pool) = tokio::join!(
        scoring::score(&service, &caller.tenant, &ready, id.as_ref().map(|Extension(id)| id))
            .instrument(info_span!("ask verifier", candidates = ready.candidates.len())),
        prepare(&service, &ready).instrument(info_span!("prepare candidates")),
    );
    ready.evidence.scores.extend(scored.scores);
    let (pool, policy) = (pool?, ready.policy.name());
    let decided = service.compute(move || decide(ready, &pool, scored.notes));
    let created = decided.instrument(info_span!("select")).await?;
    let selected = meter::Selected::of(policy, &created.new.result, scored.outcome);
    let kept = keep(&service, &caller.tenant, created, ticket.map(|Extension(ticket)| ticket));
    let kept = kept.instrument(info_span!("store selection")).await?;
    selected.count(started.elapsed());
    Ok(kept)
}

/// Reads patches and conversations, while the verifier does the same.
async fn prepare(service: &Service, ready: &Ready) -> Result<PreparedPool, Problem> {
    let (instance_id, issue) = (ready.instance_id.to_string(), ready.issue.clone());
    let candidates = ready.candidates.clone();
    let work = move || {
        let candidates = candidates.iter().map(|candidate| Arc::new(Prepared::new(candidate))).collect();
        Ok(PreparedPool { instance_id, issue, candidates })
    };
    service.compute(work).await
}

/// The candidates that the request names by content id.
async fn known(service: &Service, tenant: &Tenant, ids: &[String]) -> Result<Vec<StoredCandidate>, Problem> {
    if ids.len() > service.settings.candidates {
        let message =
            format!("are {}, the limit of one request is {}", ids.len(), service.settings.candidates);
        return Err(Problem::too_large("stored", message));
    }
    let mut parsed = Vec::with_capacity(ids.len());
    for (index, id) in ids.iter().enumerate() {
        let field = || format!("stored[{index}]");
        let id = ContentId::from_str(id)
            .map_err(|_| Problem::field(field(), "is not a content id: 32 hex digits"))?;
        if parsed.contains(&id) {
            return Err(Problem::field(field(), "is named twice"));
        }
        parsed.push(id);
    }
    if parsed.is_empty() {
        return Ok(Vec::new());
    }
    service.store.candidates(tenant, &parsed).await.map_err(|error| match error {
        StoreError::NotFound { id, .. } => {
            let index = ids.iter().position(|given| *given == id).unwrap_or_default();
            Problem::field(format!("stored[{index}]"), format!("there is no candidate `{id}`"))
        }
        error => errors::stored(error),
    })
}

/// A selection ready to be stored and answered.
struct Created {
    new: NewSelection,
    body: Vec<u8>,
}

fn decide(ready: Ready, pool: &PreparedPool, notes: Vec<Degraded>) -> Result<Created, Problem> {
    let wish = PolicyRequest {
        policy: ready.policy,
        min_confidence: ready.options.min_confidence,
        ..PolicyRequest::default()
    };
    let mut result: Selection = select_prepared(pool, &ready.evidence, &wish)
        .map_err(|error| errors::selected(&error, ready.own_tests))?;
    if !notes.is_empty() {
        // They say more than what selection itself can say of missing scores.
        result.degraded.retain(|degraded| notes.iter().all(|note| degraded.evidence != note.evidence));
        result.degraded.extend(notes);
    }
    let request = serde_json::to_value(&ready.request).map_err(|error| Problem::internal(&error))?;
    let new = NewSelection {
        id: Uuid::now_v7(),
        created_at: Timestamp::now(),
        issue: NewIssue {
            instance_id: pool.instance_id.clone(),
            text: pool.issue.as_deref().map(str::to_owned),
        },
        members: ready.members,
        tests: ready.evidence.tests,
        scores: ready.evidence.scores,
        request,
        result,
    };
    let record = SelectionRecord {
        id: new.id,
        created_at: new.created_at,
        request: new.request.clone(),
        result: new.result.clone(),
        members: new
            .members
            .iter()
            .map(|member| (member.candidate_id.clone(), member.content.id()))
            .collect(),
    };
    let view = SelectionView::new(record, Vec::new());
    let body = serde_json::to_vec(&view).map_err(|error| Problem::internal(&error))?;
    Ok(Created { new, body })
}

/// Stores the selection, together with the answer when it may be asked for again.
async fn keep(
    service: &Service,
    tenant: &Tenant,
    created: Created,
    ticket: Option<Ticket>,
) -> Result<Response, Problem> {
    let Created { new, body } = created;
    let location = format!("/v1/selections/{}", new.id);
    let ttl = service.settings.idempotency_ttl.0;
    let mut answer = Answer::json(StatusCode::CREATED, body, Some(&location), ticket, ttl)?;
    service.store.record_selection(tenant, new, answer.completion()).await.map_err(errors::stored)?;
    Ok(answer.stored())
}
