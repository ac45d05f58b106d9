//! Nothing acknowledged is lost and nothing is half written when the process is killed.
//!
//! The test starts itself again as a process that writes from several tasks and prints a line after each commit,
//! kills it (SIGKILL) at a random moment, and looks at what is there. `ENTROPO_CRASH_KILLS` says how often
//! (default 40), `ENTROPO_CRASH_SEED` where the random moments begin.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its child process")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Ranked, Role, Selection, TestKind, TestRun, TestStatus, Trajectory, Turn, Votes};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore as _, SeedableRng as _};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use store::{
    Claim, ClaimRequest, Completion, ConnectOptions, Member, NewCandidate, NewIssue, NewMember, NewOutcome,
    NewSelection, Store, StoredResponse, Tenant, Timestamp, connect,
};
use uuid::Uuid;

const CHILD_URL: &str = "ENTROPO_CRASH_CHILD_URL";
const CHILD_SEED: &str = "ENTROPO_CRASH_CHILD_SEED";
const MEMBERS: usize = 4;
const LEASE: Duration = Duration::from_hours(1);

/// A number below a bound; good enough for picking moments.
fn below(random: &mut SplitMix64, bound: u64) -> u64 {
    random.next_u64() % bound
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

// ---- the process that is killed ----

/// Not a test of its own: what the killed process runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_process() {
    let Ok(url) = std::env::var(CHILD_URL) else { return };
    let seed = setting(CHILD_SEED, 0);
    let store = connect(&url, &ConnectOptions::default()).await.unwrap();
    let writers = (0..3).map(|writer| {
        let (store, mut random) = (store.clone(), SplitMix64::seed_from_u64(seed * 31 + writer));
        tokio::spawn(async move {
            loop {
                write_one(&*store, &mut random).await;
            }
        })
    });
    futures_util::future::try_join_all(writers).await.expect("a write failed");
}

/// What a service does for one request: claims its key, stores everything in one go; then an outcome is reported.
async fn write_one(store: &dyn Store, random: &mut SplitMix64) {
    let issue = format!("acme__widget-{}", below(random, 5));
    let id = Uuid::now_v7();
    let now = Timestamp::now();
    let key = ClaimRequest {
        tenant: Tenant::DEFAULT,
        scope: "crash".to_owned(),
        key: id.to_string(),
        body_hash: [7; 32],
    };
    let Claim::Acquired(held) = store.claim(key, now, LEASE).await.unwrap() else { panic!("the key is new") };
    let members: Vec<NewMember> = (0..MEMBERS)
        .map(|i| {
            let content = Member::New(Box::new(NewCandidate::prepare(&trajectory(&issue, random)).unwrap()));
            NewMember { candidate_id: format!("c{i}"), content }
        })
        .collect();
    let chosen = members[0].content.id();
    let response = StoredResponse { status: 201, headers: vec![], body: id.to_string().into_bytes() };
    let completion = Completion { held, response, expires_at: now.plus(LEASE) };
    store
        .record_selection(&Tenant::DEFAULT, selection(id, &issue, members, now), Some(completion))
        .await
        .unwrap();
    acknowledge(&format!("selection {id}"));

    let outcome = NewOutcome {
        id: Uuid::now_v7(),
        content_id: chosen,
        selection_id: Some(id),
        resolved: Some(below(random, 2) == 0),
        reward: None,
        source: "crash test".to_owned(),
        detail: None,
    };
    let line = format!("outcome {}", outcome.id);
    store.put_outcomes(&Tenant::DEFAULT, vec![outcome], Timestamp::now(), None).await.unwrap();
    acknowledge(&line);
}

fn acknowledge(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {line}").and_then(|()| out.flush()).unwrap();
}

/// Noise does not compress, so that a transaction spans many pages.
fn trajectory(issue: &str, random: &mut SplitMix64) -> Trajectory {
    let mut noise = String::new();
    for _ in 0..below(random, 1500) {
        let _ = write!(noise, "{:016x}", random.next_u64());
    }
    let turn = Turn { role: Role::Assistant, content: noise, ..Turn::default() };
    let patch = Some(format!("+{}\n", random.next_u64()));
    Trajectory { instance_id: issue.to_owned(), turns: vec![turn], patch, ..Trajectory::default() }
}

fn selection(id: Uuid, issue: &str, members: Vec<NewMember>, created_at: Timestamp) -> NewSelection {
    let ranked = |(i, member): (usize, &NewMember)| Ranked {
        candidate_id: member.candidate_id.clone(),
        rank: i as u32 + 1,
        score: 0.5,
        probability: None,
        cluster: 0,
        votes: Votes::default(),
        tests: None,
        verifier: None,
        verifier_spread: None,
        dropped: None,
        reasons: vec![],
    };
    let run = |member: &NewMember| TestRun {
        candidate_id: Some(member.candidate_id.clone()),
        kind: TestKind::Regression,
        suite: "unit".to_owned(),
        results: [("t".to_owned(), TestStatus::Passed)].into(),
    };
    NewSelection {
        id,
        created_at,
        issue: NewIssue {
            instance_id: issue.to_owned(),
            text: Some(format!("{issue} {}", id.as_u128() % 3)),
        },
        tests: members.iter().map(run).collect(),
        scores: vec![],
        request: serde_json::Value::Null,
        result: Selection {
            instance_id: issue.to_owned(),
            policy: "hybrid".to_owned(),
            model: None,
            chosen: Some("c0".to_owned()),
            confidence: None,
            abstained: false,
            verifiers: Vec::new(),
            degraded: vec![],
            candidates: members.iter().enumerate().map(ranked).collect(),
        },
        members,
    }
}

// ---- the test ----

/// Starts the writing process, kills it `after` its first acknowledgement or its start, and returns what it
/// acknowledged.
fn run_and_kill(url: &str, seed: u64, from_start: bool, after: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture", "--test-threads=1"])
        .env(CHILD_URL, url)
        .env(CHILD_SEED, seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (first, started) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        let mut out = out;
        let mut line = String::new();
        // A line without its end was cut by the kill, and told nobody anything.
        while out.read_line(&mut line).is_ok_and(|n| n > 0) && line.ends_with('\n') {
            if let Some((_, what)) = line.trim_end().split_once("ack ") {
                acknowledged.push(what.to_owned());
                let _ = first.send(());
            }
            line.clear();
        }
        acknowledged
    });
    if !from_start {
        started.recv_timeout(Duration::from_mins(1)).expect("the writing process acknowledged nothing");
    }
    std::thread::sleep(after);
    // Still alive: it never ends by itself, so an exit here is a failed write.
    assert!(child.try_wait().unwrap().is_none(), "the writing process failed by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// A plain connection to look with, past the store.
enum Look {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Look {
    async fn open(url: &str) -> Self {
        if url.starts_with("sqlite") {
            Self::Sqlite(SqliteConnection::connect(url).await.unwrap())
        } else {
            Self::Postgres(PgConnection::connect(url).await.unwrap())
        }
    }

    async fn text(&mut self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Postgres(c) => {
                sqlx::query(sql).fetch_all(c).await.unwrap().iter().map(|row| row.get(0)).collect()
            }
            Self::Sqlite(c) => {
                sqlx::query(sql).fetch_all(c).await.unwrap().iter().map(|row| row.get(0)).collect()
            }
        }
    }

    /// Whole or not at all: each query finds what contradicts that.
    async fn assert_consistent(&mut self, whole_file: bool) {
        let sqlite = matches!(self, Self::Sqlite(_));
        if sqlite && whole_file {
            assert_eq!(self.text("PRAGMA integrity_check").await, ["ok"]);
            assert_eq!(self.text("SELECT \"table\" FROM pragma_foreign_key_check").await, [""; 0]);
        }
        for (what, sql) in [
            (
                "selections without all their candidates",
                "SELECT s.id FROM selections s WHERE s.candidate_count <> 4 OR s.candidate_count <>
                    (SELECT COUNT(*) FROM selection_candidates c JOIN candidates k ON k.id = c.content_id
                     WHERE c.selection_id = s.id)",
            ),
            (
                "selections without all their test runs",
                "SELECT s.id FROM selections s
                    WHERE 4 <> (SELECT COUNT(*) FROM test_runs t WHERE t.selection_id = s.id)",
            ),
            (
                "selections without their stored answer",
                "SELECT s.id FROM selections s LEFT JOIN idempotency_keys k ON k.key = s.id
                    WHERE k.status IS NULL OR k.response IS NULL",
            ),
            (
                "answers without their selection",
                "SELECT k.key FROM idempotency_keys k LEFT JOIN selections s ON s.id = k.key
                    WHERE k.status IS NOT NULL AND s.id IS NULL",
            ),
            (
                "candidates without a selection",
                "SELECT id FROM candidates WHERE id NOT IN (SELECT content_id FROM selection_candidates)",
            ),
            (
                "outcomes without their label",
                "SELECT o.id FROM outcomes o LEFT JOIN labels l ON l.outcome_id = o.id WHERE l.outcome_id IS NULL",
            ),
        ] {
            assert_eq!(self.text(sql).await, [""; 0], "{what}");
        }
    }

    async fn assert_there(&mut self, acknowledged: &[String]) {
        for kind in ["selection", "outcome"] {
            let ids: Vec<String> = acknowledged
                .iter()
                .filter_map(|line| line.strip_prefix(kind))
                .map(|id| format!("'{}'", id.trim()))
                .collect();
            let sql = format!("SELECT id FROM {kind}s WHERE id IN ({})", ids.join(","));
            let there = if ids.is_empty() { 0 } else { self.text(&sql).await.len() };
            assert_eq!(there, ids.len(), "{kind}s were acknowledged and are lost");
        }
    }
}

async fn kill_many_times(url: &str) {
    let kills = setting("ENTROPO_CRASH_KILLS", 40);
    let mut random = SplitMix64::seed_from_u64(setting("ENTROPO_CRASH_SEED", 1));
    let began = Instant::now();
    let mut all = Vec::new();
    let mut interrupted = 0;
    for round in 0..kills {
        // Some die while they open the store or before they wrote anything, most in the middle of writing.
        let from_start = round % 5 == 0;
        let after = Duration::from_micros(below(&mut random, 60_000));
        let seed = random.next_u64() >> 8;
        let owned = url.to_owned();
        let killed = move || run_and_kill(&owned, seed, from_start, after);
        let acknowledged = tokio::task::spawn_blocking(killed).await.unwrap();

        // Opening is what recovers the file, as the service would.
        let store = connect(url, &ConnectOptions::default()).await.unwrap();
        let last = acknowledged.iter().rev().find_map(|line| line.strip_prefix("selection "));
        if let Some(id) = last {
            let record = store.selection(&Tenant::DEFAULT, id.parse().unwrap()).await.unwrap();
            let ids: Vec<_> = record.members.iter().map(|(_, id)| *id).collect();
            // Reading checks each trajectory against its content address.
            assert_eq!(store.candidates(&Tenant::DEFAULT, &ids).await.unwrap().len(), MEMBERS);
        }
        store.close().await;
        let mut look = Look::open(url).await;
        look.assert_there(&acknowledged).await;
        look.assert_consistent(round % 20 == 19).await;
        let claims = "SELECT key FROM idempotency_keys WHERE status IS NULL";
        interrupted = look.text(claims).await.len();
        all.extend(acknowledged);
    }
    let mut look = Look::open(url).await;
    look.assert_there(&all).await;
    look.assert_consistent(true).await;
    assert!(!all.is_empty(), "nothing was ever acknowledged: the test shows nothing");
    eprintln!(
        "{kills} kills in {:.1} s: {} acknowledged writes, all there; {interrupted} requests were interrupted, none half written",
        began.elapsed().as_secs_f64(),
        all.len(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    kill_many_times(&format!("sqlite://{}/store.db", folder.path().display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_survives_kill_9() {
    let Ok(server) = std::env::var("DATABASE_URL") else {
        eprintln!("skipped on PostgreSQL: DATABASE_URL is not set");
        return;
    };
    let schema = format!("crash_{}", Uuid::now_v7().simple());
    let execute = async |sql: String| {
        let mut connection = PgConnection::connect(&server).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    };
    execute(format!("CREATE SCHEMA {schema}")).await;
    let joint = if server.contains('?') { '&' } else { '?' };
    kill_many_times(&format!("{server}{joint}options=-csearch_path%3D{schema}")).await;
    execute(format!("DROP SCHEMA {schema} CASCADE")).await;
}
