//! Issues, candidates, test runs and scores.

use std::collections::BTreeSet;

use common::TestKind;
use store::{NewIssue, NewTestRun, Records, StoreError, StoredScore};

use crate::support::{Fixture, ISSUE, T, T0, at, candidate, issue, run, trajectory};

pub(crate) async fn an_issue_keeps_its_latest_text(f: &Fixture) {
    let store = &f.store;
    store.put_issue(T, NewIssue { instance_id: ISSUE.to_owned(), text: None }, T0).await.unwrap();
    assert_eq!(store.issue(T, ISSUE).await.unwrap().text, None);
    store.put_issue(T, issue(ISSUE), at(1)).await.unwrap();
    store.put_issue(T, issue(ISSUE), at(2)).await.unwrap();
    store.put_issue(T, NewIssue { instance_id: ISSUE.to_owned(), text: None }, at(3)).await.unwrap();
    let stored = store.issue(T, ISSUE).await.unwrap();
    assert_eq!(stored.text, issue(ISSUE).text);
    assert_eq!((stored.created_at, stored.updated_at), (T0, at(1)));
    let changed = NewIssue { instance_id: ISSUE.to_owned(), text: Some("new".to_owned()) };
    store.put_issue(T, changed, at(4)).await.unwrap();
    let stored = store.issue(T, ISSUE).await.unwrap();
    assert_eq!((stored.text.as_deref(), stored.updated_at), (Some("new"), at(4)));
}

pub(crate) async fn issues_are_listed_in_byte_order(f: &Fixture) {
    // Collations of a locale would order these differently.
    for id in ["b", "B", "a_", "a-", "é", "Z"] {
        f.store.put_issue(T, issue(id), T0).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = f.store.issues(T, after.as_deref(), 2).await.unwrap();
        after = page.last().map(|issue| issue.instance_id.clone());
        seen.extend(page.into_iter().map(|issue| issue.instance_id));
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["B", "Z", "a-", "a_", "b", "é"]);
}

pub(crate) async fn missing_records_are_not_found(f: &Fixture) {
    let error = f.store.issue(T, "nobody__nothing-1").await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "issue", .. }), "{error}");
    let id = candidate(ISSUE, "x").id();
    let error = f.store.candidate(T, id).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::NotFound { what: "candidate", id: named } if *named == id.to_string())
    );
    assert!(!error.is_retryable());
}

pub(crate) async fn the_same_trajectory_twice_is_one_row(f: &Fixture) {
    let store = &f.store;
    let both = vec![candidate(ISSUE, "a"), candidate(ISSUE, "b"), candidate(ISSUE, "a")];
    let ids = [both[0].id(), both[1].id(), candidate(ISSUE, "c").id()];
    assert!(store.known_candidates(T, &ids).await.unwrap().is_empty());
    store.put_records(T, Records::of(issue(ISSUE), both.clone()), T0, None).await.unwrap();
    assert_eq!(store.known_candidates(T, &ids).await.unwrap(), BTreeSet::from([ids[0], ids[1]]));
    store.put_records(T, Records::of(issue(ISSUE), both), at(5), None).await.unwrap();
    let stored = store.candidates_of_issue(T, ISSUE, None, 10).await.unwrap();
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|info| info.created_at == T0));
}

pub(crate) async fn a_candidate_comes_back_as_it_was(f: &Fixture) {
    let store = &f.store;
    let original = trajectory(ISSUE, "a");
    let new = candidate(ISSUE, "a");
    store.put_records(T, Records::of(issue(ISSUE), vec![new.clone()]), T0, None).await.unwrap();
    let stored = store.candidate(T, new.id()).await.unwrap();
    assert_eq!(stored.trajectory, original);
    assert_eq!(stored.info.id.to_string(), original.content_id());
    assert_eq!((stored.info.steps, stored.info.turns, stored.info.exit), (Some(3), 3, original.exit));
    assert_eq!(stored.info.bytes, serde_json::to_vec(&original).unwrap().len() as u64);
}

pub(crate) async fn candidates_come_in_the_order_asked_for(f: &Fixture) {
    let store = &f.store;
    let mut long = trajectory(ISSUE, "long");
    long.turns[2].content = "x".repeat(200_000);
    let long = store::NewCandidate::prepare(&long).unwrap();
    let all = vec![candidate(ISSUE, "a"), long, candidate(ISSUE, "c")];
    let ids: Vec<_> = all.iter().map(store::NewCandidate::id).collect();
    store.put_records(T, Records::of(issue(ISSUE), all), T0, None).await.unwrap();
    let wanted = [ids[2], ids[0], ids[1], ids[0]];
    let got = store.candidates(T, &wanted).await.unwrap();
    assert_eq!(got.iter().map(|c| c.info.id).collect::<Vec<_>>(), wanted);
    let unknown = candidate(ISSUE, "never stored").id();
    let error = store.candidates(T, &[ids[0], unknown]).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }));
    assert!(store.candidates(T, &[]).await.unwrap().is_empty());
}

pub(crate) async fn patches_come_without_conversations(f: &Fixture) {
    let store = &f.store;
    let mut none = trajectory(ISSUE, "none");
    none.patch = None;
    let mut large = trajectory(ISSUE, "large");
    large.patch = Some("+ a line with \0 in it\n".repeat(5_000));
    let all: Vec<_> = [&none, &large].map(|t| store::NewCandidate::prepare(t).unwrap()).to_vec();
    let ids: Vec<_> = all.iter().map(store::NewCandidate::id).collect();
    store.put_records(T, Records::of(issue(ISSUE), all), T0, None).await.unwrap();
    let got = store.candidate_patches(T, &[ids[1], ids[0], ids[1]]).await.unwrap();
    let (infos, patches): (Vec<_>, Vec<_>) = got.into_iter().unzip();
    assert_eq!(infos.iter().map(|info| info.id).collect::<Vec<_>>(), [ids[1], ids[0], ids[1]]);
    assert_eq!(patches, [large.patch.clone(), None, large.patch]);
    let unknown = candidate(ISSUE, "never stored").id();
    let error = store.candidate_patches(T, &[ids[0], unknown]).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }));
}

pub(crate) async fn a_thousand_candidates_are_stored_and_listed(f: &Fixture) {
    let store = &f.store;
    let many: Vec<_> = (0..1000).map(|i| candidate(ISSUE, &i.to_string())).collect();
    let mut ids: Vec<_> = many.iter().map(store::NewCandidate::id).collect();
    store.put_records(T, Records::of(issue(ISSUE), many), T0, None).await.unwrap();
    ids.sort_unstable();
    let mut seen = Vec::new();
    loop {
        let page = store.candidates_of_issue(T, ISSUE, seen.last().copied(), 300).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|info| info.id));
    }
    assert_eq!(seen, ids);
}

pub(crate) async fn a_candidate_of_another_issue_is_refused(f: &Fixture) {
    let store = &f.store;
    let foreign = vec![candidate("other__issue-1", "a")];
    let error = store.put_records(T, Records::of(issue(ISSUE), foreign), T0, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "instance_id", .. }), "{error}");
    assert!(store.issue(T, ISSUE).await.is_err(), "nothing of it may stay");
}

pub(crate) async fn keys_that_cannot_be_stored_are_refused(f: &Fixture) {
    for id in ["", "a\0b", &"x".repeat(2000)] {
        let error = f.store.put_issue(T, issue(id), T0).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: "instance_id", .. }), "{error}");
    }
}

pub(crate) async fn test_runs_are_kept_with_reruns(f: &Fixture) {
    let store = &f.store;
    let new = candidate(ISSUE, "a");
    let id = new.id();
    store.put_records(T, Records::of(issue(ISSUE), vec![new]), T0, None).await.unwrap();
    let with = |content_id, run| NewTestRun { instance_id: ISSUE.to_owned(), content_id, run };
    let mut rerun = run(Some("a"), "unit");
    rerun.kind = TestKind::Reproduction;
    let runs = vec![
        with(Some(id), run(Some("a"), "unit")),
        with(None, run(None, "unit")),
        with(Some(id), rerun.clone()),
        with(Some(id), run(Some("a"), "")),
    ];
    store.put_test_runs(T, runs, T0).await.unwrap();
    let stored = store.test_runs(T, ISSUE, Some(id)).await.unwrap();
    assert_eq!(stored, [run(Some("a"), "unit"), rerun, run(Some("a"), "")]);
    assert_eq!(store.test_runs(T, ISSUE, None).await.unwrap(), [run(None, "unit")]);
    let error = store.put_test_runs(T, vec![with(Some(candidate(ISSUE, "b").id()), run(None, ""))], T0).await;
    assert!(matches!(error, Err(StoreError::NotFound { .. })), "{error:?}");
}

pub(crate) async fn scores_are_per_revision_and_replaced(f: &Fixture) {
    let store = &f.store;
    let all: Vec<_> = ["a", "b"].iter().map(|seed| candidate(ISSUE, seed)).collect();
    let mut ids: Vec<_> = all.iter().map(store::NewCandidate::id).collect();
    store.put_records(T, Records::of(issue(ISSUE), all), T0, None).await.unwrap();
    ids.sort_unstable();
    let score = |content_id, revision: &str, probability| StoredScore {
        content_id,
        revision: revision.to_owned(),
        probability,
        logit: Some(-0.5),
    };
    let first =
        vec![score(ids[0], "r1", Some(0.5)), score(ids[1], "r1", None), score(ids[0], "r2", Some(0.9))];
    store.put_scores(T, first, T0).await.unwrap();
    // Twice the same key in one call: the later one counts.
    store
        .put_scores(T, vec![score(ids[0], "r1", Some(0.6)), score(ids[0], "r1", Some(0.7))], at(1))
        .await
        .unwrap();
    let stored = store.scores(T, &ids, "r1").await.unwrap();
    assert_eq!(stored, [score(ids[0], "r1", Some(0.7)), score(ids[1], "r1", None)]);
    assert_eq!(store.scores(T, &ids, "r3").await.unwrap(), []);
    let error = store.put_scores(T, vec![score(ids[0], "r1", Some(f64::NAN))], T0).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "probability", .. }), "{error}");
}
