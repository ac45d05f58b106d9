//! From a request to a pool of one issue with its evidence.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use common::{Candidate, TestRun, Trajectory, VerifierScore};
use server::{
    Problem,
    intake::{GivenRun, Intake, check_id, named_issue, same_issue, unique_id},
};
use store::{ContentId, Member, NewMember, StoredCandidate};

use super::types::{CreateSelection, Options, StoredRequest};
use crate::{
    Evidence, Policy,
    http::{SelectionSettings, prepare::ready_to_store},
};

/// Everything needed to select and to store.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) instance_id: Arc<str>,
    /// The text of the issue, where it is at hand.
    pub(super) issue: Option<Arc<str>>,
    /// The candidates, whole: the verifier and the selection read them at the same time.
    pub(super) candidates: Vec<Arc<Candidate>>,
    pub(super) evidence: Evidence,
    /// How many of the evidence's test runs are of the request's own list.
    pub(super) own_tests: usize,
    pub(super) members: Vec<NewMember>,
    pub(super) policy: Policy,
    pub(super) options: Options,
    pub(super) request: StoredRequest,
}

/// Checks a request. `known` are the candidates that it names by content id, in its order.
pub(super) fn prepare(
    request: CreateSelection,
    known: Vec<StoredCandidate>,
    limits: &SelectionSettings,
) -> Result<Ready, Problem> {
    let CreateSelection { instance_id, issue, candidates, stored: _, files, tests, scores, policy, options } =
        request;
    if let Some(id) = &instance_id {
        check_id("instance_id", id)?;
    }
    let mut intake = Intake::default();
    intake.add_candidates(candidates)?;
    intake.add_tests(tests)?;
    let own_tests = intake.tests.len();
    intake.add_files(files)?;
    let count = intake.candidates.len() + known.len();
    if count > limits.candidates {
        let message =
            format!("are {count} with those of files and stored ones, the limit is {}", limits.candidates);
        return Err(Problem::too_large("candidates", message));
    }
    let instance_id = instance(instance_id, &intake, &known)?;
    intake.check(Some(&instance_id), &limits.intake())?;

    let mut candidates = Vec::with_capacity(count);
    let mut ids = BTreeSet::new();
    for given in intake.candidates {
        let Candidate { candidate_id, trajectory } = given.candidate;
        same_issue(&given.field, &trajectory.instance_id, &instance_id)?;
        let candidate_id = unique_id(&mut ids, candidate_id, || trajectory.content_id()).map_err(|id| {
            Problem::field(format!("{}.candidate_id", given.field), format!("`{id}` is used twice"))
        })?;
        candidates.push(Arc::new(Candidate { candidate_id, trajectory }));
    }
    let new = candidates.len();
    let mut contents = Vec::with_capacity(known.len());
    for (index, StoredCandidate { info, trajectory }) in known.into_iter().enumerate() {
        let field = format!("stored[{index}]");
        same_issue(&field, &info.instance_id, &instance_id)?;
        let candidate_id = unique_id(&mut ids, info.id.to_string(), || info.id.to_string())
            .map_err(|id| Problem::field(field, format!("`{id}` is the id of another candidate")))?;
        contents.push(info.id);
        candidates.push(Arc::new(Candidate { candidate_id, trajectory }));
    }
    let of_files = || intake.issues.into_iter().find(|(id, _)| *id == instance_id).map(|(_, text)| text);
    let of_runs = || candidates.iter().find_map(|candidate| candidate.trajectory.issue.clone());
    let issue = issue.or_else(of_files).or_else(of_runs).map(Arc::from);
    let tests = tests_of(intake.tests, &instance_id)?;
    let members = members(&candidates[..new], &candidates[new..], contents)?;
    let request = StoredRequest { options: options.clone(), files: intake.files };
    check_scores(&scores)?;
    Ok(Ready {
        instance_id: instance_id.into(),
        issue,
        candidates,
        evidence: Evidence { tests, scores },
        own_tests,
        members,
        policy,
        options,
        request,
    })
}

/// The issue: as the request says, or as its candidates agree.
fn instance(given: Option<String>, intake: &Intake, known: &[StoredCandidate]) -> Result<String, Problem> {
    if let Some(id) = given {
        return Ok(id);
    }
    let known = known.iter().map(|candidate| candidate.info.instance_id.as_str());
    named_issue(intake, known)?
        .ok_or_else(|| Problem::field("instance_id", "is missing, and no candidate names its issue"))
}

fn tests_of(given: Vec<GivenRun>, instance_id: &str) -> Result<Vec<TestRun>, Problem> {
    given
        .into_iter()
        .map(|given| {
            if !given.instance_id.is_empty() {
                same_issue(&given.field, &given.instance_id, instance_id)?;
            }
            Ok(given.run)
        })
        .collect()
}

/// The new candidates, made ready for storing, and those that are known.
fn members(
    new: &[Arc<Candidate>],
    known: &[Arc<Candidate>],
    contents: Vec<ContentId>,
) -> Result<Vec<NewMember>, Problem> {
    let trajectories: Vec<&Trajectory> = new.iter().map(|candidate| &candidate.trajectory).collect();
    let prepared = ready_to_store(&trajectories)?;
    let mut members: Vec<NewMember> = new
        .iter()
        .zip(prepared)
        .map(|(candidate, content)| NewMember {
            candidate_id: candidate.candidate_id.clone(),
            content: Member::New(Box::new(content)),
        })
        .collect();
    members.extend(known.iter().zip(contents).map(|(candidate, id)| NewMember {
        candidate_id: candidate.candidate_id.clone(),
        content: Member::Known(id),
    }));
    Ok(members)
}

/// One score per candidate and revision: two that differ would make the record depend on their order.
fn check_scores(scores: &[VerifierScore]) -> Result<(), Problem> {
    let mut seen = BTreeMap::new();
    for (index, score) in scores.iter().enumerate() {
        if let Some(first) = seen.insert((&score.candidate_id, &score.revision), index) {
            let message = format!("is scored by this revision in scores[{first}] already");
            return Err(Problem::field(format!("scores[{index}].candidate_id"), message));
        }
    }
    Ok(())
}
