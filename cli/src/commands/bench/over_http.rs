//! The service under load: one client, sixteen clients, and sixteen long trajectories in one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::Figure;
use super::data::Issues;
use super::in_process::pools;
use super::stats::Times;
use crate::remote::Client;

/// Clients at a time.
const CLIENTS: usize = 16;

/// What to send.
#[derive(Debug)]
pub(super) struct Load<'a> {
    pub(super) issues: &'a Issues,
    pub(super) trajectories: &'a [(String, Value)],
    pub(super) scale: usize,
}

/// Bodies ready to be sent, so that making them is not measured.
type Bodies = Arc<Vec<Vec<u8>>>;

/// Measures a running service.
pub(super) async fn measure(database: &str, url: &str, load: &Load<'_>) -> Result<Vec<Figure>> {
    Client::new(url, None)?.wait_until_ready(Duration::from_secs(20)).await?;
    let salt = salt();
    let (one, many) = (500 / load.scale, 4000 / load.scale);
    let bodies: Vec<Vec<u8>> = pools(load.issues)
        .take(one + many)
        .map(|mut pool| {
            // Every request is of an issue of its own, so that nothing it stores is there already.
            pool.instance_id.push_str(&salt);
            for candidate in &mut pool.candidates {
                candidate.trajectory.instance_id.clone_from(&pool.instance_id);
            }
            json!({"instance_id": pool.instance_id, "candidates": pool.candidates}).to_string().into_bytes()
        })
        .collect();
    let (first, rest) = bodies.split_at(one);
    let (first, rest): (Bodies, Bodies) = (Arc::new(first.to_vec()), Arc::new(rest.to_vec()));
    let target = format!("{url}/v1/selections");

    let single = run(&target, 1, &first).await?;
    let together = run(&target, CLIENTS, &rest).await?;
    let long = long_trajectories(&target, load, &salt).await?;
    Ok(vec![
        Figure::new(
            format!("{database}, one client: median"),
            single.times.percentile(50.0),
            "ms",
            "< 25 ms",
        ),
        Figure::new(
            format!("{database}, one client: 99th percentile"),
            single.times.percentile(99.0),
            "ms",
            "",
        ),
        Figure::new(format!("{database}, 16 clients: selections a second"), together.rate, "/s", "≥ 200 /s"),
        Figure::new(format!("{database}, 16 clients: median"), together.times.percentile(50.0), "ms", ""),
        Figure::new(
            format!("{database}, 16 clients: 99th percentile"),
            together.times.percentile(99.0),
            "ms",
            "< 250 ms",
        ),
        Figure::new(
            format!("{database}: failed requests"),
            (single.failed + together.failed) as f64,
            "",
            "0",
        ),
        long,
    ])
}

struct Measured {
    times: Times,
    rate: f64,
    failed: usize,
}

/// Sends every body, `clients` at a time.
async fn run(target: &str, clients: usize, bodies: &Bodies) -> Result<Measured> {
    let http = reqwest::Client::new();
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut tasks = Vec::with_capacity(clients);
    for _ in 0..clients {
        let (http, next, bodies, target) =
            (http.clone(), Arc::clone(&next), Arc::clone(bodies), target.to_owned());
        tasks.push(tokio::spawn(async move {
            let (mut times, mut failed) = (Vec::new(), 0);
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let start = Instant::now();
                match post(&http, &target, body.clone()).await {
                    Ok(201) => times.push(start.elapsed()),
                    _ => failed += 1,
                }
            }
            (times, failed)
        }));
    }
    let (mut times, mut failed) = (Vec::new(), 0);
    for task in tasks {
        let (more, lost) = task.await.context("a client ended early")?;
        times.extend(more);
        failed += lost;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Measured { rate: times.len() as f64 / seconds, times: Times::new(times), failed })
}

async fn post(http: &reqwest::Client, target: &str, body: Vec<u8>) -> Result<u16> {
    let response = http.post(target).header(CONTENT_TYPE, "application/json").body(body).send().await?;
    let status = response.status().as_u16();
    // The answer counts only when it is there whole.
    response.bytes().await?;
    Ok(status)
}

/// The median of a few requests with the same files under different issues.
async fn long_trajectories(target: &str, load: &Load<'_>, salt: &str) -> Result<Figure> {
    let http = reqwest::Client::new();
    let mut times = Vec::new();
    let mut megabytes = 0.0;
    for round in 0..(20 / load.scale).max(3) {
        let instance_id = format!("long__runs-{round}{salt}");
        let files: Vec<Value> = load
            .trajectories
            .iter()
            .enumerate()
            .map(|(at, (_, document))| {
                let mut document = document.clone();
                if let Some(fields) = document.as_object_mut() {
                    fields.insert("instance_id".to_owned(), instance_id.clone().into());
                }
                json!({"name": format!("{at}/{instance_id}/{instance_id}.traj"), "content": document})
            })
            .collect();
        let body = json!({"instance_id": instance_id, "files": files}).to_string().into_bytes();
        megabytes = body.len() as f64 / 1e6;
        let start = Instant::now();
        let status = post(&http, target, body).await?;
        if status != 201 {
            bail!("a request with {} trajectories was answered with {status}", load.trajectories.len());
        }
        times.push(start.elapsed());
    }
    let what = format!("{} trajectories, {megabytes:.1} MB, in one request: median", load.trajectories.len());
    Ok(Figure::new(what, Times::new(times).percentile(50.0), "ms", "< 400 ms"))
}

/// Tells this run's issues from those of earlier runs on the same database.
fn salt() -> String {
    format!("-{}", uuid::Uuid::now_v7().simple())
}
