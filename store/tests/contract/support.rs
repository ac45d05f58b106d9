//! Stores to test on, and records to put into them.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{
    Degraded, ExitStatus, Ranked, Role, Selection, TestKind, TestRun, TestStatus, Trajectory, Turn,
    VerifierScore, Votes,
};
use store::{
    ConnectOptions, Member, NewCandidate, NewIssue, NewMember, NewSelection, Store, Tenant, Timestamp,
    connect,
};
use uuid::Uuid;

/// A store for one test, removed with what it holds at its end.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn Store>,
    /// How another connection reaches it; `None` for one in memory.
    pub(crate) url: Option<String>,
    schema: Option<(String, String)>,
    _folder: Option<tempfile::TempDir>,
}

/// The kinds of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Memory,
    Postgres,
}

impl Fixture {
    /// A fresh store; `None` when there is no server to make it on.
    pub(crate) async fn new(kind: Kind) -> Option<Self> {
        let (url, folder, schema) = match kind {
            Kind::Memory => ("sqlite::memory:".to_owned(), None, None),
            Kind::File => {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite://{}/store.db", folder.path().display());
                (url, Some(folder), None)
            }
            Kind::Postgres => {
                let Ok(server) = std::env::var("DATABASE_URL") else {
                    eprintln!("skipped on PostgreSQL: DATABASE_URL is not set");
                    return None;
                };
                let schema = format!("test_{}", Uuid::now_v7().simple());
                sql(&server, &format!("CREATE SCHEMA {schema}")).await;
                let joint = if server.contains('?') { '&' } else { '?' };
                (format!("{server}{joint}options=-csearch_path%3D{schema}"), None, Some((server, schema)))
            }
        };
        let options = ConnectOptions { max_connections: 4, ..ConnectOptions::default() };
        let store = connect(&url, &options).await.unwrap();
        Some(Self { store, url: (kind != Kind::Memory).then_some(url), schema, _folder: folder })
    }

    /// The URL of a second, empty database of this kind; `None` in memory. [`Self::remove_another`] removes it.
    pub(crate) async fn another(&self) -> Option<String> {
        let url = self.url.as_deref()?;
        let Some((server, schema)) = &self.schema else { return Some(format!("{url}.another")) };
        sql(server, &format!("CREATE SCHEMA {schema}_another")).await;
        Some(format!("{url}_another"))
    }

    pub(crate) async fn remove_another(&self) {
        if let Some((server, schema)) = &self.schema {
            sql(server, &format!("DROP SCHEMA {schema}_another CASCADE")).await;
        }
    }

    pub(crate) async fn remove(self) {
        self.store.close().await;
        if let Some((server, schema)) = &self.schema {
            sql(server, &format!("DROP SCHEMA {schema} CASCADE")).await;
        }
    }
}

/// Runs plain SQL on a database, past the store.
pub(crate) async fn sql(url: &str, text: &str) {
    use sqlx::{AssertSqlSafe, Connection};
    let text = AssertSqlSafe(text.to_owned());
    if url.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// The tenant of tests that are not about tenants.
pub(crate) const T: &Tenant = &Tenant::DEFAULT;

pub(crate) const ISSUE: &str = "acme__widget-7";

/// The time that tests begin at.
pub(crate) const T0: Timestamp = Timestamp(1_750_000_000_000_000);

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp(T0.0 + seconds * 1_000_000)
}

/// A run that differs from others by `seed`; NUL and lone CR are there because real ones have them.
pub(crate) fn trajectory(instance_id: &str, seed: &str) -> Trajectory {
    let turn = |role, content: String| Turn { role, content, ..Turn::default() };
    Trajectory {
        instance_id: instance_id.to_owned(),
        turns: vec![
            turn(Role::System, "you are careful".to_owned()),
            turn(Role::User, "fix the widget\0".to_owned()),
            turn(Role::Assistant, format!("done {seed}\r 𝄞 \u{1b}[0m").repeat(40)),
        ],
        patch: Some(format!("diff --git a/w.py b/w.py\n+{seed}\0\n")),
        exit: ExitStatus::Submitted,
        steps: Some(3),
        cost: Some(0.1 + 0.2),
        ..Trajectory::default()
    }
}

pub(crate) fn candidate(instance_id: &str, seed: &str) -> NewCandidate {
    NewCandidate::prepare(&trajectory(instance_id, seed)).unwrap()
}

pub(crate) fn issue(instance_id: &str) -> NewIssue {
    NewIssue { instance_id: instance_id.to_owned(), text: Some(format!("{instance_id} is broken\0")) }
}

pub(crate) fn run(candidate_id: Option<&str>, suite: &str) -> TestRun {
    let results = BTreeMap::from([
        ("test_a".to_owned(), TestStatus::Passed),
        ("test_b\0".to_owned(), TestStatus::Missing),
    ]);
    TestRun {
        candidate_id: candidate_id.map(str::to_owned),
        kind: TestKind::Regression,
        suite: suite.to_owned(),
        results,
    }
}

/// A selection among `names`, of which the first is chosen.
pub(crate) fn selection(instance_id: &str, names: &[&str], created_at: Timestamp) -> NewSelection {
    let ranked = |(i, name): (usize, &&str)| Ranked {
        candidate_id: (*name).to_owned(),
        rank: i as u32 + 1,
        score: 1.0 / (i as f64 + 3.0),
        probability: Some(0.1),
        cluster: 0,
        votes: Votes::default(),
        tests: None,
        verifier: None,
        verifier_spread: Some(0.25),
        dropped: None,
        reasons: vec!["because\0".to_owned()],
    };
    let member = |name: &&str| NewMember {
        candidate_id: (*name).to_owned(),
        content: Member::New(Box::new(candidate(instance_id, name))),
    };
    NewSelection {
        id: Uuid::now_v7(),
        created_at,
        issue: issue(instance_id),
        members: names.iter().map(member).collect(),
        tests: vec![run(None, "unit"), run(names.first().copied(), "unit")],
        scores: names
            .iter()
            .map(|name| VerifierScore {
                candidate_id: (*name).to_owned(),
                probability: Some(0.25),
                logit: None,
                spread: None,
                revision: "r1".to_owned(),
            })
            .collect(),
        request: serde_json::json!({"policy": "hybrid", "options": {"note": "a\0b"}}),
        result: Selection {
            instance_id: instance_id.to_owned(),
            policy: "hybrid".to_owned(),
            model: Some("default-1".to_owned()),
            chosen: names.first().map(|name| (*name).to_owned()),
            confidence: Some(0.625),
            abstained: names.is_empty(),
            verifiers: Vec::new(),
            degraded: vec![Degraded { evidence: "verifier".to_owned(), detail: "none".to_owned() }],
            candidates: names.iter().enumerate().map(ranked).collect(),
        },
    }
}

/// Brings an empty database to the schema that there was before tenants, with a record of every kind.
pub(crate) async fn old_database(url: &str) {
    use sqlx::Connection;
    if url.starts_with("sqlite") {
        let options = url.parse::<sqlx::sqlite::SqliteConnectOptions>().unwrap();
        let mut connection = sqlx::ConnectOptions::connect(&options.create_if_missing(true)).await.unwrap();
        let mut all = sqlx::migrate!("../migrations/sqlite");
        all.migrations.to_mut().retain(|migration| migration.version < 4);
        all.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        let mut all = sqlx::migrate!("../migrations/postgres");
        all.migrations.to_mut().retain(|migration| migration.version < 4);
        all.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
    let trajectory = trajectory(ISSUE, "x");
    let json = serde_json::to_string(&trajectory).unwrap();
    let sqlite = url.starts_with("sqlite");
    let (no, yes) = if sqlite { ("0", "1") } else { ("false", "true") };
    // The encoding of `store::blob`: one byte codec (0: plain), then the bytes.
    let bytes = |bytes: &[u8]| {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if sqlite { format!("x'00{}'", hex.concat()) } else { format!("'\\x00{}'", hex.concat()) }
    };
    let (content, payload) = (trajectory.content_id(), bytes(json.as_bytes()));
    let results = bytes(br#"{"test_a":"passed"}"#);
    let selection = serde_json::to_string(&selection(ISSUE, &["x"], T0).result).unwrap().replace('\'', "''");
    let (id, t, size) = (Uuid::now_v7(), T0.0, json.len());
    let text = format!(
        "INSERT INTO issues (instance_id, created_at, updated_at) VALUES ('{ISSUE}', {t}, {t});
        INSERT INTO candidates (id, instance_id, source, exit, turns, bytes, created_at, payload)
            VALUES ('{content}', '{ISSUE}', 'native', 'submitted', 3, {size}, {t}, {payload});
        INSERT INTO selections (id, instance_id, policy, chosen, chosen_content, abstained, candidate_count,
            created_at, request, result)
            VALUES ('{id}', '{ISSUE}', 'hybrid', 'x', '{content}', {no}, 1, {t}, '{{}}', '{selection}');
        INSERT INTO selection_candidates (selection_id, candidate_id, position, content_id)
            VALUES ('{id}', 'x', 0, '{content}');
        INSERT INTO test_runs (id, instance_id, selection_id, kind, suite, created_at, results)
            VALUES ('{id}', '{ISSUE}', '{id}', 'regression', 'unit', {t}, {results});
        INSERT INTO scores (content_id, revision, probability, created_at) VALUES ('{content}', 'r1', 0.5, {t});
        INSERT INTO outcomes (id, content_id, selection_id, resolved, source, reported_at)
            VALUES ('{id}', '{content}', '{id}', {yes}, 'ci', {t});
        INSERT INTO labels (content_id, instance_id, outcome_id, resolved, source, reported_at)
            VALUES ('{content}', '{ISSUE}', '{id}', {yes}, 'ci', {t});
        INSERT INTO idempotency_keys (scope, key, body_hash, claim_id, claimed_at, expires_at)
            VALUES ('s', 'k', 'h', '{id}', {t}, {t} + 1000);
        INSERT INTO api_tokens (id, name, hash, scopes, created_at)
            VALUES ('{id}', 'ci', '{hash}', '[\"read\"]', {t});
        INSERT INTO jobs (id, kind, state, attempts, max_attempts, run_after, cancel_requested, created_at,
            updated_at, payload) VALUES ('{id}', 'train', 'queued', 0, 1, {t}, {no}, {t}, {t}, '{{}}');
        INSERT INTO run_events (run_id, seq, attempt, at, kind, body) VALUES ('{id}', 1, 1, {t}, 'step', '{{}}');",
        hash = "07".repeat(32),
    );
    sql(url, &text).await;
}
