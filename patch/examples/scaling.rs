//! How the cost of digests, clusters and features grows with the number of candidates.
//!
//! `cargo run --release -p patch --example scaling [POOL.jsonl]`: synthetic pools of 16, 64, 256 and 1,024
//! candidates, and, if given, the patches of a pool file (one JSON object with `instance_id` and `patch` a line).

#![expect(clippy::print_stdout, reason = "a command line program")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::BufRead;
use std::time::{Duration, Instant};

use patch::{ClusterOptions, Digest, PoolStats, cluster_with, features_with, parse};

fn main() -> std::io::Result<()> {
    println!(
        "candidates  distinct  parse+digest  compare  cluster  features  all but parsing, per candidate"
    );
    for n in [16, 64, 256, 1024] {
        let texts: Vec<String> = (0..n).map(synthetic).collect();
        let (digests, digesting) =
            timed(|| texts.iter().map(|text| Digest::of(&parse(text))).collect::<Vec<_>>());
        let refs: Vec<&Digest> = digests.iter().collect();
        let (stats, comparing) = timed(|| PoolStats::new(&refs));
        let (clusters, clustering) = timed(|| cluster_with(&stats, &refs, &ClusterOptions::default()));
        let (_, featuring) = timed(|| features_with(&stats, &clusters, &refs));
        let each = (comparing + clustering + featuring) / n as u32;
        let distinct = stats.exact_members().len();
        println!(
            "{n:>10}  {distinct:>8}  {:>12}  {:>7}  {:>7}  {:>8}  {}",
            show(digesting),
            show(comparing),
            show(clustering),
            show(featuring),
            show(each)
        );
    }
    match std::env::args().nth(1) {
        Some(path) => pool(&path),
        None => Ok(()),
    }
}

fn timed<T>(run: impl Fn() -> T) -> (T, Duration) {
    // The best of three: the machine may be busy with something else.
    let mut best = Duration::MAX;
    let mut value = black_box(run());
    for _ in 0..3 {
        let start = Instant::now();
        value = black_box(run());
        best = best.min(start.elapsed());
    }
    (value, best)
}

fn show(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Candidate `seed` of a made-up issue: one of a few ways to fix it, with names, comments and extras of its own.
fn synthetic(seed: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut pick = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let (approach, name, extra) = (pick(6), pick(9), pick(4));
    let mut body = String::from(" def resolve(self, key, default=None):\n");
    body.push_str("     \"\"\"Return the value of key.\"\"\"\n-    return self.values[key]\n");
    for step in 0..3 + approach * 2 {
        let _ = writeln!(body, "+    part_{step} = self.lookup_{approach}(key, {step})  # step {}", pick(50));
    }
    for step in 0..pick(6) {
        let _ = writeln!(body, "+    if part_{step} is None:\n+        name_{name} = default + {}", pick(40));
    }
    let _ = writeln!(body, "+    return self.values.get(key, name_{name})");
    let count = |sign: char| body.lines().filter(|line| !line.starts_with(sign)).count();
    let mut text = format!(
        "diff --git a/app/registry.py b/app/registry.py\n--- a/app/registry.py\n+++ b/app/registry.py\n@@ -41,{} +41,{} @@ class Registry:\n{body}",
        count('+'),
        count('-')
    );
    for file in 0..extra {
        let _ = writeln!(
            text,
            "diff --git a/app/part_{file}.py b/app/part_{file}.py\n--- a/app/part_{file}.py\n+++ b/app/part_{file}.py\n@@ -7,3 +7,3 @@\n import os\n-LIMIT = 10\n+LIMIT = {}\n import sys",
            pick(30)
        );
    }
    text
}

/// Parses, digests, clusters and describes every pool of a file.
fn pool(path: &str) -> std::io::Result<()> {
    let mut issues: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in std::io::BufReader::new(std::fs::File::open(path)?).lines() {
        let row: serde_json::Value = serde_json::from_str(&line?).map_err(std::io::Error::other)?;
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        issues.entry(text("instance_id")).or_default().push(text("patch"));
    }
    let (mut candidates, mut distinct, mut near) = (0, 0, 0);
    let (mut digesting, mut grouping) = (Duration::ZERO, Duration::ZERO);
    let mut slowest = (Duration::ZERO, 0);
    for texts in issues.values() {
        let mut digests = Vec::new();
        for text in texts {
            let start = Instant::now();
            digests.push(Digest::of(&parse(text)));
            let took = start.elapsed();
            digesting += took;
            slowest = slowest.max((took, text.len()));
        }
        let refs: Vec<&Digest> = digests.iter().collect();
        let start = Instant::now();
        let stats = PoolStats::new(&refs);
        let clusters = cluster_with(&stats, &refs, &ClusterOptions::default());
        black_box(features_with(&stats, &clusters, &refs));
        grouping += start.elapsed();
        candidates += texts.len();
        distinct += clusters.exact_sizes.len();
        near += clusters.near_sizes.len();
    }
    println!("{candidates} patches of {} issues, one thread", issues.len());
    println!("parse and digest {} (slowest {} for {} bytes)", show(digesting), show(slowest.0), slowest.1);
    println!("compare, cluster and describe {}", show(grouping));
    println!("{distinct} exact clusters, {near} near-duplicate clusters");
    Ok(())
}
