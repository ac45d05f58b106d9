//! The addresses of the page. Each works with and without htmx: asked by htmx it answers with the part to put in
//! place, asked by a browser with the whole page.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use store::{NewOutcome, Store, Timestamp};
use uuid::Uuid;

use super::links::{Links, decode};
use super::list_view::ListQuery;
use super::load::Records;
use super::outcome_form::{self, Notice};
use super::respond::{Html, Raw, WebError, wants_part};
use super::text::count;
use super::{assets, load, origin, pages, turns};
use crate::Policy;

/// The page's routes, for the selector's service to merge with its own.
pub fn router(store: Arc<dyn Store>) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/selections/{id}", get(selection))
        .route("/selections/{id}/candidate", get(candidate))
        .route("/selections/{id}/compare", get(compare))
        .route("/selections/{id}/tests", get(tests))
        .route("/selections/{id}/trajectory", get(trajectory))
        .route("/selections/{id}/raw", get(raw))
        .route("/selections/{id}/outcome", post(report))
        .route("/assets/{name}", get(assets::asset))
        .with_state(store)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ask {
    candidate: Option<String>,
    a: String,
    b: String,
    from: usize,
    what: String,
    turn: usize,
    reported: Option<usize>,
}

/// Rendering takes milliseconds, tens for the largest patches: off the async threads.
async fn render(
    headers: &HeaderMap,
    make: impl FnOnce(bool) -> Result<Html, WebError> + Send + 'static,
) -> Response {
    let part = wants_part(headers);
    let made = tokio::task::spawn_blocking(move || make(part)).await;
    match made.unwrap_or_else(|error| Err(WebError::internal(&error))) {
        Ok(page) => page.into_response(),
        Err(error) => error.answer(part),
    }
}

async fn list(records: Records, Query(query): Query<ListQuery>, headers: HeaderMap) -> Response {
    let loaded = load::list(&records, &query).await;
    // Only the link to older rows asks for rows alone; the filter takes them out of a whole page.
    render(&headers, move |part| {
        let (listed, next) = loaded?;
        let rows_only = part && !query.after.is_empty();
        pages::list(&query, Policy::ALL.iter().map(|p| p.name()), listed, next.as_deref(), rows_only)
    })
    .await
}

async fn detail(records: &Records, id: &str) -> Result<super::data::Detail, WebError> {
    load::detail(records, load::id(id)?).await
}

async fn selection(
    records: Records,
    Path(id): Path<String>,
    Query(ask): Query<Ask>,
    headers: HeaderMap,
) -> Response {
    let loaded = detail(&records, &id).await;
    let notice = ask.reported.map(stored);
    render(&headers, move |_| pages::selection(&loaded?, ask.candidate.as_deref(), notice)).await
}

async fn candidate(
    records: Records,
    Path(id): Path<String>,
    Query(ask): Query<Ask>,
    headers: HeaderMap,
) -> Response {
    let loaded = detail(&records, &id).await;
    let candidate = ask.candidate.unwrap_or_default();
    render(&headers, move |part| {
        if part {
            pages::candidate(&loaded?, &candidate)
        } else {
            pages::selection(&loaded?, Some(&candidate), None)
        }
    })
    .await
}

async fn compare(
    records: Records,
    Path(id): Path<String>,
    Query(ask): Query<Ask>,
    headers: HeaderMap,
) -> Response {
    let loaded = detail(&records, &id).await;
    // The form encodes ids on top of what the browser does.
    let [a, b] = [&ask.a, &ask.b].map(|id| decode(id).unwrap_or_default());
    render(&headers, move |part| pages::compare(&loaded?, [&a, &b], part)).await
}

async fn tests(records: Records, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let loaded = detail(&records, &id).await;
    render(&headers, move |_| pages::tests(&loaded?)).await
}

async fn trajectory(
    records: Records,
    Path(id): Path<String>,
    Query(ask): Query<Ask>,
    headers: HeaderMap,
) -> Response {
    let candidate = ask.candidate.unwrap_or_default();
    let loaded = run_of(&records, &id, &candidate).await;
    render(&headers, move |part| pages::trajectory(&id, &candidate, &loaded?, ask.from, part)).await
}

async fn run_of(records: &Records, id: &str, candidate: &str) -> Result<common::Trajectory, WebError> {
    load::trajectory(records, load::id(id)?, candidate).await
}

/// The full text of something that a page shows in part.
async fn raw(records: Records, Path(id): Path<String>, Query(ask): Query<Ask>) -> Response {
    match raw_text(&records, &id, &ask).await {
        Ok(text) => Raw(text).into_response(),
        Err(error) => error.answer(false),
    }
}

async fn raw_text(records: &Records, id: &str, ask: &Ask) -> Result<String, WebError> {
    let nothing = || WebError::not_found("there is no such text");
    if ask.what == "issue" {
        return detail(records, id).await?.issue.ok_or_else(nothing);
    }
    let run = run_of(records, id, ask.candidate.as_deref().unwrap_or_default()).await?;
    match ask.what.as_str() {
        "patch" => run.patch.ok_or_else(nothing),
        "turn" => ask.turn.checked_sub(1).and_then(|i| run.turns.get(i)).map(turns::raw).ok_or_else(nothing),
        _ => Err(nothing()),
    }
}

fn stored(reports: usize) -> Notice {
    Notice { class: "good notice", words: format!("✓ Stored {}.", count(reports, "outcome", "outcomes")) }
}

async fn report(
    records: Records,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let part = wants_part(&headers);
    match store_report(&records, &id, &headers, &fields).await {
        Ok(Ok(reports)) if part => match detail(&records, &id).await {
            Ok(detail) => render(&headers, move |_| pages::outcome(&detail, stored(reports))).await,
            Err(error) => error.answer(true),
        },
        // So that reloading the page does not send the form again.
        Ok(Ok(reports)) => {
            Redirect::to(&format!("{}?reported={reports}#outcome", Links::new(&id).selection()))
                .into_response()
        }
        Ok(Err(refused)) => {
            let loaded = detail(&records, &id).await;
            let notice = Notice { class: "warn notice", words: format!("Not stored: {refused}.") };
            let made = render(&headers, move |part| {
                if part {
                    pages::outcome(&loaded?, notice)
                } else {
                    pages::selection(&loaded?, None, Some(notice))
                }
            });
            let mut response = made.await;
            if response.status() == StatusCode::OK {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            response
        }
        Err(error) => error.answer(part),
    }
}

/// Stores what a form reports: how many outcomes, or why not.
async fn store_report(
    records: &Records,
    id: &str,
    headers: &HeaderMap,
    fields: &[(String, String)],
) -> Result<Result<usize, String>, WebError> {
    origin::same_origin(headers).map_err(WebError::forbidden)?;
    let selection_id = load::id(id)?;
    let record = records.store.selection(&records.tenant, selection_id).await?;
    let report = match outcome_form::read(fields, &record.result) {
        Ok(report) => report,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut outcomes = Vec::with_capacity(report.outcomes.len());
    for (candidate_id, resolved) in report.outcomes {
        outcomes.push(NewOutcome {
            id: Uuid::now_v7(),
            content_id: record.content_id(Some(&candidate_id))?,
            selection_id: Some(selection_id),
            resolved: Some(resolved),
            reward: None,
            source: report.source.clone(),
            detail: None,
        });
    }
    let stored = outcomes.len();
    records.store.put_outcomes(&records.tenant, outcomes, Timestamp::now(), None).await?;
    Ok(Ok(stored))
}
