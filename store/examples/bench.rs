//! How fast selections are stored.
//!
//! `cargo run --release -p store --example bench -- URL [SECONDS]`, with `sqlite://FILE`, `sqlite::memory:` or
//! `postgres://…`: the database is filled, so give it one of its own.

#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Ranked, Role, Selection, Trajectory, Turn, Votes};
use store::{
    Claim, ClaimRequest, Completion, ConnectOptions, Durability, Member, NewCandidate, NewIssue, NewMember,
    NewSelection, SelectionFilter, Store, StoredResponse, Tenant, Timestamp, connect,
};
use uuid::Uuid;

const CANDIDATES: usize = 16;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("usage: bench URL [SECONDS]")?;
    let seconds = args.next().map_or(Ok(5.0), |text| text.parse())?;
    let durabilities: &[Durability] = if url.starts_with("sqlite://") {
        &[Durability::PowerLoss, Durability::ProcessDeath]
    } else {
        &[Durability::PowerLoss]
    };
    for &durability in durabilities {
        let options = ConnectOptions { max_connections: 16, durability, ..ConnectOptions::default() };
        let store = connect(&url, &options).await?;
        println!("{} ({durability:?})", url.rsplit('@').next().unwrap_or_default());
        for clients in [1, 16] {
            selections(&store, clients, Duration::from_secs_f64(seconds)).await?;
        }
        long_trajectories(&*store).await?;
        lists(&*store).await?;
        store.close().await;
    }
    Ok(())
}

/// Selections among 16 patches each, with an idempotency key, as a service stores them.
async fn selections(
    store: &Arc<dyn Store>,
    clients: u64,
    length: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut i = 0;
                while began.elapsed() < length {
                    // Made outside the measured time: a service does so off the async threads.
                    let issue = format!("acme__widget-{}", i % 50);
                    let new = selection(&issue, &trajectories(&issue, &format!("{client} {i}"), 2_000, 0));
                    i += 1;
                    let start = Instant::now();
                    store_one(&*store, new).await?;
                    latencies.push(start.elapsed());
                }
                Ok::<_, store::StoreError>(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let rate = latencies.len() as f64 / began.elapsed().as_secs_f64();
    println!("  {clients:>2} clients: {rate:7.0} selections/s of 16 patches, {}", summary(&mut latencies));
    Ok(())
}

async fn store_one(store: &dyn Store, new: NewSelection) -> store::Result<()> {
    let now = Timestamp::now();
    let key = ClaimRequest {
        tenant: Tenant::DEFAULT,
        scope: "bench".to_owned(),
        key: new.id.to_string(),
        body_hash: [1; 32],
    };
    let claim = store.claim(key, now, Duration::from_mins(1)).await?;
    let completion = match claim {
        Claim::Acquired(held) => {
            let body = serde_json::to_vec(&new.result).unwrap_or_default();
            let response = StoredResponse { status: 201, headers: vec![], body };
            Some(Completion { held, response, expires_at: now.plus(Duration::from_hours(24)) })
        }
        _ => None,
    };
    store.record_selection(&Tenant::DEFAULT, new, completion).await
}

/// One selection among 16 trajectories of 0.1 to 1.5 MB: the time to prepare and to store them.
async fn long_trajectories(store: &dyn Store) -> Result<(), Box<dyn std::error::Error>> {
    let (mut prepared, mut stored) = (Vec::new(), Vec::new());
    for round in 0..10 {
        let seed = format!("{:?} {round}", Instant::now());
        let runs = trajectories("acme__long-1", &seed, 2_000, 1_500_000);
        let start = Instant::now();
        let new = selection("acme__long-1", &runs);
        prepared.push(start.elapsed());
        let start = Instant::now();
        store_one(store, new).await?;
        stored.push(start.elapsed());
    }
    println!("  16 trajectories of 0.1 to 1.5 MB: serialised, hashed, compressed {}", summary(&mut prepared));
    println!("  16 trajectories of 0.1 to 1.5 MB: stored {}", summary(&mut stored));
    Ok(())
}

async fn lists(store: &dyn Store) -> Result<(), Box<dyn std::error::Error>> {
    let (mut latencies, mut after) = (Vec::new(), None);
    for _ in 0..200 {
        let start = Instant::now();
        let page = store.selections(&Tenant::DEFAULT, &SelectionFilter::default(), after, 50).await?;
        latencies.push(start.elapsed());
        after = page.next;
    }
    println!("  pages of 50 selections: {}", summary(&mut latencies));
    Ok(())
}

fn summary(latencies: &mut [Duration]) -> String {
    latencies.sort_unstable();
    let at = |share: f64| {
        let i = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(i).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    };
    format!("median {:.2} ms, p99 {:.2} ms, max {:.2} ms", at(0.5), at(0.99), at(1.0))
}

/// Trajectories with a patch of `patch` bytes and up to `longest` bytes of conversation.
fn trajectories(issue: &str, seed: &str, patch: usize, longest: usize) -> Vec<Trajectory> {
    let one = |i: usize| {
        let text = |length: usize| words(&format!("{seed} {i}"), length);
        let turns = if longest == 0 {
            Vec::new()
        } else {
            let length = longest / 15 + (longest - longest / 15) * i / (CANDIDATES - 1);
            vec![Turn { role: Role::Assistant, content: text(length), ..Turn::default() }]
        };
        Trajectory { instance_id: issue.to_owned(), turns, patch: Some(text(patch)), ..Trajectory::default() }
    };
    (0..CANDIDATES).map(one).collect()
}

fn selection(issue: &str, runs: &[Trajectory]) -> NewSelection {
    let mut members = Vec::new();
    let mut ranked = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let name = format!("c{i}");
        let candidate = NewCandidate::prepare(run).expect("the trajectory names its issue");
        members.push(NewMember { candidate_id: name.clone(), content: Member::New(Box::new(candidate)) });
        ranked.push(Ranked {
            candidate_id: name,
            rank: i as u32 + 1,
            score: 0.5,
            probability: Some(0.5),
            cluster: 0,
            votes: Votes::default(),
            tests: None,
            verifier: None,
            verifier_spread: None,
            dropped: None,
            reasons: vec!["agrees with 3 of 16 candidates in every changed line".to_owned(); 3],
        });
    }
    NewSelection {
        id: Uuid::now_v7(),
        created_at: Timestamp::now(),
        issue: NewIssue { instance_id: issue.to_owned(), text: Some(format!("{issue} does not work")) },
        tests: vec![],
        scores: vec![],
        request: serde_json::json!({"policy": "hybrid"}),
        result: Selection {
            instance_id: issue.to_owned(),
            policy: "hybrid".to_owned(),
            model: None,
            chosen: Some("c0".to_owned()),
            confidence: Some(0.5),
            abstained: false,
            verifiers: Vec::new(),
            degraded: vec![],
            candidates: ranked,
        },
        members,
    }
}

/// Text about as compressible as a trajectory: words from a small vocabulary, chosen by hash.
fn words(seed: &str, length: usize) -> String {
    const VOCABULARY: [&str; 16] = [
        "self.",
        "return ",
        "def test_",
        "None",
        "\n    ",
        "if value is ",
        "import os",
        "raise ValueError(",
        "(",
        ")",
        " = ",
        "assert ",
        "widget",
        "0x",
        "Traceback",
        "\n",
    ];
    let mut out = String::with_capacity(length + 600);
    let mut n = 0_u64;
    while out.len() < length {
        let hash = blake3::hash(format!("{seed} {n}").as_bytes());
        n += 1;
        for byte in hash.as_bytes() {
            out.push_str(VOCABULARY[usize::from(byte & 15)]);
            if byte >> 4 == 0 {
                out.push_str(&n.to_string());
            }
        }
    }
    out
}
