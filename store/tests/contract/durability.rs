//! What happens when callers go away or the database is in use.

use std::time::Duration;

use store::{ConnectOptions, SelectionFilter, StoreError, connect};

use crate::support::{Fixture, ISSUE, T, T0, at, selection};

/// sqlx gives a connection back inside an open transaction when the future of `begin` is dropped. A store whose
/// callers are cancelled at random moments must go on working, with each selection there in full or not at all.
pub(crate) async fn cancelled_callers_poison_nothing(f: &Fixture) {
    for i in 0..150_u64 {
        let new = selection(ISSUE, &["a", "b"], at(i as i64));
        let work = f.store.record_selection(T, new, None);
        let _ = tokio::time::timeout(Duration::from_micros(i * 40), work).await;
    }
    // Every connection of the pool must still be able to write, and to see what was written.
    let mut ids = Vec::new();
    for i in 0..8 {
        let new = selection(ISSUE, &["a", "b"], at(1000 + i));
        ids.push(new.id);
        f.store.record_selection(T, new, None).await.unwrap();
    }
    let tasks: Vec<_> = ids
        .into_iter()
        .map(|id| {
            let store = f.store.clone();
            tokio::spawn(async move { store.selection(T, id).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().members.len(), 2);
    }
    if let Some(url) = &f.url {
        // A transaction left open would hide its rows from a second connection.
        let other = connect(url, &ConnectOptions::default()).await.unwrap();
        let filter = SelectionFilter::default();
        let seen = other.selections(T, &filter, None, 1000).await.unwrap().items;
        assert_eq!(seen, f.store.selections(T, &filter, None, 1000).await.unwrap().items);
        for line in seen {
            assert_eq!(other.selection(T, line.id).await.unwrap().members.len(), 2);
        }
        other.close().await;
    }
}

/// SQLite puts writes that wait for each other into one transaction: a refused one must undo its own rows only.
pub(crate) async fn a_refused_write_takes_nothing_else_with_it(f: &Fixture) {
    let taken = selection("taken__issue-1", &["t"], T0);
    f.store.record_selection(T, taken.clone(), None).await.unwrap();
    let mut tasks = Vec::new();
    for i in 0..40_i64 {
        let issue = format!("acme__widget-{i}");
        let mut new = selection(&issue, &["a", "b"], at(i));
        if i % 3 == 0 {
            new.id = taken.id;
        }
        let (store, id) = (f.store.clone(), new.id);
        tasks.push((i, issue, id, tokio::spawn(async move { store.record_selection(T, new, None).await })));
    }
    for (i, issue, id, task) in tasks {
        let result = task.await.unwrap();
        if i % 3 == 0 {
            assert!(matches!(result, Err(StoreError::Conflict { what: "selection", .. })), "{result:?}");
            assert!(
                matches!(f.store.issue(T, &issue).await, Err(StoreError::NotFound { .. })),
                "{issue} is half there"
            );
        } else {
            result.unwrap();
            assert_eq!(f.store.selection(T, id).await.unwrap().members.len(), 2);
        }
    }
}

pub(crate) async fn two_processes_write_the_same_database(f: &Fixture) {
    let Some(url) = &f.url else { return };
    let other = connect(url, &ConnectOptions::default()).await.unwrap();
    let mut tasks = Vec::new();
    for i in 0..40 {
        let store = if i % 2 == 0 { f.store.clone() } else { other.clone() };
        let new = selection(ISSUE, &["a", "b"], at(i));
        tasks.push(tokio::spawn(async move { store.record_selection(T, new, None).await }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(other.selections(T, &SelectionFilter::default(), None, 100).await.unwrap().items.len(), 40);
    other.close().await;
}

pub(crate) async fn what_was_written_is_there_after_opening_again(f: &Fixture) {
    let Some(url) = &f.url else { return };
    let new = selection(ISSUE, &["a"], T0);
    f.store.record_selection(T, new.clone(), None).await.unwrap();
    f.store.close().await;
    let error = f.store.selection(T, new.id).await.unwrap_err();
    assert!(error.is_retryable(), "a closed store is unavailable: {error}");
    let again = connect(url, &ConnectOptions::default()).await.unwrap();
    assert_eq!(again.selection(T, new.id).await.unwrap().result, new.result);
    again.close().await;
}
