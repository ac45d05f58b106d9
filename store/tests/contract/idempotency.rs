//! Idempotency keys.

use std::time::Duration;

use store::{Claim, ClaimRequest, Completion, Held, StoreError, StoredResponse, Tenant};

use crate::support::{Fixture, T0, at};

const LEASE: Duration = Duration::from_secs(30);

fn request(scope: &str, key: &str, body: u8) -> ClaimRequest {
    ClaimRequest {
        tenant: Tenant::DEFAULT,
        scope: scope.to_owned(),
        key: key.to_owned(),
        body_hash: [body; 32],
    }
}

async fn acquire(f: &Fixture, request: ClaimRequest, now: store::Timestamp) -> Held {
    match f.store.claim(request, now, LEASE).await.unwrap() {
        Claim::Acquired(held) => held,
        other => panic!("not acquired: {other:?}"),
    }
}

fn completion(held: Held) -> Completion {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let response = StoredResponse { status: 201, headers, body: b"\0{}\xff".to_vec() };
    Completion { held, response, expires_at: at(3600) }
}

pub(crate) async fn a_key_is_claimed_completed_and_answered_again(f: &Fixture) {
    let held = acquire(f, request("s", "k", 1), T0).await;
    let busy = f.store.claim(request("s", "k", 1), at(1), LEASE).await.unwrap();
    assert_eq!(busy, Claim::InProgress { until: at(30) });
    let other_body = f.store.claim(request("s", "k", 2), at(1), LEASE).await.unwrap();
    assert_eq!(other_body, Claim::Mismatch);
    let done = completion(held);
    f.store.complete(done.clone()).await.unwrap();
    let again = f.store.claim(request("s", "k", 1), at(2), LEASE).await.unwrap();
    assert_eq!(again, Claim::Done(done.response));
    assert_eq!(f.store.claim(request("s", "k", 2), at(2), LEASE).await.unwrap(), Claim::Mismatch);
    // Another scope is another key; so is the same key once the answer has expired.
    acquire(f, request("t", "k", 2), at(2)).await;
    acquire(f, request("s", "k", 2), at(3600)).await;
}

pub(crate) async fn a_claim_that_expired_is_taken_over(f: &Fixture) {
    let dead = acquire(f, request("s", "k", 1), T0).await;
    let heir = acquire(f, request("s", "k", 1), at(30)).await;
    assert_ne!(dead.claim_id, heir.claim_id);
    let error = f.store.complete(completion(dead.clone())).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    // Giving up what one no longer holds frees nothing.
    f.store.release(&dead).await.unwrap();
    assert!(matches!(
        f.store.claim(request("s", "k", 1), at(31), LEASE).await.unwrap(),
        Claim::InProgress { .. }
    ));
    f.store.complete(completion(heir.clone())).await.unwrap();
    f.store.release(&heir).await.unwrap();
    assert!(matches!(f.store.claim(request("s", "k", 1), at(32), LEASE).await.unwrap(), Claim::Done(_)));
    let error = f.store.complete(completion(heir)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
}

pub(crate) async fn a_claim_that_is_renewed_is_not_taken_over(f: &Fixture) {
    let held = acquire(f, request("s", "k", 1), T0).await;
    f.store.renew(&held, at(20), LEASE).await.unwrap();
    let busy = f.store.claim(request("s", "k", 1), at(40), LEASE).await.unwrap();
    assert_eq!(busy, Claim::InProgress { until: at(50) });
    // One that was lost belongs to its heir, however often the dead one calls.
    let heir = acquire(f, request("s", "k", 1), at(50)).await;
    f.store.renew(&held, at(60), LEASE).await.unwrap();
    let busy = f.store.claim(request("s", "k", 1), at(61), LEASE).await.unwrap();
    assert_eq!(busy, Claim::InProgress { until: at(80) });
    // An answer keeps its own time.
    f.store.complete(completion(heir.clone())).await.unwrap();
    f.store.renew(&heir, at(62), LEASE).await.unwrap();
    assert!(matches!(f.store.claim(request("s", "k", 1), at(3599), LEASE).await.unwrap(), Claim::Done(_)));
}

pub(crate) async fn a_released_key_is_free_at_once(f: &Fixture) {
    let held = acquire(f, request("s", "k", 1), T0).await;
    f.store.release(&held).await.unwrap();
    acquire(f, request("s", "k", 2), T0).await;
}

pub(crate) async fn of_many_claims_one_is_acquired(f: &Fixture) {
    for round in 0..5 {
        let key = format!("k{round}");
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let (store, request) = (f.store.clone(), request("s", &key, 1));
                tokio::spawn(async move { store.claim(request, T0, LEASE).await.unwrap() })
            })
            .collect();
        let mut acquired = 0;
        for task in tasks {
            match task.await.unwrap() {
                Claim::Acquired(_) => acquired += 1,
                Claim::InProgress { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(acquired, 1);
    }
}

pub(crate) async fn what_expired_is_purged(f: &Fixture) {
    let held = acquire(f, request("s", "done", 1), T0).await;
    f.store.complete(completion(held)).await.unwrap();
    acquire(f, request("s", "dead", 1), T0).await;
    assert_eq!(f.store.purge(at(29)).await.unwrap().idempotency_keys, 0);
    assert_eq!(f.store.purge(at(30)).await.unwrap().idempotency_keys, 1);
    assert!(matches!(f.store.claim(request("s", "done", 1), at(31), LEASE).await.unwrap(), Claim::Done(_)));
    assert_eq!(f.store.purge(at(3600)).await.unwrap().idempotency_keys, 1);
}
