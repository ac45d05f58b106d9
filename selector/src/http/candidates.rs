//! `/v1/candidates`: keeping trajectories without selecting, and reading them.

use std::collections::BTreeMap;

use axum::{Extension, Json as JsonBody, extract::State, middleware::from_fn_with_state, response::Response};
use common::{Candidate, Outcome, Trajectory};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use server::{
    Json, Path, Problem, ProblemResponses,
    auth::Caller,
    idempotency::{Ticket, idempotent},
    intake::{CandidateIn, FileIn, FileReport, GivenRun, Intake, TestIn, check_id},
    stored::Answer,
};
use store::{ContentId, NewCandidate, NewIssue, NewOutcome, NewTestRun, Records, Timestamp};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    SelectionSettings, Service, errors, prepare,
    selections::{OutcomeView, keys},
};

pub(super) fn routes(service: &Service) -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(ingest))
        .routes(routes!(get))
        .route_layer(from_fn_with_state(keys(service), idempotent))
}

/// Candidates to keep, of one issue or several.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({
    "instance_id": "acme__tool-7",
    "candidates": [{"candidate_id": "run-1", "patch": "", "exit": "limit", "steps": 100}]
}))]
struct IngestCandidates {
    /// The issue of candidates and tests that do not name theirs.
    #[schema(min_length = 1, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f]+$")]
    instance_id: Option<String>,
    /// The text of that issue.
    issue: Option<String>,
    /// Candidates in EntroPO's own form.
    candidates: Vec<CandidateIn>,
    /// Files of any format; labels in them become outcomes.
    files: Vec<FileIn>,
    /// What tests said of these candidates and of the unpatched code.
    tests: Vec<TestIn>,
}

/// What was kept.
#[derive(Debug, Serialize, ToSchema)]
struct Ingested {
    /// In the order of the request.
    candidates: Vec<IngestedCandidate>,
    /// Labels found in files and kept as outcomes.
    outcomes: usize,
    /// Labels of candidates that are not in the request; these were not kept.
    outcomes_skipped: usize,
    /// What the files held.
    files: Vec<FileReport>,
}

/// A candidate that was kept.
#[derive(Debug, Serialize, ToSchema)]
struct IngestedCandidate {
    /// Its id in the request.
    candidate_id: String,
    /// Its issue.
    instance_id: String,
    /// Its content address, to read it or to select it by.
    content_id: String,
    /// Whether it was not stored before.
    new: bool,
}

/// Keep candidates without selecting
///
/// Candidates are kept by content: the same trajectory twice is one record. Select among them later by naming their
/// content ids as `stored`.
#[utoipa::path(
    post, path = "/v1/candidates", tag = "candidates",
    params(("idempotency-key" = Option<String>, Header,
        description = "The same key with the same body gets the first answer again.",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body = IngestCandidates,
    responses(
        (status = 201, description = "Kept.", body = Ingested),
        ProblemResponses,
    ),
)]
async fn ingest(
    State(service): State<Service>,
    caller: Caller,
    ticket: Option<Extension<Ticket>>,
    Json(request): Json<IngestCandidates>,
) -> Result<Response, Problem> {
    let limits = service.settings.clone();
    let prepared = service.compute(move || read(request, &limits)).await?;
    let (tenant, now) = (&caller.tenant, Timestamp::now());
    let ids: Vec<ContentId> = prepared.names.iter().map(|(_, id)| *id).collect();
    let mut known = service.store.known_candidates(tenant, &ids).await.map_err(errors::stored)?;
    let candidates = prepared.names.into_iter().map(|((instance_id, candidate_id), id)| IngestedCandidate {
        // What is given twice is new once.
        new: known.insert(id),
        candidate_id,
        instance_id,
        content_id: id.to_string(),
    });
    let ingested = Ingested {
        candidates: candidates.collect(),
        outcomes: prepared.records.outcomes.len(),
        outcomes_skipped: prepared.outcomes_skipped,
        files: prepared.files,
    };
    let body = serde_json::to_vec(&ingested).map_err(|error| Problem::internal(&error))?;
    let (ticket, ttl) = (ticket.map(|Extension(ticket)| ticket), service.settings.idempotency_ttl.0);
    let mut answer = Answer::json(StatusCode::CREATED, body, None, ticket, ttl)?;
    service
        .store
        .put_records(tenant, prepared.records, now, answer.completion())
        .await
        .map_err(errors::stored)?;
    Ok(answer.stored())
}

/// Issue and id within it.
type Name = (String, String);

struct Prepared {
    records: Records,
    names: Vec<(Name, ContentId)>,
    outcomes_skipped: usize,
    files: Vec<FileReport>,
}

fn read(request: IngestCandidates, limits: &SelectionSettings) -> Result<Prepared, Problem> {
    let IngestCandidates { instance_id, issue, candidates, files, tests } = request;
    if let Some(id) = &instance_id {
        check_id("instance_id", id)?;
    }
    let mut intake = Intake::default();
    intake.add_candidates(candidates)?;
    intake.add_tests(tests)?;
    intake.add_files(files)?;
    intake.check(instance_id.as_deref(), &limits.intake())?;

    let trajectories: Vec<&Trajectory> =
        intake.candidates.iter().map(|given| &given.candidate.trajectory).collect();
    let new = prepare::ready_to_store(&trajectories)?;
    // Text and candidates by instance.
    let mut issues: BTreeMap<String, (Option<String>, Vec<NewCandidate>)> = BTreeMap::new();
    for (instance_id, text) in intake.issues {
        check_id("files: instance_id", &instance_id)?;
        issues.entry(instance_id).or_default().0 = Some(text);
    }
    let mut names = Vec::new();
    let mut by_name = BTreeMap::new();
    for (given, new) in intake.candidates.into_iter().zip(new) {
        let Candidate { candidate_id, trajectory } = given.candidate;
        let name = (trajectory.instance_id, candidate_id);
        let entry = issues.entry(name.0.clone()).or_default();
        entry.0 = entry.0.take().or(trajectory.issue);
        if let Some(other) = by_name.insert(name.clone(), new.id())
            && other != new.id()
        {
            let message = format!("`{}` is the id of two different candidates of `{}`", name.1, name.0);
            return Err(Problem::field(format!("{}.candidate_id", given.field), message));
        }
        names.push((name, new.id()));
        entry.1.push(new);
    }
    if let (Some(instance_id), Some(text)) = (&instance_id, issue) {
        issues.entry(instance_id.clone()).or_default().0 = Some(text);
    }
    let tests = tests_of(intake.tests, instance_id.as_deref(), &by_name, &mut issues)?;
    let labels = intake.outcomes.len();
    let outcomes: Vec<NewOutcome> =
        intake.outcomes.into_iter().filter_map(|outcome| outcome_of(outcome, &by_name)).collect();
    let outcomes_skipped = labels - outcomes.len();
    let issue = |(instance_id, (text, candidates))| (NewIssue { instance_id, text }, candidates);
    let records = Records { candidates: issues.into_iter().map(issue).collect(), tests, outcomes };
    Ok(Prepared { records, names, outcomes_skipped, files: intake.files })
}

fn tests_of(
    given: Vec<GivenRun>,
    instance_id: Option<&str>,
    names: &BTreeMap<Name, ContentId>,
    issues: &mut BTreeMap<String, (Option<String>, Vec<NewCandidate>)>,
) -> Result<Vec<NewTestRun>, Problem> {
    let mut runs = Vec::with_capacity(given.len());
    for GivenRun { field, instance_id: named, run } in given {
        let instance_id = if named.is_empty() { instance_id.unwrap_or_default().to_owned() } else { named };
        check_id(&format!("{field}.instance_id"), &instance_id)?;
        let content_id = match &run.candidate_id {
            None => None,
            Some(id) => Some(*names.get(&(instance_id.clone(), id.clone())).ok_or_else(|| {
                let message = format!("there is no candidate `{id}` of `{instance_id}` in this request");
                Problem::field(format!("{field}.candidate_id"), message)
            })?),
        };
        issues.entry(instance_id.clone()).or_default();
        runs.push(NewTestRun { instance_id, content_id, run });
    }
    Ok(runs)
}

/// A label as an outcome, when its candidate is known and it says something.
fn outcome_of(outcome: Outcome, names: &BTreeMap<Name, ContentId>) -> Option<NewOutcome> {
    if outcome.resolved.is_none() && outcome.reward.is_none_or(|reward| !reward.is_finite()) {
        return None;
    }
    let content_id = *names.get(&(outcome.instance_id, outcome.candidate_id?))?;
    let detail =
        (!outcome.stripped.is_empty()).then(|| serde_json::to_value(&outcome.stripped).unwrap_or_default());
    let source = if outcome.label_source.is_empty() { "file".to_owned() } else { outcome.label_source };
    let reward = outcome.reward.filter(|reward| reward.is_finite());
    let (resolved, selection_id) = (outcome.resolved, None);
    Some(NewOutcome { id: Uuid::now_v7(), content_id, selection_id, resolved, reward, source, detail })
}

/// A stored candidate.
#[derive(Debug, Serialize, ToSchema)]
struct CandidateView {
    /// Its content address.
    content_id: String,
    /// When it was first stored: RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created_at: String,
    /// Size of its JSON in bytes.
    bytes: u64,
    /// The run.
    trajectory: Trajectory,
    /// What was reported of it, latest first.
    outcomes: Vec<OutcomeView>,
}

/// One candidate with its conversation
#[utoipa::path(get, path = "/v1/candidates/{content_id}", tag = "candidates",
    params(("content_id" = String, Path, description = "Its content address.", pattern = "^[0-9a-f]{32}$")),
    responses(
        (status = 200, description = "The candidate.", body = CandidateView),
        ProblemResponses,
    ),
)]
async fn get(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<ContentId>,
) -> Result<JsonBody<CandidateView>, Problem> {
    let stored = service.store.candidate(&caller.tenant, id).await.map_err(errors::stored)?;
    let outcomes = service.store.outcomes(&caller.tenant, id).await.map_err(errors::stored)?;
    Ok(JsonBody(CandidateView {
        content_id: id.to_string(),
        created_at: stored.info.created_at.to_string(),
        bytes: stored.info.bytes,
        trajectory: stored.trajectory,
        outcomes: outcomes.into_iter().map(|outcome| OutcomeView::new(id.to_string(), outcome)).collect(),
    }))
}
