//! API tokens.

use store::{NewToken, StoreError};
use uuid::Uuid;

use crate::support::{Fixture, T0, at};

fn token(name: &str, secret: u8) -> NewToken {
    NewToken {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        hash: [secret; 32],
        scopes: vec!["read".to_owned(), "write".to_owned()],
        created_at: T0,
        expires_at: Some(at(100)),
    }
}

pub(crate) async fn a_token_is_found_by_id_and_hash(f: &Fixture) {
    let new = token("ci", 7);
    f.store.create_token(new.clone()).await.unwrap();
    let stored = f.store.token(new.id).await.unwrap();
    assert_eq!((stored.name.as_str(), stored.hash, &stored.scopes), ("ci", [7; 32], &new.scopes));
    assert_eq!(f.store.token_by_hash(&[7; 32]).await.unwrap(), Some(stored.clone()));
    assert_eq!(f.store.token_by_hash(&[8; 32]).await.unwrap(), None);
    assert!(matches!(f.store.token(Uuid::now_v7()).await, Err(StoreError::NotFound { what: "token", .. })));
    assert!(stored.is_valid(at(99)) && !stored.is_valid(at(100)));
}

pub(crate) async fn ids_and_secrets_are_unique(f: &Fixture) {
    let new = token("ci", 7);
    f.store.create_token(new.clone()).await.unwrap();
    for wrong in [token("same secret", 7), NewToken { hash: [8; 32], ..new }] {
        let error = f.store.create_token(wrong).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { what: "token", .. }), "{error}");
    }
    let error = f.store.create_token(token("", 9)).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "name", .. }), "{error}");
    assert_eq!(f.store.tokens().await.unwrap().len(), 1);
}

pub(crate) async fn a_revoked_token_stays_listed(f: &Fixture) {
    let (one, two) = (token("one", 1), NewToken { created_at: at(1), expires_at: None, ..token("two", 2) });
    f.store.create_token(two.clone()).await.unwrap();
    f.store.create_token(one.clone()).await.unwrap();
    f.store.revoke_token(one.id, at(5)).await.unwrap();
    f.store.revoke_token(one.id, at(6)).await.unwrap();
    let all = f.store.tokens().await.unwrap();
    assert_eq!(all.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((all[0].revoked_at, all[0].is_valid(T0)), (Some(at(5)), false));
    assert!(all[1].is_valid(at(1_000_000)));
    let error = f.store.revoke_token(Uuid::now_v7(), T0).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
}

pub(crate) async fn use_is_noted_once_a_minute(f: &Fixture) {
    let new = token("ci", 7);
    f.store.create_token(new.clone()).await.unwrap();
    for (now, noted) in [(at(0), at(0)), (at(59), at(0)), (at(61), at(61)), (at(30), at(61))] {
        f.store.touch_token(new.id, now).await.unwrap();
        assert_eq!(f.store.token(new.id).await.unwrap().last_used_at, Some(noted));
    }
}
