//! API tokens.

use store::{NewToken, PreviousSecret, Rotation, StoreError, Tenant};
use uuid::Uuid;

use crate::support::{Fixture, T0, at};

fn token(name: &str, secret: u8) -> NewToken {
    NewToken {
        id: Uuid::now_v7(),
        tenant: Tenant::DEFAULT,
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

pub(crate) async fn a_rotated_token_has_two_secrets_for_a_while(f: &Fixture) {
    let new = NewToken { tenant: "acme".parse().unwrap(), ..token("ci", 1) };
    f.store.create_token(new.clone()).await.unwrap();
    let rotation = |secret: u8, until: i64| Rotation {
        hash: [secret; 32],
        previous_until: at(until),
        expires_at: Some(at(500)),
    };
    f.store.rotate_token(new.id, rotation(2, 60), at(10)).await.unwrap();
    let stored = f.store.token(new.id).await.unwrap();
    assert_eq!((stored.hash, stored.rotated_at, stored.expires_at), ([2; 32], Some(at(10)), Some(at(500))));
    assert_eq!(stored.previous, Some(PreviousSecret { hash: [1; 32], until: at(60) }));
    assert_eq!((stored.tenant.as_str(), stored.name.as_str()), ("acme", "ci"));
    for secret in [1, 2] {
        assert_eq!(f.store.token_by_hash(&[secret; 32]).await.unwrap().unwrap().id, new.id);
    }
    // A second rotation leaves two secrets, not three.
    f.store.rotate_token(new.id, rotation(3, 90), at(20)).await.unwrap();
    assert_eq!(f.store.token_by_hash(&[1; 32]).await.unwrap(), None);
    assert_eq!(f.store.token_by_hash(&[2; 32]).await.unwrap().unwrap().previous.unwrap().until, at(90));

    let late = f.store.rotate_token(new.id, rotation(4, 90), at(500)).await.unwrap_err();
    assert!(matches!(late, StoreError::Conflict { what: "token", .. }), "{late}");
    f.store.revoke_token(new.id, at(30)).await.unwrap();
    let revoked = f.store.rotate_token(new.id, rotation(4, 90), at(31)).await.unwrap_err();
    assert!(matches!(revoked, StoreError::Conflict { what: "token", .. }), "{revoked}");
    let missing = f.store.rotate_token(Uuid::now_v7(), rotation(5, 90), at(31)).await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { .. }), "{missing}");
}
