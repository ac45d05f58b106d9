//! Issues in SQL.

use async_trait::async_trait;

use super::statement::{Row, Statement};
use super::{Backend, SqlStore};
use crate::api::candidates::check_key;
use crate::{Issue, IssueStore, NewIssue, Result, StoreError, Tenant, Timestamp, blob};

const COLUMNS: &str = "SELECT instance_id, created_at, updated_at, text FROM issues";

/// Makes an issue known and its text the latest.
///
/// Two statements instead of one upsert, because on PostgreSQL an upsert locks the row even when it changes nothing,
/// and every selection of a popular issue would wait for the one before.
pub(super) fn put(tenant: &Tenant, issue: &NewIssue, now: Timestamp) -> Result<Vec<Statement>> {
    check_key("instance_id", &issue.instance_id)?;
    let hash = issue.text.as_ref().map(|text| blake3::hash(text.as_bytes()).to_hex()[..32].to_owned());
    let text = issue.text.as_ref().map(|text| blob::encode(text.as_bytes()));
    let insert = "INSERT INTO issues (tenant, instance_id, created_at, updated_at, text_hash, text)
        VALUES ($1, $2, $3, $3, $4, $5) ON CONFLICT (tenant, instance_id) DO NOTHING";
    let mut statements = vec![
        Statement::of(tenant, insert)
            .bind(issue.instance_id.as_str())
            .bind(now)
            .bind(hash.clone())
            .bind(text.clone()),
    ];
    if text.is_some() {
        let update = "UPDATE issues SET updated_at = $3, text_hash = $4, text = $5
            WHERE tenant = $1 AND instance_id = $2 AND (text_hash IS NULL OR text_hash <> $4)";
        statements.push(
            Statement::of(tenant, update).bind(issue.instance_id.as_str()).bind(now).bind(hash).bind(text),
        );
    }
    Ok(statements)
}

fn issue(row: &Row) -> Result<Issue> {
    Ok(Issue {
        instance_id: row.get("instance_id")?,
        text: row.blob_text_opt("text")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

#[async_trait]
impl<B: Backend> IssueStore for SqlStore<B> {
    async fn put_issue(&self, tenant: &Tenant, issue: NewIssue, now: Timestamp) -> Result<()> {
        self.write(put(tenant, &issue, now)?).await.map(drop)
    }

    async fn issue(&self, tenant: &Tenant, instance_id: &str) -> Result<Issue> {
        let read = Statement::of_built(tenant, format!("{COLUMNS} WHERE tenant = $1 AND instance_id = $2"))
            .bind(instance_id);
        let row = self.read_one(read).await?;
        issue(&row.ok_or_else(|| StoreError::not_found("issue", instance_id))?)
    }

    async fn issues(&self, tenant: &Tenant, after: Option<&str>, limit: u32) -> Result<Vec<Issue>> {
        let read = Statement::of_built(
            tenant,
            format!("{COLUMNS} WHERE tenant = $1 AND instance_id > $2 ORDER BY instance_id LIMIT $3"),
        )
        .bind(after.unwrap_or_default())
        .bind(limit);
        self.read(read).await?.iter().map(issue).collect()
    }
}
