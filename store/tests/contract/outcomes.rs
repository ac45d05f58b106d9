//! Outcomes and what preference data is made of.

use std::time::Duration;

use futures_util::TryStreamExt;
use store::{
    Claim, ClaimRequest, Completion, ContentId, IssueLabels, NewOutcome, NewTestRun, Records, StoreError,
    StoredResponse, Tenant, labelled_issues,
};
use uuid::Uuid;

use crate::support::{Fixture, ISSUE, T, T0, at, candidate, issue, run, selection, trajectory};

fn outcome(content_id: ContentId, resolved: Option<bool>, reward: Option<f64>) -> NewOutcome {
    let detail = Some(serde_json::json!({"FAIL_TO_PASS": ["a\0"]}));
    let (id, source) = (Uuid::now_v7(), "report.resolved".to_owned());
    NewOutcome { id, content_id, selection_id: None, resolved, reward, source, detail }
}

pub(crate) async fn the_latest_outcome_counts_and_history_stays(f: &Fixture) {
    let store = &f.store;
    let new = selection(ISSUE, &["a", "b"], T0);
    let (a, b) = (new.members[0].content.id(), new.members[1].content.id());
    store.record_selection(T, new.clone(), None).await.unwrap();
    let first = NewOutcome { selection_id: Some(new.id), ..outcome(a, Some(false), Some(0.5)) };
    store.put_outcomes(T, vec![first.clone()], at(5), None).await.unwrap();
    let second = outcome(a, Some(true), None);
    store.put_outcomes(T, vec![second.clone()], at(6), None).await.unwrap();
    // Arrives later but was reported earlier: history, not the latest.
    store.put_outcomes(T, vec![outcome(a, Some(false), None)], at(1), None).await.unwrap();

    let history = store.outcomes(T, a).await.unwrap();
    assert_eq!(history.iter().map(|o| o.reported_at).collect::<Vec<_>>(), [at(6), at(5), at(1)]);
    assert_eq!((history[1].selection_id, history[1].reward), (Some(new.id), Some(0.5)));
    let latest = store.selection_outcomes(T, new.id).await.unwrap();
    assert_eq!(latest.len(), 1);
    assert_eq!((latest[0].0.as_str(), latest[0].1.id, latest[0].1.resolved), ("a", second.id, Some(true)));
    assert!(store.outcomes(T, b).await.unwrap().is_empty());
}

pub(crate) async fn of_two_reports_at_once_the_higher_id_counts(f: &Fixture) {
    let new = candidate(ISSUE, "a");
    let id = new.id();
    f.store.put_records(T, Records::of(issue(ISSUE), vec![new]), T0, None).await.unwrap();
    let (first, second) = (outcome(id, Some(true), None), outcome(id, Some(false), None));
    assert!(first.id < second.id);
    f.store.put_outcomes(T, vec![second, first], T0, None).await.unwrap();
    assert_eq!(f.store.labelled(T, None, 10).await.unwrap()[0].resolved, Some(false));
}

pub(crate) async fn bad_outcomes_are_refused_whole(f: &Fixture) {
    let new = candidate(ISSUE, "a");
    let id = new.id();
    f.store.put_records(T, Records::of(issue(ISSUE), vec![new]), T0, None).await.unwrap();
    let good = || outcome(id, Some(true), None);
    let empty = outcome(id, None, None);
    let nan = outcome(id, None, Some(f64::NAN));
    let unnamed = NewOutcome { source: String::new(), ..good() };
    for wrong in [empty, nan, unnamed] {
        let error = f.store.put_outcomes(T, vec![good(), wrong], T0, None).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    }
    let unknown = outcome(candidate(ISSUE, "never stored").id(), Some(true), None);
    let error = f.store.put_outcomes(T, vec![good(), unknown], T0, None).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "candidate", .. }), "{error}");
    let selection = NewOutcome { selection_id: Some(Uuid::now_v7()), ..good() };
    let error = f.store.put_outcomes(T, vec![selection], T0, None).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    assert!(f.store.labelled(T, None, 10).await.unwrap().is_empty());
}

pub(crate) async fn outcomes_complete_an_idempotent_request(f: &Fixture) {
    let store = &f.store;
    let new = candidate(ISSUE, "a");
    let id = new.id();
    store.put_records(T, Records::of(issue(ISSUE), vec![new]), T0, None).await.unwrap();
    let key = ClaimRequest {
        tenant: Tenant::DEFAULT,
        scope: "s".to_owned(),
        key: "k".to_owned(),
        body_hash: [1; 32],
    };
    let Claim::Acquired(held) = store.claim(key.clone(), T0, Duration::from_secs(9)).await.unwrap() else {
        panic!()
    };
    let response = StoredResponse { status: 204, ..StoredResponse::default() };
    let completion = Completion { held, response: response.clone(), expires_at: at(60) };
    store.put_outcomes(T, vec![outcome(id, Some(true), None)], T0, Some(completion.clone())).await.unwrap();
    assert_eq!(store.claim(key, at(1), Duration::from_secs(9)).await.unwrap(), Claim::Done(response));
    // The same completion again finds its claim used, and the second outcome is not stored.
    let error = store
        .put_outcomes(T, vec![outcome(id, Some(false), None)], at(2), Some(completion))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(store.outcomes(T, id).await.unwrap().len(), 1);
}

pub(crate) async fn records_of_a_request_are_stored_together_or_not_at_all(f: &Fixture) {
    let store = &f.store;
    let (new, other) = (candidate(ISSUE, "a"), candidate(ISSUE, "b"));
    let (id, missing) = (new.id(), other.id());
    let records = |of: ContentId| Records {
        tests: vec![NewTestRun {
            instance_id: ISSUE.to_owned(),
            content_id: Some(of),
            run: run(Some("a"), "unit"),
        }],
        outcomes: vec![outcome(of, Some(true), None)],
        ..Records::of(issue(ISSUE), vec![new.clone()])
    };
    // What an outcome is about must be among the records, or stored.
    let error = store.put_records(T, records(missing), T0, None).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "candidate", .. }), "{error}");
    assert!(store.issue(T, ISSUE).await.is_err(), "nothing of it may stay");

    let key = ClaimRequest {
        tenant: Tenant::DEFAULT,
        scope: "s".to_owned(),
        key: "k".to_owned(),
        body_hash: [1; 32],
    };
    let Claim::Acquired(held) = store.claim(key, T0, Duration::from_secs(9)).await.unwrap() else { panic!() };
    let completion = Completion { held, response: StoredResponse::default(), expires_at: at(60) };
    store.put_records(T, records(id), T0, Some(completion.clone())).await.unwrap();
    assert_eq!(store.test_runs(T, ISSUE, Some(id)).await.unwrap().len(), 1);
    assert_eq!(store.outcomes(T, id).await.unwrap().len(), 1);
    // A second answer to the same request, and what comes with it, is refused: no test run is kept twice.
    let error = store.put_records(T, records(id), at(1), Some(completion)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(store.test_runs(T, ISSUE, Some(id)).await.unwrap().len(), 1);
    assert_eq!(store.outcomes(T, id).await.unwrap().len(), 1);
}

pub(crate) async fn labelled_candidates_come_issue_by_issue(f: &Fixture) {
    let store = &f.store;
    let mut expected = Vec::new();
    // More candidates than one page, in issues of uneven sizes.
    for (i, size) in [1_usize, 700, 2, 511, 40].into_iter().enumerate() {
        let name = format!("acme__widget-{i}");
        let all: Vec<_> = (0..size).map(|n| candidate(&name, &n.to_string())).collect();
        let mut ids: Vec<_> = all.iter().map(store::NewCandidate::id).collect();
        store.put_records(T, Records::of(issue(&name), all), T0, None).await.unwrap();
        let outcomes = ids.iter().map(|&id| outcome(id, Some(true), None)).collect();
        store.put_outcomes(T, outcomes, T0, None).await.unwrap();
        ids.sort_unstable();
        expected.push((name, ids));
    }
    // Without an outcome it does not count.
    store.put_records(T, Records::of(issue("zz"), vec![candidate("zz", "a")]), T0, None).await.unwrap();
    let got: Vec<IssueLabels> = labelled_issues(&*f.store, T).try_collect().await.unwrap();
    let got: Vec<_> = got
        .into_iter()
        .map(|issue| (issue.instance_id, issue.candidates.iter().map(|c| c.content_id).collect::<Vec<_>>()))
        .collect();
    assert_eq!(got, expected);
}

pub(crate) async fn labelled_candidates_tell_what_pairs_need(f: &Fixture) {
    let store = &f.store;
    assert!(labelled_issues(&*f.store, T).try_collect::<Vec<_>>().await.unwrap().is_empty());
    let mut other_prompt = trajectory(ISSUE, "c");
    other_prompt.turns[1].content.push('!');
    let all = vec![
        candidate(ISSUE, "a"),
        candidate(ISSUE, "b"),
        store::NewCandidate::prepare(&other_prompt).unwrap(),
    ];
    let ids: Vec<_> = all.iter().map(store::NewCandidate::id).collect();
    store.put_records(T, Records::of(issue(ISSUE), all), T0, None).await.unwrap();
    let outcomes = ids.iter().map(|&id| outcome(id, Some(id == ids[0]), Some(0.75))).collect();
    store.put_outcomes(T, outcomes, T0, None).await.unwrap();
    let rows = store.labelled(T, None, 10).await.unwrap();
    let row = |id| rows.iter().find(|row| row.content_id == id).unwrap();
    assert_eq!(row(ids[0]).prompt_id, row(ids[1]).prompt_id);
    assert_ne!(row(ids[0]).prompt_id, row(ids[2]).prompt_id);
    assert_eq!((row(ids[0]).resolved, row(ids[1]).resolved), (Some(true), Some(false)));
    assert_eq!((row(ids[0]).reward, row(ids[0]).turns), (Some(0.75), 3));
    assert_eq!(row(ids[0]).exit, trajectory(ISSUE, "a").exit);
}
