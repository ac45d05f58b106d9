//! Migrations and opening.

use store::{ConnectOptions, Migration, OnPending, StoreError, connect};

use crate::support::{Fixture, sql};

fn options(on_pending: OnPending) -> ConnectOptions {
    ConnectOptions { max_connections: 1, on_pending, ..ConnectOptions::default() }
}

pub(crate) async fn a_fresh_store_has_every_migration(f: &Fixture) {
    let states = f.store.migrations().await.unwrap();
    assert!(!states.is_empty());
    assert!(states.iter().all(|state| state.state == Migration::Applied && !state.description.is_empty()));
    assert_eq!(f.store.migrate().await.unwrap(), states);
    f.store.ping().await.unwrap();
}

pub(crate) async fn a_schema_of_another_version_is_refused(f: &Fixture) {
    let Some(url) = &f.url else { return };
    connect(url, &options(OnPending::Refuse)).await.unwrap();
    sql(url, "UPDATE _sqlx_migrations SET version = 99 WHERE version = 1").await;
    for on_pending in [OnPending::Refuse, OnPending::Migrate] {
        let error = connect(url, &options(on_pending)).await.unwrap_err();
        assert!(error.to_string().contains("migration 99, which this program does not know"), "{error}");
    }
    let store = connect(url, &options(OnPending::Ignore)).await.unwrap();
    let states: Vec<_> =
        store.migrations().await.unwrap().into_iter().map(|m| (m.version, m.state)).collect();
    assert!(
        states.contains(&(1, Migration::Pending)) && states.contains(&(99, Migration::Unknown)),
        "{states:?}"
    );
}

pub(crate) async fn an_empty_database_has_nothing_applied(f: &Fixture) {
    let Some(url) = &f.url else { return };
    sql(url, "DROP TABLE _sqlx_migrations").await;
    let store = connect(url, &options(OnPending::Ignore)).await.unwrap();
    assert!(store.migrations().await.unwrap().iter().all(|m| m.state == Migration::Pending));
    let error = connect(url, &options(OnPending::Refuse)).await.unwrap_err();
    assert!(error.to_string().contains("run `entropo migrate`"), "{error}");
}

pub(crate) async fn a_fresh_database_is_opened_by_several_at_once(f: &Fixture) {
    let Some(url) = f.another().await else { return };
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let store = connect(&url, &options(OnPending::Migrate)).await.unwrap();
                store.ping().await.unwrap();
                store.close().await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    f.remove_another().await;
}

pub(crate) async fn wrong_urls_are_explained_without_the_password(_: &Fixture) {
    for url in ["", "mysql://u:hunter2@h/d", "postgres://u:hunter2@h:notaport/d", "nothing"] {
        let error = connect(url, &options(OnPending::Ignore)).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: "database URL", .. }), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    let error = connect("postgres://u:hunter2@127.0.0.1:1/d", &options(OnPending::Ignore)).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
