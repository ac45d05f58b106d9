//! Selections in SQL.

use std::collections::BTreeMap;

use async_trait::async_trait;
use common::TestRun;
use uuid::Uuid;

use super::insert::insert;
use super::rows::json;
use super::statement::{Row, Statement, Value};
use super::{Backend, SqlStore, candidates, idempotency, issues};
use crate::api::candidates::{check_finite, check_key};
use crate::{
    Completion, ContentId, Member, NewSelection, NewTestRun, Page, Result, SelectionCursor, SelectionFilter,
    SelectionRecord, SelectionStore, SelectionSummary, StoreError, StoredScore, Tenant,
};

/// The content of each candidate id; refuses a selection that contradicts itself.
fn members(selection: &NewSelection) -> Result<BTreeMap<&str, ContentId>> {
    let mut members = BTreeMap::new();
    for member in &selection.members {
        check_key("candidate_id", &member.candidate_id)?;
        if let Member::New(candidate) = &member.content {
            candidates::check_issue(&selection.issue.instance_id, candidate)?;
        }
        if members.insert(member.candidate_id.as_str(), member.content.id()).is_some() {
            let detail = format!("{} is used by two candidates", member.candidate_id);
            return Err(StoreError::invalid("candidate_id", detail));
        }
    }
    if selection.result.instance_id != selection.issue.instance_id {
        return Err(StoreError::invalid("result", "is about another issue"));
    }
    Ok(members)
}

/// The content of the candidate that `field` names.
fn content_of(members: &BTreeMap<&str, ContentId>, field: &'static str, id: &str) -> Result<ContentId> {
    members
        .get(id)
        .copied()
        .ok_or_else(|| StoreError::invalid(field, format!("{id} is not one of the candidates")))
}

/// The rows of a selection, in an order that satisfies the foreign keys.
fn statements(tenant: &Tenant, selection: &NewSelection) -> Result<Vec<Statement>> {
    let NewSelection { id, created_at, issue, result, .. } = selection;
    let members = members(selection)?;
    let mut statements = issues::put(tenant, issue, *created_at)?;
    let new = selection.members.iter().filter_map(|member| match &member.content {
        Member::New(candidate) => Some(&**candidate),
        Member::Known(_) => None,
    });
    statements.extend(candidates::put(tenant, new, *created_at)?);
    statements.push(row(tenant, selection, &members)?);

    let rows = selection.members.iter().enumerate().map(|(i, member)| {
        let content = member.content.id();
        vec![(*id).into(), member.candidate_id.as_str().into(), Value::from(i as i64), content.into()]
    });
    let head = "INSERT INTO selection_candidates (tenant, selection_id, candidate_id, position, content_id)";
    statements.extend(insert(tenant, head, rows.collect(), ""));

    let mut runs = Vec::with_capacity(selection.tests.len());
    for run in &selection.tests {
        let candidate = run.candidate_id.as_deref();
        let content_id = candidate.map(|name| content_of(&members, "tests", name)).transpose()?;
        let run = NewTestRun { instance_id: issue.instance_id.clone(), content_id, run: run.clone() };
        runs.push((run, Some(*id)));
    }
    statements.extend(candidates::put_test_runs(tenant, &runs, *created_at)?);

    let mut scores = Vec::with_capacity(selection.scores.len());
    for score in &selection.scores {
        scores.push(StoredScore::new(content_of(&members, "scores", &score.candidate_id)?, score));
    }
    statements.extend(candidates::put_scores(tenant, scores, *created_at)?);
    check_finite("confidence", result.confidence)?;
    Ok(statements)
}

/// The selection's own row; with one row back it is new.
fn row(tenant: &Tenant, selection: &NewSelection, members: &BTreeMap<&str, ContentId>) -> Result<Statement> {
    let NewSelection { id, created_at, issue, result, .. } = selection;
    check_key("policy", &result.policy)?;
    let chosen = result.chosen.as_deref();
    let chosen_content = chosen.map(|name| content_of(members, "result.chosen", name)).transpose()?;
    let sql =
        "INSERT INTO selections (tenant, id, instance_id, policy, chosen, chosen_content, confidence, abstained,
            candidate_count, created_at, request, result)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (tenant, id) DO NOTHING RETURNING id";
    let taken = StoreError::Conflict {
        what: "selection",
        id: id.to_string(),
        detail: "a selection with this id exists already".to_owned(),
    };
    Ok(Statement::of(tenant, sql)
        .bind(*id)
        .bind(issue.instance_id.as_str())
        .bind(result.policy.as_str())
        .bind(chosen)
        .bind(chosen_content)
        .bind(result.confidence)
        .bind(result.abstained)
        .bind(members.len() as i64)
        .bind(*created_at)
        .bind(json("request", &selection.request)?)
        .bind(json("result", result)?)
        .or_else(taken))
}

/// The list's statement: one line more than asked for tells whether there is a next page.
fn list(tenant: &Tenant, filter: &SelectionFilter, after: Option<SelectionCursor>, limit: u32) -> Statement {
    let mut conditions = vec!["s.tenant = $1".to_owned()];
    let mut args: Vec<Value> = vec![tenant.into()];
    let mut condition = |text: &str, values: Vec<Value>| {
        let mut text = text.to_owned();
        for (i, value) in values.into_iter().enumerate() {
            args.push(value);
            text = text.replace(&format!("?{i}"), &format!("${}", args.len()));
        }
        conditions.push(text);
    };
    if let Some(instance_id) = &filter.instance_id {
        condition("s.instance_id = ?0", vec![instance_id.as_str().into()]);
    }
    if let Some(policy) = &filter.policy {
        condition("s.policy = ?0", vec![policy.as_str().into()]);
    }
    if let Some(from) = filter.created_from {
        condition("s.created_at >= ?0", vec![from.into()]);
    }
    if let Some(before) = filter.created_before {
        condition("s.created_at < ?0", vec![before.into()]);
    }
    if let Some(has_outcome) = filter.has_outcome {
        let not = if has_outcome { "" } else { "NOT " };
        let exists = "EXISTS (SELECT 1 FROM selection_candidates c
            JOIN labels l ON l.tenant = c.tenant AND l.content_id = c.content_id
            WHERE c.tenant = s.tenant AND c.selection_id = s.id)";
        condition(&format!("{not}{exists}"), vec![]);
    }
    if let Some(resolved) = filter.resolved {
        condition("chosen.resolved = ?0", vec![resolved.into()]);
    }
    if let Some(after) = after {
        condition("(s.created_at, s.id) < (?0, ?1)", vec![after.created_at.into(), after.id.into()]);
    }
    let mut statement = Statement::wide_built(format!(
        "SELECT s.id, s.created_at, s.instance_id, s.policy, s.chosen, s.confidence, s.abstained, s.candidate_count,
            chosen.resolved
        FROM selections s
        LEFT JOIN labels chosen ON chosen.tenant = s.tenant AND chosen.content_id = s.chosen_content
        WHERE {} ORDER BY s.created_at DESC, s.id DESC LIMIT ${}",
        conditions.join(" AND "),
        args.len() + 1
    ));
    statement.args = args;
    statement.bind(limit + 1)
}

fn summary(row: &Row) -> Result<SelectionSummary> {
    Ok(SelectionSummary {
        id: row.uuid("id")?,
        created_at: row.time("created_at")?,
        instance_id: row.get("instance_id")?,
        policy: row.get("policy")?,
        chosen: row.get("chosen")?,
        confidence: row.get("confidence")?,
        abstained: row.get("abstained")?,
        candidate_count: row.number("candidate_count")?,
        resolved: row.get("resolved")?,
    })
}

impl<B: Backend> SqlStore<B> {
    /// Known members must be stored, for the same issue. Candidates are never deleted, so this may come first.
    async fn check_known(&self, tenant: &Tenant, selection: &NewSelection) -> Result<()> {
        let known: Vec<ContentId> = selection
            .members
            .iter()
            .filter(|member| matches!(member.content, Member::Known(_)))
            .map(|member| member.content.id())
            .collect();
        if known.is_empty() {
            return Ok(());
        }
        let stored = candidates::known(self, tenant, &known).await?;
        for id in known {
            match stored.get(&id) {
                Some(instance_id) if *instance_id == selection.issue.instance_id => {}
                Some(other) => {
                    let detail =
                        format!("candidate {id} is of {other}, not of {}", selection.issue.instance_id);
                    return Err(StoreError::invalid("instance_id", detail));
                }
                None => return Err(StoreError::not_found("candidate", id)),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<B: Backend> SelectionStore for SqlStore<B> {
    async fn record_selection(
        &self,
        tenant: &Tenant,
        selection: NewSelection,
        completion: Option<Completion>,
    ) -> Result<()> {
        let mut statements = statements(tenant, &selection)?;
        self.check_known(tenant, &selection).await?;
        statements.extend(completion.map(idempotency::complete).transpose()?);
        self.write(statements).await.map(drop)
    }

    async fn selection(&self, tenant: &Tenant, id: Uuid) -> Result<SelectionRecord> {
        let read = Statement::of(
            tenant,
            "SELECT id, created_at, request, result FROM selections WHERE tenant = $1 AND id = $2",
        )
        .bind(id);
        let row = self.read_one(read).await?.ok_or_else(|| StoreError::not_found("selection", id))?;
        let members = "SELECT candidate_id, content_id FROM selection_candidates
            WHERE tenant = $1 AND selection_id = $2 ORDER BY position";
        let members = self.read(Statement::of(tenant, members).bind(id)).await?;
        Ok(SelectionRecord {
            id: row.uuid("id")?,
            created_at: row.time("created_at")?,
            request: row.json("request")?,
            result: row.json("result")?,
            members: members
                .iter()
                .map(|row| Ok((row.get("candidate_id")?, row.content_id("content_id")?)))
                .collect::<Result<_>>()?,
        })
    }

    async fn selection_test_runs(&self, tenant: &Tenant, id: Uuid) -> Result<Vec<TestRun>> {
        let sql = "SELECT candidate_id, kind, suite, results FROM test_runs WHERE tenant = $1 AND selection_id = $2 ORDER BY id";
        self.read(Statement::of(tenant, sql).bind(id)).await?.iter().map(candidates::test_run).collect()
    }

    async fn selections(
        &self,
        tenant: &Tenant,
        filter: &SelectionFilter,
        after: Option<SelectionCursor>,
        limit: u32,
    ) -> Result<Page<SelectionSummary, SelectionCursor>> {
        let limit = limit.clamp(1, 1000);
        let rows = self.read(list(tenant, filter, after, limit)).await?;
        let more = rows.len() > limit as usize;
        let items: Vec<_> = rows.iter().take(limit as usize).map(summary).collect::<Result<_>>()?;
        let last = items.last().filter(|_| more);
        let next = last.map(|last| SelectionCursor { created_at: last.created_at, id: last.id });
        Ok(Page { items, next })
    }
}
