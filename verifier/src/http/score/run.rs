//! Candidates of an issue: from the request to the call.

use std::{collections::BTreeSet, sync::Arc};

use common::{Candidate, score::ScoreResponse};
use server::{
    Problem,
    intake::{Intake, IntakeLimits, check_id, named_issue, same_issue, unique_id},
};
use store::{StoreError, Tenant};

use super::body::ScoreCandidates;
use crate::{
    Example, Service,
    pipeline::PipelineSettings,
    service::{ScoreCall, problem},
};

/// Stands in for the issue's name where nobody gives one: scores do not depend on it.
const UNNAMED: &str = "unnamed";

pub(super) async fn score(
    service: &Service,
    tenant: Tenant,
    mut request: ScoreCandidates,
) -> Result<ScoreResponse, Problem> {
    let (model, options) = (request.model.take(), request.options);
    if options.max_tokens == Some(0) {
        return Err(Problem::field("options.max_tokens", "is 0, it must be at least 1"));
    }
    if options.deadline_ms == Some(0) {
        return Err(Problem::field("options.deadline_ms", "is 0, it must be at least 1"));
    }
    let limits = service.settings.clone();
    // Files can be megabytes of JSON.
    let read = server::trace::blocking(move || read(request, &limits));
    let Ready { instance_id, issue, candidates, fields } =
        read.await.map_err(|error| Problem::internal(&error))??;
    let issue: Arc<str> = match issue {
        Some(text) => text.into(),
        None => stored(service, &tenant, instance_id.as_deref()).await?.into(),
    };
    let examples = candidates
        .into_iter()
        .map(|candidate| Example { issue: Arc::clone(&issue), candidate: Arc::new(candidate) })
        .collect();
    let call = ScoreCall { tenant, model, examples, options };
    service.score(call).await.map_err(|error| problem(error, &fields))
}

/// A request as far as it says itself what is to be scored.
#[derive(Debug)]
struct Ready {
    /// `None` where nobody names the issue.
    instance_id: Option<String>,
    issue: Option<String>,
    candidates: Vec<Candidate>,
    /// Where each candidate stood.
    fields: Vec<String>,
}

fn read(request: ScoreCandidates, settings: &PipelineSettings) -> Result<Ready, Problem> {
    let ScoreCandidates { instance_id, issue, candidates, files, .. } = request;
    if let Some(id) = &instance_id {
        check_id("instance_id", id)?;
    }
    let mut intake = Intake::default();
    intake.add_candidates(candidates)?;
    intake.add_files(files)?;
    // Labels and test results may be in files. They are no business of a verifier.
    intake.outcomes.clear();
    intake.tests.clear();
    if intake.candidates.is_empty() {
        return Err(Problem::field("candidates", "is empty, and `files` hold none"));
    }
    let named = match instance_id {
        Some(id) => Some(id),
        None => named_issue(&intake, std::iter::empty())?,
    };
    let limits = IntakeLimits {
        candidates: settings.candidates,
        patch: settings.patch,
        turns: settings.turns,
        test_results: 0,
    };
    intake.check(Some(named.as_deref().unwrap_or(UNNAMED)), &limits)?;
    let mut ids = BTreeSet::new();
    let mut ready = Vec::with_capacity(intake.candidates.len());
    let mut fields = Vec::with_capacity(intake.candidates.len());
    for given in intake.candidates {
        let Candidate { candidate_id, trajectory } = given.candidate;
        same_issue(&given.field, &trajectory.instance_id, named.as_deref().unwrap_or(UNNAMED))?;
        let candidate_id = unique_id(&mut ids, candidate_id, || trajectory.content_id()).map_err(|id| {
            Problem::field(format!("{}.candidate_id", given.field), format!("`{id}` is used twice"))
        })?;
        fields.push(given.field);
        ready.push(Candidate { candidate_id, trajectory });
    }
    let of_files = intake.issues.into_iter().find(|(id, _)| Some(id) == named.as_ref()).map(|(_, text)| text);
    let issue =
        issue.or(of_files).or_else(|| ready.iter().find_map(|candidate| candidate.trajectory.issue.clone()));
    Ok(Ready { instance_id: named, issue, candidates: ready, fields })
}

/// The text of an issue that was stored before; empty when it is not known.
async fn stored(service: &Service, tenant: &Tenant, instance_id: Option<&str>) -> Result<String, Problem> {
    let Some(instance_id) = instance_id else { return Ok(String::new()) };
    match service.store.issue(tenant, instance_id).await {
        Ok(issue) => Ok(issue.text.unwrap_or_default()),
        Err(StoreError::NotFound { .. }) => Ok(String::new()),
        Err(error) => Err(server::stored::problem(error)),
    }
}
