//! Operating a store.

use async_trait::async_trait;

use super::statement::Statement;
use super::{Backend, SqlStore};
use crate::{Maintenance, MigrationState, PoolState, Purged, Result, Timestamp};

#[async_trait]
impl<B: Backend> Maintenance for SqlStore<B> {
    async fn ping(&self) -> Result<()> {
        self.read(Statement::wide("SELECT 1")).await.map(drop)
    }

    async fn migrate(&self) -> Result<Vec<MigrationState>> {
        self.bring_up_to_date().await?;
        self.backend.migrations().await
    }

    async fn migrations(&self) -> Result<Vec<MigrationState>> {
        self.backend.migrations().await
    }

    async fn purge(&self, now: Timestamp) -> Result<Purged> {
        let sql = "DELETE FROM idempotency_keys WHERE expires_at <= $1 RETURNING key";
        let keys = self.write_one(Statement::wide(sql).bind(now)).await?;
        Ok(Purged { idempotency_keys: keys.len() as u64 })
    }

    async fn close(&self) {
        self.backend.close().await;
    }

    fn pools(&self) -> Vec<PoolState> {
        self.backend.pools()
    }
}
