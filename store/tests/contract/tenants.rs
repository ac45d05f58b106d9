//! Tenants see nothing of each other, on no method.

use futures_util::TryStreamExt as _;
use serde_json::json;
use std::time::Duration;
use store::{
    Claim, ClaimRequest, IssueLabels, JobState, Lease, Member, NewCheckpoint, NewJob, NewMember, NewOutcome,
    NewRunEvent, NewTestRun, Records, SelectionFilter, StoreError, StoredScore, Tenant, labelled_issues,
};
use uuid::Uuid;

use crate::support::{Fixture, ISSUE, T, T0, at, candidate, issue, run, selection};

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn outcome(content_id: store::ContentId, selection_id: Option<Uuid>, resolved: bool) -> NewOutcome {
    NewOutcome {
        id: Uuid::now_v7(),
        content_id,
        selection_id,
        resolved: Some(resolved),
        reward: None,
        source: "test".to_owned(),
        detail: None,
    }
}

fn missing<V: std::fmt::Debug>(answer: Result<V, StoreError>) {
    let error = answer.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
}

pub(crate) async fn records_of_another_tenant_are_not_there(f: &Fixture) {
    let (store, a, b) = (&f.store, &tenant("a"), &tenant("b"));
    let new = selection(ISSUE, &["x", "y"], T0);
    let contents: Vec<_> = new.members.iter().map(|member| member.content.id()).collect();
    store.record_selection(a, new.clone(), None).await.unwrap();
    store.put_outcomes(a, vec![outcome(contents[0], Some(new.id), true)], at(1), None).await.unwrap();

    missing(store.issue(b, ISSUE).await);
    assert_eq!(store.issues(b, None, 10).await.unwrap(), []);
    missing(store.candidate(b, contents[0]).await);
    missing(store.candidates(b, &contents).await);
    missing(store.candidate_patches(b, &contents).await);
    assert_eq!(store.candidates_of_issue(b, ISSUE, None, 10).await.unwrap(), []);
    assert_eq!(store.test_runs(b, ISSUE, None).await.unwrap(), []);
    assert_eq!(store.test_runs(b, ISSUE, Some(contents[0])).await.unwrap(), []);
    assert_eq!(store.scores(b, &contents, "r1").await.unwrap(), []);
    missing(store.selection(b, new.id).await);
    assert_eq!(store.selection_test_runs(b, new.id).await.unwrap(), []);
    assert_eq!(store.selection_outcomes(b, new.id).await.unwrap(), []);
    assert_eq!(store.selections(b, &SelectionFilter::default(), None, 10).await.unwrap().items, []);
    assert_eq!(store.outcomes(b, contents[0]).await.unwrap(), []);
    assert_eq!(store.labelled(b, None, 10).await.unwrap(), []);
    assert!(labelled_issues(&**store, b).try_collect::<Vec<_>>().await.unwrap().is_empty());

    // Nor can b write to them or join them to its own.
    missing(store.put_outcomes(b, vec![outcome(contents[0], None, false)], at(2), None).await);
    let known = NewMember { candidate_id: "k".to_owned(), content: Member::Known(contents[0]) };
    let joined =
        store::NewSelection { id: Uuid::now_v7(), members: vec![known], ..selection(ISSUE, &[], T0) };
    missing(store.record_selection(b, joined, None).await);
    let score = |content_id| StoredScore {
        content_id,
        revision: "r9".to_owned(),
        probability: Some(0.5),
        logit: None,
    };
    store.put_scores(b, vec![score(contents[0])], at(2)).await.unwrap_err();
    let tested =
        |content_id| NewTestRun { instance_id: ISSUE.to_owned(), content_id, run: run(None, "theirs") };
    store.put_test_runs(b, vec![tested(Some(contents[0]))], at(2)).await.unwrap_err();
    store.put_test_runs(b, vec![tested(None)], at(2)).await.unwrap_err();

    // a lost nothing.
    assert_eq!(store.outcomes(a, contents[0]).await.unwrap().len(), 1);
    assert_eq!(store.scores(a, &contents, "r9").await.unwrap(), []);
    assert_eq!(store.test_runs(a, ISSUE, None).await.unwrap().len(), 1);
    let stored = store.selection(a, new.id).await.unwrap();
    assert_eq!(stored.members.len(), 2);
}

pub(crate) async fn the_same_content_in_two_tenants_is_two_records(f: &Fixture) {
    let (store, a, b) = (&f.store, &tenant("a"), &tenant("b"));
    let new = candidate(ISSUE, "x");
    let id = new.id();
    for (seconds, tenant) in [(0, a), (5, b)] {
        let text = Some(format!("as {tenant} knows it"));
        let issue = store::NewIssue { instance_id: ISSUE.to_owned(), text };
        let known = store.known_candidates(tenant, &[id]).await.unwrap();
        assert!(known.is_empty(), "whether another tenant has it must not show");
        store.put_records(tenant, Records::of(issue, vec![new.clone()]), at(seconds), None).await.unwrap();
        store.put_outcomes(tenant, vec![outcome(id, None, tenant == a)], at(9), None).await.unwrap();
    }
    assert_eq!(store.candidate(a, id).await.unwrap().info.created_at, at(0));
    assert_eq!(store.candidate(b, id).await.unwrap().info.created_at, at(5));
    assert_eq!(store.issue(a, ISSUE).await.unwrap().text.as_deref(), Some("as a knows it"));
    assert_eq!(store.issue(b, ISSUE).await.unwrap().text.as_deref(), Some("as b knows it"));
    for (tenant, resolved) in [(a, true), (b, false)] {
        let labels: Vec<IssueLabels> = labelled_issues(&**store, tenant).try_collect().await.unwrap();
        assert_eq!(labels.len(), 1);
        assert_eq!(labels[0].candidates.len(), 1);
        assert_eq!(labels[0].candidates[0].resolved, Some(resolved));
    }
    // The same selection id may be taken by both, as if the other one were not there.
    let chosen = selection(ISSUE, &["fresh"], T0);
    store.record_selection(a, chosen.clone(), None).await.unwrap();
    store.record_selection(b, chosen.clone(), None).await.unwrap();
    store
        .put_outcomes(b, vec![outcome(chosen.members[0].content.id(), Some(chosen.id), true)], at(11), None)
        .await
        .unwrap();
    let resolved = SelectionFilter { resolved: Some(true), ..SelectionFilter::default() };
    assert_eq!(store.selections(a, &resolved, None, 9).await.unwrap().items.len(), 0);
    assert_eq!(store.selections(b, &resolved, None, 9).await.unwrap().items.len(), 1);
    let reported = SelectionFilter { has_outcome: Some(true), ..SelectionFilter::default() };
    assert_eq!(store.selections(a, &reported, None, 9).await.unwrap().items.len(), 0);
    assert_eq!(store.selections(b, &reported, None, 9).await.unwrap().items.len(), 1);
}

pub(crate) async fn jobs_and_runs_of_another_tenant_are_not_there(f: &Fixture) {
    let (store, a, b) = (&f.store, &tenant("a"), &tenant("b"));
    let queue = async |tenant: &Tenant| {
        let id = Uuid::now_v7();
        let job = NewJob {
            id,
            tenant: tenant.clone(),
            kind: "train".to_owned(),
            payload: json!({}),
            run_after: T0,
            max_attempts: 2,
        };
        store.enqueue(job, None, T0).await.unwrap();
        id
    };
    let (of_a, of_b) = (queue(a).await, queue(b).await);
    missing(store.job(b, of_a).await);
    missing(store.cancel_job(b, of_a, at(1)).await);
    missing(store.resume_job(b, of_a, 1, at(1)).await);
    let listed = store.jobs(b, None, None, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), [of_b]);
    // As after an id that nobody has.
    assert_eq!(store.jobs(b, None, None, Some(of_a), 10).await.unwrap(), []);

    // Workers work for all, and know for whom.
    let claimed = store.claim_jobs("train", "w", 10, at(1), Duration::from_mins(1)).await.unwrap();
    let tenants: Vec<&Tenant> = claimed.iter().map(|job| &job.tenant).collect();
    assert_eq!(tenants, [a, b]);
    let lease = Lease { id: of_a, attempt: 1 };
    let event = NewRunEvent { kind: "step".to_owned(), body: json!({"loss": 1}) };
    store.append_events(lease, vec![event], at(2)).await.unwrap();
    let checkpoint = NewCheckpoint { step: 3, path: "c".to_owned(), best: true, metrics: json!({}) };
    store.put_checkpoint(lease, checkpoint, at(2)).await.unwrap();
    assert_eq!(store.run_events(a, of_a, 0, 10).await.unwrap().len(), 1);
    assert_eq!(store.checkpoints(a, of_a).await.unwrap().len(), 1);
    assert_eq!(store.run_events(b, of_a, 0, 10).await.unwrap(), []);
    assert_eq!(store.checkpoints(b, of_a).await.unwrap(), []);
    assert_eq!(store.job(a, of_a).await.unwrap().state, JobState::Running);
}

pub(crate) async fn idempotency_keys_are_each_tenants_own(f: &Fixture) {
    let claim = |tenant: &Tenant, body: u8| ClaimRequest {
        tenant: tenant.clone(),
        scope: "admin POST /v1/selections".to_owned(),
        key: "k".to_owned(),
        body_hash: [body; 32],
    };
    let (a, b) = (tenant("a"), tenant("b"));
    let lease = Duration::from_mins(1);
    let Claim::Acquired(held) = f.store.claim(claim(&a, 1), T0, lease).await.unwrap() else { panic!() };
    let other = f.store.claim(claim(&b, 2), T0, lease).await.unwrap();
    assert!(matches!(other, Claim::Acquired(_)), "{other:?}");
    f.store.release(&held).await.unwrap();
    let again = f.store.claim(claim(&b, 2), at(1), lease).await.unwrap();
    assert!(matches!(again, Claim::InProgress { .. }), "releasing a's must not free b's: {again:?}");
}

pub(crate) async fn what_was_there_before_belongs_to_the_default_tenant(f: &Fixture) {
    let Some(url) = f.another().await else { return };
    crate::support::old_database(&url).await;
    let store = store::connect(&url, &store::ConnectOptions::default()).await.unwrap();
    let id = candidate(ISSUE, "x").id();
    let stored = store.candidate(T, id).await.unwrap();
    assert_eq!(stored.trajectory, crate::support::trajectory(ISSUE, "x"));
    let selections = store.selections(T, &SelectionFilter::default(), None, 10).await.unwrap().items;
    assert_eq!(selections.len(), 1);
    assert_eq!(selections[0].resolved, Some(true));
    let outcomes = store.selection_outcomes(T, selections[0].id).await.unwrap();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(store.test_runs(T, ISSUE, None).await.unwrap().len(), 1);
    assert_eq!(store.scores(T, &[id], "r1").await.unwrap().len(), 1);
    assert_eq!(store.jobs(T, None, None, None, 9).await.unwrap().len(), 1);
    assert_eq!(store.tokens().await.unwrap()[0].tenant, Tenant::DEFAULT);
    let held = ClaimRequest {
        tenant: Tenant::DEFAULT,
        scope: "s".to_owned(),
        key: "k".to_owned(),
        body_hash: [0; 32],
    };
    let held = store.claim(held, T0, Duration::from_secs(1)).await.unwrap();
    assert!(matches!(held, Claim::Mismatch), "{held:?}");
    // It goes on being written to.
    store.record_selection(T, selection(ISSUE, &["x", "z"], at(9)), None).await.unwrap();
    store
        .put_records(T, Records::of(issue("other"), vec![candidate("other", "q")]), at(9), None)
        .await
        .unwrap();
    missing(store.candidate(&tenant("b"), id).await);
    store.close().await;
    f.remove_another().await;
}
