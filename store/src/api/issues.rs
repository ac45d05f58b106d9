//! Issues: what candidates try to solve.

use async_trait::async_trait;

use crate::{Result, Tenant, Timestamp};

/// An issue as a caller knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewIssue {
    /// Its identifier, such as `django__django-11099`; not empty.
    pub instance_id: String,
    /// Its text, where known. An issue's text is the latest one that was not `None`.
    pub text: Option<String>,
}

/// A stored issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its identifier.
    pub instance_id: String,
    /// Its text, once somebody gave one.
    pub text: Option<String>,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When its text last changed.
    pub updated_at: Timestamp,
}

/// Issues.
#[async_trait]
pub trait IssueStore: Send + Sync {
    /// Makes the issue known, and replaces its text where a new one is given.
    async fn put_issue(&self, tenant: &Tenant, issue: NewIssue, now: Timestamp) -> Result<()>;

    /// The issue, or `NotFound`.
    async fn issue(&self, tenant: &Tenant, instance_id: &str) -> Result<Issue>;

    /// Issues in the order of their identifiers, after `after`, at most `limit`.
    async fn issues(&self, tenant: &Tenant, after: Option<&str>, limit: u32) -> Result<Vec<Issue>>;
}
