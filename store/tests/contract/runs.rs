//! Events and checkpoints of training runs.

use std::time::Duration;

use serde_json::json;
use store::{End, JobState, Lease, NewCheckpoint, NewJob, NewRunEvent, StoreError, Tenant};
use uuid::Uuid;

use crate::support::{Fixture, T, T0, at};

const LEASE: Duration = Duration::from_secs(30);

fn event(step: i64) -> NewRunEvent {
    NewRunEvent { kind: "step".to_owned(), body: json!({"step": step, "text": "a\0b"}) }
}

fn checkpoint(step: i64, best: bool) -> NewCheckpoint {
    NewCheckpoint { step, path: format!("checkpoint-{step}"), best, metrics: json!({"loss": 0.5}) }
}

/// A run that a worker holds.
async fn held(f: &Fixture) -> Lease {
    let job = NewJob {
        tenant: Tenant::DEFAULT,
        id: Uuid::now_v7(),
        kind: "train".to_owned(),
        payload: json!({}),
        run_after: T0,
        max_attempts: 3,
    };
    f.store.enqueue(job, None, T0).await.unwrap();
    f.store.claim_jobs("train", "w", 1, T0, LEASE).await.unwrap().pop().unwrap().lease()
}

pub(crate) async fn events_are_numbered_without_gaps(f: &Fixture) {
    let (lease, other) = (held(f).await, held(f).await);
    assert_eq!(f.store.append_events(lease, vec![], at(1)).await.unwrap(), 0);
    assert_eq!(f.store.append_events(lease, vec![event(1), event(2)], at(1)).await.unwrap(), 2);
    assert_eq!(f.store.append_events(other, vec![event(9)], at(1)).await.unwrap(), 1);
    assert_eq!(f.store.append_events(lease, vec![event(3)], at(2)).await.unwrap(), 3);
    let all = f.store.run_events(T, lease.id, 0, 10).await.unwrap();
    assert_eq!(all.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3]);
    let last = &all[2];
    assert_eq!((last.attempt, last.at, last.kind.as_str()), (1, at(2), "step"));
    assert_eq!(last.body, json!({"step": 3, "text": "a\0b"}));
    let page = f.store.run_events(T, lease.id, 1, 1).await.unwrap();
    assert_eq!(page, [all[1].clone()]);
    assert!(f.store.run_events(T, Uuid::now_v7(), 0, 10).await.unwrap().is_empty());
}

pub(crate) async fn a_run_ends_with_its_last_event_or_not_at_all(f: &Fixture) {
    let lease = held(f).await;
    f.store.append_events(lease, vec![event(1)], at(1)).await.unwrap();
    let ended = |number| Some(NewRunEvent { kind: "ended".to_owned(), body: json!({"number": number}) });
    // An event that cannot be stored leaves the job as it was.
    let wrong = Some(NewRunEvent { kind: String::new(), body: json!({}) });
    f.store.end_job(lease, End::Done(json!({})), wrong, at(2)).await.unwrap_err();
    let state = f.store.end_job(lease, End::GivenBack, ended(1), at(2)).await.unwrap();
    assert_eq!(state, JobState::Queued);
    // Who no longer holds the run says nothing about its end.
    f.store.end_job(lease, End::Done(json!({})), ended(2), at(3)).await.unwrap_err();
    let next = f.store.claim_jobs("train", "v", 1, at(3), LEASE).await.unwrap().pop().unwrap().lease();
    f.store.end_job(lease, End::Done(json!({})), ended(3), at(4)).await.unwrap_err();
    assert_eq!(f.store.job(T, lease.id).await.unwrap().state, JobState::Running);
    f.store.end_job(next, End::Done(json!({})), ended(4), at(5)).await.unwrap();
    let events = f.store.run_events(T, lease.id, 0, 10).await.unwrap();
    let told: Vec<_> =
        events.iter().map(|event| (event.seq, event.attempt, event.body["number"].as_i64())).collect();
    assert_eq!(told, [(1, 1, None), (2, 1, Some(1)), (3, 2, Some(4))]);
}

pub(crate) async fn only_the_holder_of_the_lease_reports(f: &Fixture) {
    let lease = held(f).await;
    f.store.put_checkpoint(lease, checkpoint(5, false), at(1)).await.unwrap();
    assert_eq!(f.store.reap(at(31)).await.unwrap(), 1);
    let next = f.store.claim_jobs("train", "v", 1, at(31), LEASE).await.unwrap().pop().unwrap().lease();
    let lost = [
        f.store.append_events(lease, vec![event(1)], at(32)).await.map(drop),
        f.store.put_checkpoint(lease, checkpoint(6, true), at(32)).await,
        f.store.forget_checkpoint(lease, 5).await,
    ];
    for result in lost {
        assert!(matches!(result, Err(StoreError::Conflict { what: "job", .. })), "{result:?}");
    }
    assert!(f.store.run_events(T, lease.id, 0, 10).await.unwrap().is_empty());
    assert_eq!(f.store.checkpoints(T, lease.id).await.unwrap().len(), 1);
    assert_eq!(f.store.append_events(next, vec![event(1)], at(33)).await.unwrap(), 1);
    assert_eq!(f.store.run_events(T, lease.id, 0, 10).await.unwrap()[0].attempt, 2);
}

pub(crate) async fn writers_at_once_get_numbers_of_their_own(f: &Fixture) {
    let lease = held(f).await;
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let store = f.store.clone();
            tokio::spawn(async move {
                for step in 0..5 {
                    store.append_events(lease, vec![event(step), event(step)], at(1)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let events = f.store.run_events(T, lease.id, 0, 1000).await.unwrap();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=80).collect::<Vec<i64>>());
}

pub(crate) async fn checkpoints_are_registered_replaced_and_forgotten(f: &Fixture) {
    let lease = held(f).await;
    for (step, best) in [(10, true), (5, false), (20, true), (10, false)] {
        f.store.put_checkpoint(lease, checkpoint(step, best), at(step)).await.unwrap();
    }
    let found = f.store.checkpoints(T, lease.id).await.unwrap();
    let facts: Vec<_> = found.iter().map(|found| (found.step, found.best, found.path.as_str())).collect();
    assert_eq!(
        facts,
        [(5, false, "checkpoint-5"), (10, false, "checkpoint-10"), (20, true, "checkpoint-20")]
    );
    assert_eq!((found[0].attempt, &found[0].metrics, found[0].created_at), (1, &json!({"loss": 0.5}), at(5)));
    f.store.forget_checkpoint(lease, 5).await.unwrap();
    f.store.forget_checkpoint(lease, 5).await.unwrap();
    assert_eq!(f.store.checkpoints(T, lease.id).await.unwrap().len(), 2);
}
