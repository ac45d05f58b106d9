//! A verifier that is slow, fails, is gone or talks nonsense: selections answer in time, without it, and say so.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::http::Client;
use crate::load::{percentile, selection_of};
use crate::mock::{Mock, Mode};
use crate::place::Context;
use crate::process::{Recipe, free_address};
use crate::report::{Bound, Table};

/// What a verifier may take; also the bound on a selection, with a margin for the selection itself.
const DEADLINE: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_secs(1);
/// Retries that may be saved up, and those that each call earns: `server::outgoing`'s budget.
const BURST: f64 = 10.0;
const RATIO: f64 = 0.2;

/// What selections said under one fault.
struct Seen {
    replies: Vec<Value>,
    times: Vec<Duration>,
    calls: Vec<Instant>,
}

pub(crate) async fn run(context: &Context, table: &mut Table) -> Result<()> {
    let folder = context.folder.sub("verifier")?;
    let database = context.url(context.one_database(), &folder)?;
    let mock = Mock::start(free_address()?).await?;
    let settings = |more: &[&str]| -> Vec<String> { more.iter().map(|text| (*text).to_owned()).collect() };
    let url = format!("verifier.url=http://{}", mock.addr);
    let deadline = format!("verifier.deadline={}ms", DEADLINE.as_millis());
    let with =
        Recipe::new(&context.program, &folder, "asks", "selector", &database, &settings(&[&url, &deadline]))?;
    let without = Recipe::new(&context.program, &folder, "alone", "selector", &database, &[])?;
    let (mut asks, alone) = (with.start().await?, without.start().await?);
    let count = if context.quick { 8 } else { 40 };

    // What selection says by itself, and that a good verifier is heard.
    let bare = ranks(&one(alone.addr, "bare").await?.0);
    let heard = one(asks.addr, "heard").await?.0;
    table.row(
        "verifier",
        "good answers",
        format!("chosen {}, noted: {:?}", heard["chosen"], note(&heard)),
        "its scores count, nothing is degraded",
        Bound::Must(note(&heard).is_none() && ranks(&heard) != bare),
    );

    let modes = [
        ("slow", Mode::Slow(DEADLINE * 5)),
        ("dripping", Mode::Dripping),
        ("answers 500", Mode::Erring),
        ("closes connections", Mode::Hanging),
        ("breaks off", Mode::Cut),
        ("garbage", Mode::Garbage),
        ("other JSON", Mode::Stranger),
        ("NaN, infinite, out of range", Mode::NotNumbers),
        ("wrong ids", Mode::WrongIds),
    ];
    for (name, mode) in modes {
        // A process of its own for each, so that the circuit is closed and the budget full.
        drop(asks);
        asks = with.start().await?;
        mock.be(mode);
        let seen = many(asks.addr, &mock, name, count).await?;
        judge(table, name, &seen, &bare);
    }

    // Without a circuit breaker it is the budget alone that keeps retries few.
    drop(asks);
    let never = [url.clone(), deadline.clone(), "verifier.failures=0".to_owned()];
    let recipe = Recipe::new(&context.program, &folder, "never", "selector", &database, &never)?;
    asks = recipe.start().await?;
    mock.be(Mode::Erring);
    let seen = many(asks.addr, &mock, "no circuit breaker", count * 2).await?;
    judge(table, "answers 500, no circuit breaker", &seen, &bare);
    let gaps: Vec<_> = seen.calls.windows(2).map(|two| two[1] - two[0]).collect();
    table.row(
        "verifier",
        "pauses between calls, by percentile",
        format!(
            "10 %: {:.1} ms, 50 %: {:.1} ms, 90 %: {:.1} ms",
            percentile(&gaps, 10.0),
            percentile(&gaps, 50.0),
            percentile(&gaps, 90.0)
        ),
        "spread: retries are jittered",
        Bound::Shown,
    );

    // Gone, and back again.
    drop(asks);
    asks = with.start().await?;
    let addr = mock.addr;
    drop(mock);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let nobody = Mock::start(free_address()?).await?;
    let seen = many(asks.addr, &nobody, "gone", count).await?;
    judge(table, "gone", &seen, &bare);
    let metrics = Client::new(asks.addr).get("/metrics", Duration::from_secs(5)).await;
    let metrics = metrics.ok().context("no metrics")?.text();
    let open = metrics.lines().any(|line| line == r#"outgoing_circuit_open{target="verifier"} 1"#);
    table.row(
        "verifier",
        "gone: the circuit",
        if open { "open" } else { "closed" },
        "open",
        Bound::Must(open),
    );
    let mock = Mock::start(addr).await?;
    mock.be(Mode::Good);
    let back = Instant::now();
    let mut number = 0;
    let took = loop {
        let (reply, _) = one(asks.addr, &format!("back-{number}")).await?;
        number += 1;
        if note(&reply).is_none() {
            break back.elapsed();
        }
        if back.elapsed() > Duration::from_mins(1) {
            bail!("the verifier is back and still not asked");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let text = format!("{:.1} s", took.as_secs_f64());
    table.row(
        "verifier",
        "back: until it is heard again",
        text,
        "≤ 30 s",
        Bound::Timed(took.as_secs() <= 30),
    );
    Ok(())
}

/// What a selection says of a verifier that it did not hear.
fn note(reply: &Value) -> Option<String> {
    let notes = reply["degraded"].as_array()?;
    let note = notes.iter().find(|note| note["evidence"] == "verifier")?;
    Some(note["detail"].as_str().unwrap_or_default().to_owned())
}

/// The order of candidates, with their probabilities.
fn ranks(reply: &Value) -> Vec<(String, String)> {
    let empty = Vec::new();
    let candidates = reply["candidates"].as_array().unwrap_or(&empty);
    let mut ranks: Vec<_> = candidates
        .iter()
        .map(|one| {
            (
                one["rank"].as_u64().unwrap_or(0),
                one["candidate_id"].to_string(),
                one["probability"].to_string(),
            )
        })
        .collect();
    ranks.sort();
    ranks.into_iter().map(|(_, id, probability)| (id, probability)).collect()
}

async fn one(addr: std::net::SocketAddr, name: &str) -> Result<(Value, Duration)> {
    let issue = format!("v__v-{}", name.replace([' ', ','], "-"));
    let body = selection_of(&issue, "thing", 6);
    let start = Instant::now();
    let reply = Client::new(addr).post("/v1/selections", None, &body, DEADLINE * 20).await;
    let took = start.elapsed();
    match reply {
        Ok(reply) if reply.status == 201 => Ok((reply.json(), took)),
        Ok(reply) => bail!("a selection was answered with {}: {}", reply.status, reply.text()),
        Err(failure) => bail!("a selection was not answered: {failure:?}"),
    }
}

/// A few at a time: then attempts overlap, as they do in earnest.
async fn many(addr: std::net::SocketAddr, mock: &Mock, name: &str, count: usize) -> Result<Seen> {
    let mut seen = Seen { replies: Vec::new(), times: Vec::new(), calls: Vec::new() };
    for round in 0..count.div_ceil(4) {
        let four = (0..4).map(|number| {
            let name = format!("{name}-{round}-{number}");
            tokio::spawn(async move { one(addr, &name).await })
        });
        for task in four.collect::<Vec<_>>() {
            let (reply, took) = task.await??;
            seen.replies.push(reply);
            seen.times.push(took);
        }
    }
    seen.calls = mock.calls();
    Ok(seen)
}

fn judge(table: &mut Table, name: &str, seen: &Seen, bare: &[(String, String)]) {
    let noted = |reply: &&Value| note(reply).is_some_and(|text| text.len() > 20);
    let degraded = seen.replies.iter().filter(noted).count();
    let same = seen.replies.iter().filter(|reply| ranks(reply) == bare).count();
    let all = seen.replies.len();
    let reason: String = seen.replies.last().and_then(note).unwrap_or_default().chars().take(90).collect();
    table.row(
        "verifier",
        format!("{name}: {all} selections"),
        format!("{degraded} degraded, {same} as without a verifier; “{reason}”"),
        "all",
        Bound::Must(degraded == all && same == all),
    );
    let slowest = percentile(&seen.times, 100.0);
    table.row(
        "verifier",
        format!("{name}: slowest selection"),
        format!("{slowest:.0} ms"),
        format!("≤ {} ms", (DEADLINE + MARGIN).as_millis()),
        Bound::Timed(slowest <= (DEADLINE + MARGIN).as_secs_f64() * 1e3),
    );
    let most = all as f64 + BURST + RATIO * all as f64;
    table.row(
        "verifier",
        format!("{name}: calls of the verifier"),
        format!("{}", seen.calls.len()),
        format!("≤ {most:.0}: the selections and the budget of retries"),
        Bound::Must(seen.calls.len() as f64 <= most),
    );
}
