//! Decisions made at run time that outlast a restart and that all replicas share.

use async_trait::async_trait;
use serde_json::Value;

use crate::{Result, Timestamp};

/// A stored setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// What was decided.
    pub value: Value,
    /// Rises by one with every change, from 1.
    pub version: i64,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Settings by key.
#[async_trait]
pub trait SettingStore: Send + Sync {
    /// The setting, once somebody has made one.
    async fn setting(&self, key: &str) -> Result<Option<Setting>>;

    /// Changes a setting that still has the version `seen`, or makes one that is not there where `seen` is `None`.
    /// The new version; `Conflict` when somebody else was faster.
    async fn put_setting(&self, key: &str, value: &Value, seen: Option<i64>, now: Timestamp) -> Result<i64>;
}
