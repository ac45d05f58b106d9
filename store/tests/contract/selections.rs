//! Selections.

use std::time::Duration;

use store::{
    Claim, ClaimRequest, Completion, Member, NewOutcome, SelectionCursor, SelectionFilter, SelectionSummary,
    StoreError, StoredResponse, Tenant,
};
use uuid::Uuid;

use crate::support::{Fixture, ISSUE, T, T0, at, candidate, issue, run, selection};

pub(crate) async fn a_selection_comes_back_as_it_was(f: &Fixture) {
    let new = selection(ISSUE, &["z", "a", "m"], T0);
    f.store.record_selection(T, new.clone(), None).await.unwrap();
    let stored = f.store.selection(T, new.id).await.unwrap();
    assert_eq!(stored.result, new.result);
    assert_eq!(stored.request, new.request);
    assert_eq!(stored.created_at, T0);
    let members: Vec<_> = new.members.iter().map(|m| (m.candidate_id.clone(), m.content.id())).collect();
    assert_eq!(stored.members, members);
    assert_eq!(f.store.selection_test_runs(T, new.id).await.unwrap(), new.tests);
    assert_eq!(f.store.issue(T, ISSUE).await.unwrap().text, issue(ISSUE).text);
    let ids: Vec<_> = stored.members.iter().map(|(_, id)| *id).collect();
    assert_eq!(f.store.scores(T, &ids, "r1").await.unwrap().len(), 3);
    assert_eq!(f.store.test_runs(T, ISSUE, Some(ids[0])).await.unwrap(), [run(Some("z"), "unit")]);
    assert_eq!(stored.content_id(None).unwrap(), ids[0]);
    assert_eq!(stored.content_id(Some("m")).unwrap(), ids[2]);
    assert!(matches!(stored.content_id(Some("q")), Err(StoreError::NotFound { .. })));
}

pub(crate) async fn a_selection_without_candidates_is_stored(f: &Fixture) {
    let mut new = selection(ISSUE, &[], T0);
    new.tests.clear();
    f.store.record_selection(T, new.clone(), None).await.unwrap();
    let stored = f.store.selection(T, new.id).await.unwrap();
    assert_eq!(stored.members, []);
    assert!(matches!(stored.content_id(None), Err(StoreError::Invalid { .. })));
}

pub(crate) async fn equal_trajectories_under_two_names_share_a_row(f: &Fixture) {
    let mut new = selection(ISSUE, &["a", "b"], T0);
    new.members[1].content = new.members[0].content.clone();
    f.store.record_selection(T, new.clone(), None).await.unwrap();
    let stored = f.store.selection(T, new.id).await.unwrap();
    assert_eq!(stored.members[0].1, stored.members[1].1);
    assert_eq!(f.store.candidates_of_issue(T, ISSUE, None, 10).await.unwrap().len(), 1);
}

pub(crate) async fn known_candidates_are_joined_by_content(f: &Fixture) {
    let first = selection(ISSUE, &["a", "b"], T0);
    let content = first.members[0].content.id();
    f.store.record_selection(T, first, None).await.unwrap();
    let mut second = selection(ISSUE, &["x", "y"], at(1));
    second.members[0].content = Member::Known(content);
    f.store.record_selection(T, second.clone(), None).await.unwrap();
    assert_eq!(f.store.selection(T, second.id).await.unwrap().members[0].1, content);

    let mut missing = selection(ISSUE, &["x"], at(2));
    missing.members[0].content = Member::Known(candidate(ISSUE, "never stored").id());
    let error = f.store.record_selection(T, missing, None).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "candidate", .. }), "{error}");

    let mut foreign = selection("other__issue-1", &["x"], at(2));
    foreign.members[0].content = Member::Known(content);
    let error = f.store.record_selection(T, foreign, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "instance_id", .. }), "{error}");
}

pub(crate) async fn an_id_is_used_once_and_nothing_is_left_of_the_second(f: &Fixture) {
    let first = selection(ISSUE, &["a"], T0);
    let mut second = selection("other__issue-1", &["b"], T0);
    second.id = first.id;
    f.store.record_selection(T, first.clone(), None).await.unwrap();
    let error = f.store.record_selection(T, second, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { what: "selection", .. }), "{error}");
    assert_eq!(f.store.selection(T, first.id).await.unwrap().result, first.result);
    assert!(matches!(f.store.issue(T, "other__issue-1").await, Err(StoreError::NotFound { .. })));
    assert!(f.store.candidates_of_issue(T, "other__issue-1", None, 1).await.unwrap().is_empty());
}

pub(crate) async fn contradictions_are_refused(f: &Fixture) {
    let good = || selection(ISSUE, &["a", "b"], T0);
    let mut twice = good();
    twice.members[1].candidate_id = "a".into();
    let mut chosen = good();
    chosen.result.chosen = Some("q".to_owned());
    let mut tests = good();
    tests.tests = vec![run(Some("q"), "unit")];
    let mut scores = good();
    scores.scores[0].candidate_id = "q".into();
    let mut other = good();
    other.result.instance_id = "other__issue-1".into();
    for (what, wrong) in
        [("twice", twice), ("chosen", chosen), ("tests", tests), ("scores", scores), ("other", other)]
    {
        let error = f.store.record_selection(T, wrong, None).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "{what}: {error}");
    }
    assert!(f.store.selections(T, &SelectionFilter::default(), None, 10).await.unwrap().items.is_empty());
}

pub(crate) async fn a_lost_claim_undoes_the_selection(f: &Fixture) {
    let store = &f.store;
    let key = ClaimRequest {
        tenant: Tenant::DEFAULT,
        scope: "s".to_owned(),
        key: "k".to_owned(),
        body_hash: [1; 32],
    };
    let Claim::Acquired(held) = store.claim(key.clone(), T0, Duration::from_secs(10)).await.unwrap() else {
        panic!("the key is free");
    };
    // It expires and another request takes it over.
    let Claim::Acquired(second) = store.claim(key.clone(), at(11), Duration::from_secs(10)).await.unwrap()
    else {
        panic!("the claim has expired");
    };
    let answer = |held| Completion {
        held,
        response: StoredResponse {
            status: 201,
            headers: vec![("location".to_owned(), "/v1/selections/1".to_owned())],
            body: b"{\"a\":\"\\u0000\"}".repeat(100),
        },
        expires_at: at(1000),
    };
    let late = selection(ISSUE, &["a"], at(11));
    let error = store.record_selection(T, late.clone(), Some(answer(held))).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { what: "idempotency key", .. }), "{error}");
    assert!(store.selection(T, late.id).await.is_err(), "all of it or nothing");
    assert!(store.candidates_of_issue(T, ISSUE, None, 1).await.unwrap().is_empty());

    let good = selection(ISSUE, &["a"], at(12));
    let completion = answer(second);
    store.record_selection(T, good.clone(), Some(completion.clone())).await.unwrap();
    assert!(store.selection(T, good.id).await.is_ok());
    let again = store.claim(key, at(13), Duration::from_secs(10)).await.unwrap();
    assert_eq!(again, Claim::Done(completion.response));
}

async fn all(f: &Fixture, filter: &SelectionFilter, limit: u32) -> Vec<SelectionSummary> {
    let mut seen = Vec::new();
    let mut after: Option<SelectionCursor> = None;
    loop {
        let page = f.store.selections(T, filter, after, limit).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        seen.extend(page.items);
        // What a client carries is the text.
        after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
        if after.is_none() {
            return seen;
        }
    }
}

pub(crate) async fn the_list_is_newest_first_and_pages_without_gaps(f: &Fixture) {
    let mut ids = Vec::new();
    for i in 0..13 {
        // Several of the same time: the id decides.
        let new = selection(ISSUE, &["a"], at(i / 3));
        ids.push((new.created_at, new.id));
        f.store.record_selection(T, new, None).await.unwrap();
    }
    ids.sort_unstable();
    ids.reverse();
    for limit in [1, 2, 3, 13, 14] {
        let seen: Vec<_> =
            all(f, &SelectionFilter::default(), limit).await.iter().map(|s| (s.created_at, s.id)).collect();
        assert_eq!(seen, ids, "limit {limit}");
    }
    // What comes in while somebody reads does not shift the pages.
    let page = f.store.selections(T, &SelectionFilter::default(), None, 5).await.unwrap();
    f.store.record_selection(T, selection(ISSUE, &["a"], at(100)), None).await.unwrap();
    let next = f.store.selections(T, &SelectionFilter::default(), page.next, 5).await.unwrap();
    assert_eq!(
        next.items.iter().map(|s| s.id).collect::<Vec<_>>(),
        ids[5..10].iter().map(|x| x.1).collect::<Vec<_>>()
    );
}

pub(crate) async fn the_list_is_filtered(f: &Fixture) {
    let store = &f.store;
    let one = selection(ISSUE, &["a", "b"], at(1));
    let mut two = selection(ISSUE, &["c"], at(2));
    two.result.policy = "majority".into();
    let three = selection("other__issue-1", &["a"], at(3));
    for new in [&one, &two, &three] {
        store.record_selection(T, new.clone(), None).await.unwrap();
    }
    let outcome = |selection: &store::NewSelection, i: usize, resolved| NewOutcome {
        id: Uuid::now_v7(),
        content_id: selection.members[i].content.id(),
        selection_id: Some(selection.id),
        resolved: Some(resolved),
        reward: None,
        source: "user".to_owned(),
        detail: None,
    };
    // Of the first selection only the candidate that was not chosen has an outcome.
    store
        .put_outcomes(T, vec![outcome(&one, 1, true), outcome(&three, 0, false)], at(9), None)
        .await
        .unwrap();

    let none = SelectionFilter::default;
    let cases = [
        ("all", none(), vec![three.id, two.id, one.id]),
        ("issue", SelectionFilter { instance_id: Some(ISSUE.to_owned()), ..none() }, vec![two.id, one.id]),
        ("policy", SelectionFilter { policy: Some("hybrid".to_owned()), ..none() }, vec![three.id, one.id]),
        ("from", SelectionFilter { created_from: Some(at(2)), ..none() }, vec![three.id, two.id]),
        ("before", SelectionFilter { created_before: Some(at(2)), ..none() }, vec![one.id]),
        ("outcome", SelectionFilter { has_outcome: Some(true), ..none() }, vec![three.id, one.id]),
        ("no outcome", SelectionFilter { has_outcome: Some(false), ..none() }, vec![two.id]),
        ("resolved", SelectionFilter { resolved: Some(true), ..none() }, vec![]),
        ("not resolved", SelectionFilter { resolved: Some(false), ..none() }, vec![three.id]),
        (
            "several",
            SelectionFilter {
                instance_id: Some(ISSUE.to_owned()),
                policy: Some("hybrid".to_owned()),
                created_from: Some(T0),
                created_before: Some(at(2)),
                has_outcome: Some(true),
                resolved: None,
            },
            vec![one.id],
        ),
    ];
    for (what, filter, expected) in cases {
        let seen = all(f, &filter, 1).await;
        assert_eq!(seen.iter().map(|s| s.id).collect::<Vec<_>>(), expected, "{what}");
    }
    let line = &all(f, &none(), 10).await[0];
    assert_eq!(
        (line.chosen.as_deref(), line.confidence, line.resolved),
        (Some("a"), Some(0.625), Some(false))
    );
    assert_eq!((line.candidate_count, line.abstained, line.policy.as_str()), (1, false, "hybrid"));
}

pub(crate) async fn concurrent_selections_of_the_same_candidates_all_succeed(f: &Fixture) {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut tasks = Vec::new();
    for i in 0..24 {
        // In different orders, and with a different issue text each time, to provoke deadlocks.
        let mut names = names;
        names.rotate_left(i % 6);
        let mut new = selection(ISSUE, &names, at(i as i64));
        new.issue.text = Some(format!("text {}", i % 3));
        let store = f.store.clone();
        tasks.push(tokio::spawn(async move { store.record_selection(T, new, None).await }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(f.store.selections(T, &SelectionFilter::default(), None, 100).await.unwrap().items.len(), 24);
    assert_eq!(f.store.candidates_of_issue(T, ISSUE, None, 100).await.unwrap().len(), names.len());
}
