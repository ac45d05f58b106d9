//! Statistics of a young PostgreSQL database.
//!
//! Without them PostgreSQL takes every index that begins with the tenant for as good as the primary key, and may check a
//! foreign key by reading all that the tenant has. Its own maintenance sees to that a minute after the first rows; a
//! service that is busy from the start would spend that minute on it.

use super::gate::Gate;
use crate::Result;

/// The tables that others refer to.
const TABLES: &str = "'issues', 'candidates', 'selections', 'outcomes', 'jobs'";

/// A size at which indices are cheaper than reading all, in bytes.
const GROWN: u32 = 16 * 8192;

/// Whether it is time to look, after so many writes of this process.
pub(super) fn is_due(writes: u64) -> bool {
    writes >= 16 && writes.is_power_of_two()
}

/// Gathers statistics of tables that never had any and have grown to some pages: of smaller ones they would only say
/// that reading all is cheapest, and connections keep what they planned.
pub(super) async fn gather(gate: &Gate) -> Result<()> {
    let mut connection = gate.connection().await?;
    let young = format!(
        "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
            AND relname IN ({TABLES}) AND reltuples < 0 AND pg_relation_size(oid) >= {GROWN} ORDER BY relname"
    );
    let tables: Vec<String> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(young)).fetch_all(&mut *connection).await?;
    for table in tables {
        let analyze = format!("ANALYZE (SKIP_LOCKED) {table}");
        sqlx::query(sqlx::AssertSqlSafe(analyze)).execute(&mut *connection).await?;
        tracing::debug!(table, "gathered the first statistics");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_ever_more_rarely() {
        let due: Vec<u64> = (0..300).filter(|&writes| is_due(writes)).collect();
        assert_eq!(due, [16, 32, 64, 128, 256]);
    }
}
