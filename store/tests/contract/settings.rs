//! Settings.

use serde_json::json;
use store::StoreError;

use crate::support::{Fixture, T0, at};

pub(crate) async fn a_setting_comes_back_with_its_version(f: &Fixture) {
    assert_eq!(f.store.setting("models").await.unwrap(), None);
    assert_eq!(f.store.put_setting("models", &json!({"active": "a\0"}), None, T0).await.unwrap(), 1);
    assert_eq!(f.store.put_setting("models", &json!({"active": "b"}), Some(1), at(5)).await.unwrap(), 2);
    let setting = f.store.setting("models").await.unwrap().unwrap();
    assert_eq!((setting.value, setting.version), (json!({"active": "b"}), 2));
    assert_eq!(setting.updated_at, at(5));
    assert_eq!(f.store.setting("others").await.unwrap(), None);
    let error = f.store.put_setting("", &json!(1), None, T0).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "key", .. }), "{error}");
}

pub(crate) async fn of_two_changes_at_once_one_is_refused(f: &Fixture) {
    f.store.put_setting("models", &json!(1), None, T0).await.unwrap();
    for seen in [None, Some(0), Some(2)] {
        let error = f.store.put_setting("models", &json!(2), seen, T0).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { what: "setting", .. }), "{error}");
    }
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let store = f.store.clone();
            tokio::spawn(
                async move { store.put_setting("models", &json!(number), Some(1), at(number)).await },
            )
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += usize::from(task.await.unwrap().is_ok());
    }
    assert_eq!(won, 1);
    assert_eq!(f.store.setting("models").await.unwrap().unwrap().version, 2);
}
