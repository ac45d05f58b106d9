//! Settings in SQL.

use async_trait::async_trait;
use serde_json::Value;

use super::rows::json;
use super::statement::Statement;
use super::{Backend, SqlStore};
use crate::api::candidates::check_key;
use crate::{Result, Setting, SettingStore, StoreError, Timestamp};

#[async_trait]
impl<B: Backend> SettingStore for SqlStore<B> {
    async fn setting(&self, key: &str) -> Result<Option<Setting>> {
        let sql = "SELECT version, updated_at, value FROM settings WHERE key = $1";
        let row = self.read_one(Statement::wide(sql).bind(key)).await?;
        row.map(|row| {
            Ok(Setting {
                value: row.json("value")?,
                version: row.get("version")?,
                updated_at: row.time("updated_at")?,
            })
        })
        .transpose()
    }

    async fn put_setting(&self, key: &str, value: &Value, seen: Option<i64>, now: Timestamp) -> Result<i64> {
        check_key("key", key)?;
        let late = StoreError::Conflict {
            what: "setting",
            id: key.to_owned(),
            detail: "somebody else changed it in the meantime".to_owned(),
        };
        let insert = "INSERT INTO settings (key, version, updated_at, value) VALUES ($1, 1, $2, $3)
            ON CONFLICT (key) DO NOTHING RETURNING version";
        let update = "UPDATE settings SET version = version + 1, updated_at = $2, value = $3
            WHERE key = $1 AND version = $4 RETURNING version";
        let write = Statement::wide(if seen.is_some() { update } else { insert });
        let write = write.bind(key).bind(now).bind(json("value", value)?);
        let write = match seen {
            Some(version) => write.bind(version),
            None => write,
        };
        let rows = self.write_one(write.or_else(late)).await?;
        rows.first().map_or(Ok(1), |row| row.get("version"))
    }
}
