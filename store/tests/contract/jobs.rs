//! The job queue.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use store::{
    Claim, ClaimRequest, Completion, End, Job, JobState, Lease, NewJob, StoreError, StoredResponse, Tenant,
    Timestamp,
};
use uuid::Uuid;

use crate::support::{Fixture, T, T0, at};

const LEASE: Duration = Duration::from_secs(30);

fn job(kind: &str, run_after: Timestamp, max_attempts: u32) -> NewJob {
    NewJob {
        tenant: Tenant::DEFAULT,
        id: Uuid::now_v7(),
        kind: kind.to_owned(),
        payload: json!({"a": "b\0"}),
        run_after,
        max_attempts,
    }
}

async fn queue(f: &Fixture, job: NewJob) -> Uuid {
    let id = job.id;
    f.store.enqueue(job, None, T0).await.unwrap();
    id
}

async fn claim_one(f: &Fixture, kind: &str, now: Timestamp) -> Option<Job> {
    f.store.claim_jobs(kind, "w", 1, now, LEASE).await.unwrap().pop()
}

fn retry(error: &str, at: Timestamp) -> End {
    End::Retry { error: error.to_owned(), at }
}

fn assert_lost<T: std::fmt::Debug>(result: &Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict { what: "job", .. })), "{result:?}");
}

pub(crate) async fn a_job_runs_to_its_end(f: &Fixture) {
    let id = queue(f, job("train", T0, 3)).await;
    let claimed = claim_one(f, "train", at(1)).await.unwrap();
    assert_eq!((claimed.id, claimed.state, claimed.attempts), (id, JobState::Running, 1));
    assert_eq!((claimed.payload.clone(), claimed.worker.as_deref()), (json!({"a": "b\0"}), Some("w")));
    assert_eq!((claimed.lease_until, claimed.started_at), (Some(at(31)), Some(at(1))));
    assert!(claim_one(f, "train", at(2)).await.is_none());
    let beat = f.store.heartbeat(claimed.lease(), Some(json!({"step": 5})), at(11), LEASE).await.unwrap();
    assert_eq!((beat.lease_until, beat.cancel_requested), (at(41), false));
    f.store.heartbeat(claimed.lease(), None, at(12), LEASE).await.unwrap();
    assert_eq!(f.store.job(T, id).await.unwrap().progress, Some(json!({"step": 5})));
    f.store.end_job(claimed.lease(), End::Done(json!({"loss": 0.5})), None, at(20)).await.unwrap();
    let done = f.store.job(T, id).await.unwrap();
    assert_eq!(
        (done.state, done.result.clone(), done.finished_at),
        (JobState::Done, Some(json!({"loss": 0.5})), Some(at(20)))
    );
    assert!(done.state.is_final() && done.lease_until.is_none());
    assert_lost(&f.store.end_job(claimed.lease(), End::Done(json!(1)), None, at(21)).await);
}

pub(crate) async fn jobs_start_when_due_and_in_order(f: &Fixture) {
    let late = queue(f, job("score", at(50), 1)).await;
    let first = queue(f, job("score", at(10), 1)).await;
    let second = queue(f, job("score", at(10), 1)).await;
    queue(f, job("train", T0, 1)).await;
    assert!(claim_one(f, "score", at(9)).await.is_none());
    let claimed = f.store.claim_jobs("score", "w", 5, at(50), LEASE).await.unwrap();
    assert_eq!(claimed.iter().map(|job| job.id).collect::<Vec<_>>(), [first, second, late]);
}

pub(crate) async fn no_job_goes_to_two_workers(f: &Fixture) {
    let mut ids = BTreeSet::new();
    for _ in 0..60 {
        ids.insert(queue(f, job("score", T0, 1)).await);
    }
    let workers: Vec<_> = (0..8)
        .map(|w| {
            let store = f.store.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let got = store.claim_jobs("score", &format!("w{w}"), 3, T0, LEASE).await.unwrap();
                    if got.is_empty() {
                        return mine;
                    }
                    mine.extend(got.into_iter().map(|job| job.id));
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    for worker in workers {
        seen.extend(worker.await.unwrap());
    }
    // A worker may find the rest locked by others and stop early; nothing goes twice, and nothing is lost.
    seen.extend(
        f.store.claim_jobs("score", "rest", 60, T0, LEASE).await.unwrap().into_iter().map(|job| job.id),
    );
    assert_eq!(seen.len(), ids.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), ids);
}

pub(crate) async fn a_dead_workers_job_goes_to_another_and_the_fence_holds(f: &Fixture) {
    let id = queue(f, job("train", T0, 2)).await;
    let slow = claim_one(f, "train", T0).await.unwrap().lease();
    assert_eq!(f.store.reap(at(29)).await.unwrap(), 0);
    assert_eq!(f.store.reap(at(30)).await.unwrap(), 1);
    assert_eq!(f.store.job(T, id).await.unwrap().state, JobState::Queued);
    let heir = claim_one(f, "train", at(31)).await.unwrap();
    assert_eq!((heir.id, heir.attempts), (id, 2));
    assert_lost(&f.store.heartbeat(slow, None, at(32), LEASE).await);
    assert_lost(&f.store.end_job(slow, End::Done(json!(1)), None, at(32)).await);
    assert_lost(&f.store.end_job(slow, End::Failed("no".to_owned()), None, at(32)).await);
    assert_lost(&f.store.end_job(slow, End::Cancelled, None, at(32)).await);
    assert_eq!(f.store.reap(at(100)).await.unwrap(), 1);
    let dead = f.store.job(T, id).await.unwrap();
    assert_eq!((dead.state, dead.finished_at), (JobState::Dead, Some(at(100))));
    assert!(dead.error.is_some());
    assert_eq!(f.store.reap(at(200)).await.unwrap(), 0);
}

pub(crate) async fn errors_are_retried_until_the_attempts_are_used_up(f: &Fixture) {
    let id = queue(f, job("train", T0, 2)).await;
    let lease = claim_one(f, "train", T0).await.unwrap().lease();
    let state = f.store.end_job(lease, retry("out of memory\0", at(60)), None, at(5)).await.unwrap();
    assert_eq!(state, JobState::Queued);
    assert!(claim_one(f, "train", at(59)).await.is_none());
    let again = claim_one(f, "train", at(60)).await.unwrap();
    assert_eq!(again.error.as_deref(), Some("out of memory\u{fffd}"));
    assert_eq!(
        f.store.end_job(again.lease(), retry("again", at(90)), None, at(61)).await.unwrap(),
        JobState::Dead
    );
    assert_eq!(f.store.job(T, id).await.unwrap().error.as_deref(), Some("again"));

    queue(f, job("score", T0, 9)).await;
    let lease = claim_one(f, "score", T0).await.unwrap().lease();
    assert_eq!(
        f.store.end_job(lease, End::Failed("no such model".to_owned()), None, at(5)).await.unwrap(),
        JobState::Failed
    );
}

pub(crate) async fn jobs_are_cancelled(f: &Fixture) {
    let queued = queue(f, job("train", at(9), 1)).await;
    assert_eq!(f.store.cancel_job(T, queued, at(1)).await.unwrap(), JobState::Cancelled);
    assert!(claim_one(f, "train", at(9)).await.is_none());

    let polite = queue(f, job("train", T0, 3)).await;
    let lease = claim_one(f, "train", T0).await.unwrap().lease();
    assert_eq!(f.store.cancel_job(T, polite, at(1)).await.unwrap(), JobState::Running);
    assert!(f.store.heartbeat(lease, None, at(2), LEASE).await.unwrap().cancel_requested);
    f.store.end_job(lease, End::Cancelled, None, at(3)).await.unwrap();
    assert_eq!(f.store.job(T, polite).await.unwrap().state, JobState::Cancelled);
    assert_eq!(f.store.cancel_job(T, polite, at(4)).await.unwrap(), JobState::Cancelled);
    assert_eq!(f.store.job(T, polite).await.unwrap().finished_at, Some(at(3)));

    // A worker that dies after the request does not bring the job back.
    let dying = queue(f, job("train", T0, 3)).await;
    claim_one(f, "train", T0).await.unwrap();
    f.store.cancel_job(T, dying, at(1)).await.unwrap();
    f.store.reap(at(99)).await.unwrap();
    assert_eq!(f.store.job(T, dying).await.unwrap().state, JobState::Cancelled);

    let error = f.store.cancel_job(T, Uuid::now_v7(), T0).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "job", .. }), "{error}");
}

pub(crate) async fn jobs_are_listed_newest_first(f: &Fixture) {
    let mut ids = Vec::new();
    for i in 0..7 {
        let new = job(if i % 2 == 0 { "train" } else { "score" }, T0, 1);
        ids.push(new.id);
        f.store.enqueue(new, None, at(i / 2)).await.unwrap();
    }
    ids.reverse();
    let listed = |jobs: Vec<Job>| jobs.into_iter().map(|job| job.id).collect::<Vec<_>>();
    let mut seen = listed(f.store.jobs(T, None, None, None, 3).await.unwrap());
    seen.extend(listed(f.store.jobs(T, None, None, seen.last().copied(), 100).await.unwrap()));
    assert_eq!(seen, ids);
    assert_eq!(f.store.jobs(T, Some("score"), Some(JobState::Queued), None, 9).await.unwrap().len(), 3);
    assert_eq!(f.store.jobs(T, Some("score"), Some(JobState::Done), None, 9).await.unwrap().len(), 0);
}

pub(crate) async fn bad_jobs_are_refused(f: &Fixture) {
    let good = job("train", T0, 1);
    f.store.enqueue(good.clone(), None, T0).await.unwrap();
    assert_lost(&f.store.enqueue(good, None, T0).await);
    for wrong in [job("", T0, 1), job("train", T0, 0)] {
        let error = f.store.enqueue(wrong, None, T0).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    }
    assert_lost(
        &f.store.end_job(Lease { id: Uuid::now_v7(), attempt: 1 }, End::Done(json!(1)), None, T0).await,
    );
}

pub(crate) async fn a_job_given_back_keeps_its_attempts(f: &Fixture) {
    let id = queue(f, job("train", T0, 1)).await;
    let first = claim_one(f, "train", T0).await.unwrap();
    assert_eq!(f.store.end_job(first.lease(), End::GivenBack, None, at(1)).await.unwrap(), JobState::Queued);
    assert_lost(&f.store.end_job(first.lease(), End::GivenBack, None, at(1)).await);
    let second = claim_one(f, "train", at(1)).await.unwrap();
    assert_eq!((second.id, second.attempts, second.max_attempts), (id, 2, 2));
    f.store.cancel_job(T, id, at(2)).await.unwrap();
    assert_eq!(
        f.store.end_job(second.lease(), End::GivenBack, None, at(3)).await.unwrap(),
        JobState::Cancelled
    );
    assert_eq!(f.store.job(T, id).await.unwrap().finished_at, Some(at(3)));
}

pub(crate) async fn what_ended_badly_can_go_on(f: &Fixture) {
    let id = queue(f, job("train", T0, 1)).await;
    assert_lost(&f.store.resume_job(T, id, 1, T0).await);
    f.store.cancel_job(T, id, at(1)).await.unwrap();
    f.store.resume_job(T, id, 2, at(2)).await.unwrap();
    let claimed = claim_one(f, "train", at(2)).await.unwrap();
    assert_eq!((claimed.cancel_requested, claimed.finished_at, claimed.max_attempts), (false, None, 2));
    f.store.end_job(claimed.lease(), End::Failed("bad data".to_owned()), None, at(3)).await.unwrap();
    f.store.resume_job(T, id, 1, at(4)).await.unwrap();
    let again = claim_one(f, "train", at(4)).await.unwrap();
    f.store.end_job(again.lease(), End::Done(json!({})), None, at(5)).await.unwrap();
    assert_lost(&f.store.resume_job(T, id, 1, at(6)).await);
    let missing = f.store.resume_job(T, Uuid::now_v7(), 1, at(6)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { what: "job", .. })), "{missing:?}");
}

pub(crate) async fn a_job_completes_an_idempotent_request(f: &Fixture) {
    let request = ClaimRequest {
        tenant: Tenant::DEFAULT,
        scope: "s".to_owned(),
        key: "k".to_owned(),
        body_hash: [1; 32],
    };
    let Claim::Acquired(held) = f.store.claim(request.clone(), T0, LEASE).await.unwrap() else {
        panic!("the key is new")
    };
    let response = StoredResponse { status: 201, body: b"{}".to_vec(), ..StoredResponse::default() };
    let completion = Completion { held, response: response.clone(), expires_at: at(100) };
    let wanted = job("train", T0, 1);
    f.store.enqueue(wanted.clone(), Some(completion.clone()), T0).await.unwrap();
    assert_eq!(f.store.claim(request, at(1), LEASE).await.unwrap(), Claim::Done(response));
    // The claim is used up: neither the job nor the answer is stored.
    let late = job("train", T0, 1);
    assert!(f.store.enqueue(late.clone(), Some(completion), T0).await.is_err());
    assert!(f.store.job(T, late.id).await.is_err() && f.store.job(T, wanted.id).await.is_ok());
}
