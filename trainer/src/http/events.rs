//! `GET /v1/runs/{id}/events`: what happens, as server-sent events.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::State,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Value, json};
use server::{Path, Problem, ProblemResponses, Query, auth::Caller};
use store::{Job, RunEvent, StoreError, Tenant};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{query::Since, stored};
use crate::Service;

/// What a browser sends when it connects again.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Events read at a time.
const PAGE: u32 = 200;
/// A comment comes this often, so that nobody between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(events))
}

/// The service stops, as an extension: streams then end, or they would hold the shutdown up.
#[derive(Debug, Clone)]
pub(super) struct Stopping(pub(super) CancellationToken);

/// What happens in a run
///
/// Server-sent events, from the first one or after the one named. Numbered ones (`id`) are kept and come in full and in
/// order: `started`, `planned`, `resumed`, `step`, `evaluated`, `checkpoint`, `deleted`, `alarm`, `finished`, `ended`.
/// Between them come `progress` and `state` without a number, which tell how the run stands now. The stream ends after
/// the last event of a run that has ended; a client that then asks for more gets 204, upon which browsers stop asking.
#[utoipa::path(get, path = "/v1/runs/{id}/events", tag = "runs",
    params(
        ("id" = Uuid, Path, description = "The run's id."),
        Since,
        ("last-event-id" = Option<u64>, Header, description = "Number of the last event that is known."),
    ),
    responses(
        (status = 200, description = "The events, for as long as the run goes on.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The run has ended and there are no more events."),
        ProblemResponses,
    ),
)]
async fn events(
    State(service): State<Service>,
    caller: Caller,
    Extension(Stopping(stop)): Extension<Stopping>,
    Path(id): Path<Uuid>,
    Query(since): Query<Since>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = match headers.get(LAST_EVENT_ID) {
        None => since.after.unwrap_or(0),
        Some(given) => given
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| Problem::field(LAST_EVENT_ID.as_str(), "is not the number of an event"))?,
    };
    let after = i64::try_from(after).map_err(|_| Problem::field("after", "is not the number of an event"))?;
    let again = after > 0;
    let job = service.run(&caller.tenant, id).await.map_err(stored)?;
    let first = service.store.run_events(&caller.tenant, id, after, PAGE).await.map_err(stored)?;
    if again && first.is_empty() && job.state.is_final() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut follower = Follower {
        service,
        tenant: caller.tenant,
        id,
        after,
        said: None,
        waiting: VecDeque::new(),
        ended: false,
    };
    follower.take(first, &job);
    let stream = stream::unfold((follower, stop), |(mut follower, stop)| async move {
        let event = stop.run_until_cancelled(follower.next()).await??;
        Some((Ok::<Event, Infallible>(event), (follower, stop)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

struct Follower {
    service: Service,
    tenant: Tenant,
    id: Uuid,
    after: i64,
    /// The state and progress that were last told.
    said: Option<(Value, Value)>,
    waiting: VecDeque<Event>,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let service = self.service.clone();
            let changed = service.changed.notified();
            match self.look().await {
                Ok(()) if self.waiting.is_empty() && !self.ended => {
                    let _ = timeout(service.settings.poll.0.max(Duration::from_millis(10)), changed).await;
                }
                Ok(()) => {}
                // The client connects again and says where it was.
                Err(error) => {
                    tracing::warn!(%error, run = %self.id, "a stream of events ends early");
                    return None;
                }
            }
        }
    }

    /// The state is read before the events, so that a run that has ended has all of its events in what is read.
    async fn look(&mut self) -> Result<(), StoreError> {
        let job = self.service.run(&self.tenant, self.id).await?;
        let events = self.service.store.run_events(&self.tenant, self.id, self.after, PAGE).await?;
        self.take(events, &job);
        Ok(())
    }

    fn take(&mut self, events: Vec<RunEvent>, job: &Job) {
        let more = events.len() == PAGE as usize;
        for event in events {
            self.after = event.seq;
            self.waiting.push_back(numbered(event));
        }
        if more {
            return;
        }
        let state = json!({"state": job.state, "attempts": job.attempts, "cancel_requested": job.cancel_requested,
            "error": job.error});
        let progress = job.progress.clone().unwrap_or_default();
        let (told, reached) =
            self.said.as_ref().map_or((None, None), |(state, progress)| (Some(state), Some(progress)));
        if !progress.is_null() && reached != Some(&progress) {
            self.waiting.push_back(now("progress", &progress));
        }
        if told != Some(&state) {
            self.waiting.push_back(now("state", &state));
        }
        self.said = Some((state, progress));
        self.ended = job.state.is_final();
    }
}

fn numbered(event: RunEvent) -> Event {
    let mut body = json!({"seq": event.seq, "attempt": event.attempt, "at": event.at.to_string()});
    if let (Some(all), Value::Object(fields)) = (body.as_object_mut(), event.body) {
        // `started` names its attempt too; it is the same.
        all.extend(fields);
    }
    Event::default().id(event.seq.to_string()).event(event.kind).data(body.to_string())
}

fn now(kind: &str, body: &Value) -> Event {
    Event::default().event(kind).data(body.to_string())
}
