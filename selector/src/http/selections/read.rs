//! `GET /v1/selections` and `GET /v1/selections/{id}`.

use std::str::FromStr as _;

use axum::{Json, extract::State};
use server::{Path, Problem, ProblemResponses, Query, auth::Caller};
use store::{SelectionCursor, SelectionFilter};
use uuid::Uuid;

use super::{
    outcomes::OutcomeView,
    types::{ListQuery, SelectionPage, SelectionView},
};
use crate::http::{Service, errors};

/// Lines on a page when the request does not say.
const DEFAULT_LIMIT: u32 = 50;
/// Most lines on a page.
const MAX_LIMIT: u32 = 1000;

/// List selections, newest first
#[utoipa::path(get, path = "/v1/selections", tag = "selections", params(ListQuery), responses(
    (status = 200, description = "A page of the list.", body = SelectionPage),
    ProblemResponses,
))]
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<SelectionPage>, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::field("limit", format!("must be from 1 to {MAX_LIMIT}")));
    }
    let cursor =
        query.cursor.as_deref().map(SelectionCursor::from_str).transpose().map_err(errors::stored)?;
    let filter = SelectionFilter {
        instance_id: query.instance_id,
        policy: query.policy.map(|policy| policy.name().to_owned()),
        resolved: query.resolved,
        has_outcome: query.has_outcome,
        ..SelectionFilter::default()
    };
    let page =
        service.store.selections(&caller.tenant, &filter, cursor, limit).await.map_err(errors::stored)?;
    Ok(Json(SelectionPage {
        selections: page.items.into_iter().map(Into::into).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }))
}

/// One selection with the outcomes reported since
#[utoipa::path(get, path = "/v1/selections/{id}", tag = "selections",
    params(("id" = Uuid, Path, description = "The selection.")),
    responses(
        (status = 200, description = "The selection.", body = SelectionView),
        ProblemResponses,
    ),
)]
pub(super) async fn get(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<SelectionView>, Problem> {
    let record = service.store.selection(&caller.tenant, id).await.map_err(errors::stored)?;
    let outcomes = OutcomeView::of_selection(&*service.store, &caller.tenant, id).await?;
    Ok(Json(SelectionView::new(record, outcomes)))
}
