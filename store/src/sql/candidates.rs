//! Candidates, test runs and scores in SQL.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use common::{TestRun, Trajectory};

use super::insert::insert;
use super::rows::{id_list, word};
use super::statement::{Row, Statement, Value};
use super::{Backend, SqlStore, idempotency, issues, outcomes, postgres};
use crate::api::candidates::{check_key, check_text};
use crate::{
    CandidateInfo, CandidateStore, Completion, ContentId, NewCandidate, NewTestRun, Records, Result,
    StoreError, StoredCandidate, StoredScore, Tenant, Timestamp, blob,
};

const INFO: &str = "id, instance_id, source, exit, steps, turns, bytes, created_at";
/// Larger trajectories are decompressed and parsed off the async threads.
const DECODE_HERE: u64 = 64 << 10;

/// Inserts for candidates that may be there already.
///
/// In the order of their ids: two transactions that insert the same candidates in different orders would wait for each
/// other.
pub(super) fn put<'a>(
    tenant: &Tenant,
    candidates: impl IntoIterator<Item = &'a NewCandidate>,
    now: Timestamp,
) -> Result<Vec<Statement>> {
    let unique: BTreeMap<ContentId, &NewCandidate> = candidates.into_iter().map(|c| (c.id, c)).collect();
    let mut rows = Vec::with_capacity(unique.len());
    for candidate in unique.into_values() {
        rows.push(vec![
            Value::from(candidate.id),
            Value::from(candidate.instance_id.as_str()),
            Value::from(word(&candidate.source)?),
            Value::from(word(&candidate.exit)?),
            Value::from(candidate.steps),
            Value::from(candidate.turns as i64),
            Value::from(candidate.bytes as i64),
            Value::from(candidate.prompt_id.clone()),
            Value::from(now),
            Value::from(candidate.patch.clone()),
            Value::from(candidate.payload.clone()),
        ]);
    }
    let head = "INSERT INTO candidates \
        (tenant, id, instance_id, source, exit, steps, turns, bytes, prompt_id, created_at, patch, payload)";
    Ok(insert(tenant, head, rows, "ON CONFLICT (tenant, id) DO NOTHING"))
}

/// Inserts for test runs; `selection` is the selection and the candidate's id in it.
pub(super) fn put_test_runs(
    tenant: &Tenant,
    runs: &[(NewTestRun, Option<uuid::Uuid>)],
    now: Timestamp,
) -> Result<Vec<Statement>> {
    let mut rows = Vec::with_capacity(runs.len());
    for (NewTestRun { instance_id, content_id, run }, selection) in runs {
        check_key("instance_id", instance_id)?;
        check_text("suite", &run.suite)?;
        if let Some(candidate_id) = &run.candidate_id {
            check_key("candidate_id", candidate_id)?;
        }
        let results = serde_json::to_vec(&run.results)
            .map_err(|error| StoreError::invalid("results", format!("cannot be written as JSON: {error}")))?;
        rows.push(vec![
            // Version 7 made in one loop rises, so reading by id gives the order of the request.
            Value::from(uuid::Uuid::now_v7()),
            Value::from(instance_id.as_str()),
            Value::from(*content_id),
            Value::from(*selection),
            Value::from(run.candidate_id.clone()),
            Value::from(word(&run.kind)?),
            Value::from(run.suite.as_str()),
            Value::from(now),
            Value::from(blob::encode(&results)),
        ]);
    }
    let head = "INSERT INTO test_runs \
        (tenant, id, instance_id, content_id, selection_id, candidate_id, kind, suite, created_at, results)";
    Ok(insert(tenant, head, rows, ""))
}

/// Upserts for scores; of several for the same candidate and revision the last one counts.
pub(super) fn put_scores(
    tenant: &Tenant,
    scores: Vec<StoredScore>,
    now: Timestamp,
) -> Result<Vec<Statement>> {
    let mut unique = BTreeMap::new();
    for score in scores {
        score.check()?;
        unique.insert((score.content_id, score.revision), (score.probability, score.logit));
    }
    let rows = unique
        .into_iter()
        .map(|((content_id, revision), (probability, logit))| {
            vec![content_id.into(), revision.into(), probability.into(), logit.into(), now.into()]
        })
        .collect();
    let tail = "ON CONFLICT (tenant, content_id, revision) DO UPDATE SET probability = excluded.probability, \
        logit = excluded.logit, created_at = excluded.created_at";
    let head = "INSERT INTO scores (tenant, content_id, revision, probability, logit, created_at)";
    Ok(insert(tenant, head, rows, tail))
}

pub(super) fn test_run(row: &Row) -> Result<TestRun> {
    Ok(TestRun {
        candidate_id: row.get("candidate_id")?,
        kind: row.word("kind")?,
        suite: row.get("suite")?,
        results: row.blob_json("results")?,
    })
}

fn info(row: &Row) -> Result<CandidateInfo> {
    Ok(CandidateInfo {
        id: row.content_id("id")?,
        instance_id: row.get("instance_id")?,
        source: row.word("source")?,
        exit: row.word("exit")?,
        steps: row.number_opt("steps")?,
        turns: row.number("turns")?,
        bytes: row.number("bytes")?,
        created_at: row.time("created_at")?,
    })
}

fn decode(info: CandidateInfo, payload: &[u8]) -> Result<StoredCandidate> {
    let corrupt = |detail: String| StoreError::corrupt(format!("candidate {}", info.id), detail);
    let json = blob::decode(payload).map_err(corrupt)?;
    if ContentId::of(&json) != info.id {
        return Err(corrupt("its content does not match its address".to_owned()));
    }
    let trajectory: Trajectory = serde_json::from_slice(&json).map_err(|error| corrupt(error.to_string()))?;
    Ok(StoredCandidate { info, trajectory })
}

/// Which of `ids` are stored, with their issues.
pub(super) async fn known<B: Backend>(
    store: &SqlStore<B>,
    tenant: &Tenant,
    ids: &[ContentId],
) -> Result<BTreeMap<ContentId, String>> {
    let list = store.dialect().list(2);
    let read = Statement::of_built(
        tenant,
        format!("SELECT id, instance_id FROM candidates WHERE tenant = $1 AND id IN {list}"),
    )
    .bind(id_list(ids));
    store.read(read).await?.iter().map(|row| Ok((row.content_id("id")?, row.get("instance_id")?))).collect()
}

#[async_trait]
impl<B: Backend> CandidateStore for SqlStore<B> {
    async fn put_records(
        &self,
        tenant: &Tenant,
        records: Records,
        now: Timestamp,
        completion: Option<Completion>,
    ) -> Result<()> {
        let Records { mut candidates, tests, outcomes } = records;
        // As with the candidates of one issue: in an order that does not depend on the caller.
        candidates.sort_by(|(a, _), (b, _)| a.instance_id.cmp(&b.instance_id));
        let mut statements = Vec::new();
        for (issue, candidates) in &candidates {
            for candidate in candidates {
                check_issue(&issue.instance_id, candidate)?;
            }
            statements.extend(issues::put(tenant, issue, now)?);
            statements.extend(put(tenant, candidates, now)?);
        }
        let given: BTreeSet<ContentId> =
            candidates.iter().flat_map(|(_, candidates)| candidates).map(|candidate| candidate.id).collect();
        let named: BTreeSet<ContentId> = outcomes.iter().map(|outcome| outcome.content_id).collect();
        outcomes::check_known(self, tenant, named.difference(&given).copied().collect()).await?;
        let tests: Vec<_> = tests.into_iter().map(|run| (run, None)).collect();
        statements.extend(put_test_runs(tenant, &tests, now)?);
        statements.extend(outcomes::put(tenant, &outcomes, now)?);
        statements.extend(completion.map(idempotency::complete).transpose()?);
        self.write(statements).await.map(drop)
    }

    async fn known_candidates(&self, tenant: &Tenant, ids: &[ContentId]) -> Result<BTreeSet<ContentId>> {
        Ok(known(self, tenant, ids).await?.into_keys().collect())
    }

    async fn candidate(&self, tenant: &Tenant, id: ContentId) -> Result<StoredCandidate> {
        self.candidates(tenant, &[id]).await?.pop().ok_or_else(|| StoreError::not_found("candidate", id))
    }

    async fn candidates(&self, tenant: &Tenant, ids: &[ContentId]) -> Result<Vec<StoredCandidate>> {
        let list = self.dialect().list(2);
        let read = Statement::of_built(
            tenant,
            format!("SELECT {INFO}, payload FROM candidates WHERE tenant = $1 AND id IN {list}"),
        )
        .bind(id_list(ids));
        let mut stored = Vec::new();
        for row in self.read(read).await? {
            stored.push((info(&row)?, row.get::<Vec<u8>>("payload")?));
        }
        let size: u64 = stored.iter().map(|(info, _)| info.bytes).sum();
        let decode_all = move || stored.into_iter().map(|(info, payload)| decode(info, &payload)).collect();
        let decoded: Vec<StoredCandidate> = if size > DECODE_HERE {
            postgres::finish(tokio::task::spawn_blocking(decode_all)).await?
        } else {
            decode_all()?
        };
        in_order(ids, decoded.into_iter().map(|candidate| (candidate.info.id, candidate)))
    }

    async fn candidate_patches(
        &self,
        tenant: &Tenant,
        ids: &[ContentId],
    ) -> Result<Vec<(CandidateInfo, Option<String>)>> {
        let list = self.dialect().list(2);
        let read = Statement::of_built(
            tenant,
            format!("SELECT {INFO}, patch FROM candidates WHERE tenant = $1 AND id IN {list}"),
        )
        .bind(id_list(ids));
        let rows = self.read(read).await?;
        let decode = |row: &Row| {
            let info = info(row)?;
            Ok((info.id, (info, row.blob_text_opt("patch")?)))
        };
        in_order(ids, rows.iter().map(decode).collect::<Result<Vec<_>>>()?)
    }

    async fn candidates_of_issue(
        &self,
        tenant: &Tenant,
        instance_id: &str,
        after: Option<ContentId>,
        limit: u32,
    ) -> Result<Vec<CandidateInfo>> {
        let read = Statement::of_built(tenant, format!(
            "SELECT {INFO} FROM candidates WHERE tenant = $1 AND instance_id = $2 AND id > $3 ORDER BY id LIMIT $4"
        ))
        .bind(instance_id)
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .bind(limit);
        self.read(read).await?.iter().map(info).collect()
    }

    async fn put_test_runs(&self, tenant: &Tenant, runs: Vec<NewTestRun>, now: Timestamp) -> Result<()> {
        let runs: Vec<_> = runs.into_iter().map(|run| (run, None)).collect();
        self.write(put_test_runs(tenant, &runs, now)?).await.map(drop)
    }

    async fn test_runs(
        &self,
        tenant: &Tenant,
        instance_id: &str,
        content_id: Option<ContentId>,
    ) -> Result<Vec<TestRun>> {
        let condition = if content_id.is_some() { "content_id = $3" } else { "content_id IS NULL" };
        let mut read = Statement::of_built(
            tenant,
            format!(
                "SELECT candidate_id, kind, suite, results FROM test_runs \
             WHERE tenant = $1 AND instance_id = $2 AND {condition} ORDER BY created_at, id"
            ),
        )
        .bind(instance_id);
        if let Some(id) = content_id {
            read = read.bind(id);
        }
        self.read(read).await?.iter().map(test_run).collect()
    }

    async fn put_scores(&self, tenant: &Tenant, scores: Vec<StoredScore>, now: Timestamp) -> Result<()> {
        self.write(put_scores(tenant, scores, now)?).await.map(drop)
    }

    async fn scores(&self, tenant: &Tenant, ids: &[ContentId], revision: &str) -> Result<Vec<StoredScore>> {
        let list = self.dialect().list(2);
        let read = Statement::of_built(
            tenant,
            format!(
                "SELECT content_id, revision, probability, logit FROM scores \
             WHERE tenant = $1 AND content_id IN {list} AND revision = $3 ORDER BY content_id"
            ),
        )
        .bind(id_list(ids))
        .bind(revision);
        let rows = self.read(read).await?;
        rows.iter()
            .map(|row| {
                Ok(StoredScore {
                    content_id: row.content_id("content_id")?,
                    revision: row.get("revision")?,
                    probability: row.get("probability")?,
                    logit: row.get("logit")?,
                })
            })
            .collect()
    }
}

/// A candidate may only stand for its own issue.
pub(super) fn check_issue(instance_id: &str, candidate: &NewCandidate) -> Result<()> {
    if candidate.instance_id == instance_id {
        return Ok(());
    }
    let detail = format!("candidate {} is of {}, not of {instance_id}", candidate.id, candidate.instance_id);
    Err(StoreError::invalid("instance_id", detail))
}

/// What was read in the order asked for, an id that is asked for twice twice.
fn in_order<T: Clone>(ids: &[ContentId], read: impl IntoIterator<Item = (ContentId, T)>) -> Result<Vec<T>> {
    let mut by_id: BTreeMap<ContentId, T> = read.into_iter().collect();
    let mut out = Vec::with_capacity(ids.len());
    for (i, id) in ids.iter().enumerate() {
        let again = ids[i + 1..].contains(id);
        let found = if again { by_id.get(id).cloned() } else { by_id.remove(id) };
        out.push(found.ok_or_else(|| StoreError::not_found("candidate", id))?);
    }
    Ok(out)
}
