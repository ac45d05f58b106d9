//! `POST /v1/selections/{id}/outcomes`.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use server::{
    Json, Path, Problem, ProblemResponses, auth::Caller, idempotency::Ticket, intake::check_id,
    stored::Answer,
};
use store::{NewOutcome, RecordedOutcome, SelectionRecord, Store, Tenant, Timestamp};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::{Service, errors, meter};

/// What became of candidates.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportOutcomes {
    /// One for each candidate of which something is known.
    #[schema(min_items = 1)]
    outcomes: Vec<OutcomeIn>,
    /// Who says so, such as `ci` or a name; `user` when it is left out.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f]+$")]
    source: Option<String>,
}

/// What became of one candidate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OutcomeIn {
    /// The candidate; the chosen one when it is left out.
    #[serde(default)]
    candidate_id: Option<String>,
    /// Whether it resolves the issue.
    resolved: bool,
    /// A finer reward, where there is one.
    #[serde(default)]
    reward: Option<f64>,
}

/// A reported outcome.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct OutcomeView {
    /// The candidate, by its id in the selection; on a candidate by itself its content address.
    candidate_id: String,
    /// Whether it resolves the issue; null where only a reward is known.
    resolved: Option<bool>,
    /// A finer reward; null where there is none.
    reward: Option<f64>,
    /// Who said so.
    source: String,
    /// When: RFC 3339 in UTC.
    #[schema(format = DateTime)]
    reported_at: String,
}

/// The latest outcome of each candidate.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Outcomes {
    /// Of every candidate that has one.
    outcomes: Vec<OutcomeView>,
}

impl OutcomeView {
    pub(in crate::http) fn new(candidate_id: String, outcome: RecordedOutcome) -> Self {
        Self {
            candidate_id,
            resolved: outcome.resolved,
            reward: outcome.reward,
            source: outcome.source,
            reported_at: outcome.reported_at.to_string(),
        }
    }

    pub(super) async fn of_selection(
        store: &dyn Store,
        tenant: &Tenant,
        id: Uuid,
    ) -> Result<Vec<Self>, Problem> {
        let outcomes = store.selection_outcomes(tenant, id).await.map_err(errors::stored)?;
        Ok(outcomes.into_iter().map(|(candidate, outcome)| Self::new(candidate, outcome)).collect())
    }
}

/// Report whether candidates of a selection resolved the issue
///
/// The latest report about a candidate counts; earlier ones are kept. Preference data is drawn from them.
#[utoipa::path(post, path = "/v1/selections/{id}/outcomes", tag = "selections",
    params(
        ("id" = Uuid, Path, description = "The selection."),
        ("idempotency-key" = Option<String>, Header,
            description = "The same key with the same body gets the first answer again.",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    request_body = ReportOutcomes,
    responses(
        (status = 200, description = "Stored. The latest outcome of each candidate.", body = Outcomes),
        ProblemResponses,
    ),
)]
pub(super) async fn report(
    State(service): State<Service>,
    caller: Caller,
    ticket: Option<Extension<Ticket>>,
    Path(id): Path<Uuid>,
    Json(request): Json<ReportOutcomes>,
) -> Result<Response, Problem> {
    let tenant = &caller.tenant;
    let record = service.store.selection(tenant, id).await.map_err(errors::stored)?;
    let (new, now) = (outcomes(&record, request)?, Timestamp::now());
    let known = service.store.selection_outcomes(tenant, id).await.map_err(errors::stored)?;
    let answer = Outcomes { outcomes: after(&record, known, &new, now) };
    let body = serde_json::to_vec(&answer).map_err(|error| Problem::internal(&error))?;
    let (ticket, ttl) = (ticket.map(|Extension(ticket)| ticket), service.settings.idempotency_ttl.0);
    let mut answer = Answer::json(StatusCode::OK, body, None, ticket, ttl)?;
    let resolved: Vec<bool> = new.iter().filter_map(|outcome| outcome.resolved).collect();
    service.store.put_outcomes(tenant, new, now, answer.completion()).await.map_err(errors::stored)?;
    resolved.into_iter().for_each(meter::reported);
    Ok(answer.stored())
}

/// The latest outcome of each candidate once `new` is stored. Two candidates may have the same content, and then share
/// their outcomes.
fn after(
    record: &SelectionRecord,
    known: Vec<(String, RecordedOutcome)>,
    new: &[NewOutcome],
    now: Timestamp,
) -> Vec<OutcomeView> {
    let mut known: BTreeMap<String, RecordedOutcome> = known.into_iter().collect();
    let mut views = Vec::with_capacity(record.members.len());
    for (candidate, content) in &record.members {
        let reported = new.iter().rev().find(|new| new.content_id == *content).map(|new| RecordedOutcome {
            id: new.id,
            content_id: new.content_id,
            selection_id: new.selection_id,
            resolved: new.resolved,
            reward: new.reward,
            source: new.source.clone(),
            reported_at: now,
        });
        if let Some(outcome) = reported.or_else(|| known.remove(candidate)) {
            views.push(OutcomeView::new(candidate.clone(), outcome));
        }
    }
    views
}

fn outcomes(record: &SelectionRecord, request: ReportOutcomes) -> Result<Vec<NewOutcome>, Problem> {
    let source = request.source.unwrap_or_else(|| "user".to_owned());
    check_id("source", &source)?;
    if request.outcomes.is_empty() {
        return Err(Problem::field("outcomes", "is empty; say what became of at least one candidate"));
    }
    let mut seen = BTreeSet::new();
    let mut outcomes = Vec::with_capacity(request.outcomes.len());
    for (index, given) in request.outcomes.into_iter().enumerate() {
        let field = format!("outcomes[{index}].candidate_id");
        let Some(candidate_id) = given.candidate_id.or_else(|| record.result.chosen.clone()) else {
            return Err(Problem::field(field, "is missing, and this selection chose none"));
        };
        let content_id = record.content_id(Some(&candidate_id)).map_err(|_| {
            Problem::field(&field, format!("this selection has no candidate `{candidate_id}`"))
        })?;
        if !seen.insert(candidate_id.clone()) {
            return Err(Problem::field(&field, format!("`{candidate_id}` is named twice")));
        }
        outcomes.push(NewOutcome {
            id: Uuid::now_v7(),
            content_id,
            selection_id: Some(record.id),
            resolved: Some(given.resolved),
            reward: given.reward,
            source: source.clone(),
            detail: None,
        });
    }
    Ok(outcomes)
}
