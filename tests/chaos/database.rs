//! PostgreSQL is stopped, started again, and its connections are cut: everybody is told to come back later, soon finds
//! the services as before, and nothing that was promised is gone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::http::{Client, Failure, request};
use crate::ledger::Ledger;
use crate::load::{percentile, selection};
use crate::place::{Context, Database};
use crate::process::Recipe;
use crate::report::{Bound, Table};
use crate::training::{self, Runs, is_over};

/// Longer than any answer should take; an answer that takes it hangs.
const HANGS: Duration = Duration::from_secs(15);
/// What an answer may take while the database is away.
const PROMPT: Duration = Duration::from_secs(4);
/// Everything works again so soon.
const RECOVERY: Duration = Duration::from_secs(10);

/// One look at one address.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    took: Duration,
    /// The status and whether `retry-after` came with it.
    seen: Result<(u16, bool), Failure>,
}

pub(crate) async fn run(context: &Context, table: &mut Table) -> Result<()> {
    let Some(postgres) = context.postgres.as_ref().filter(|postgres| postgres.is_ours()) else {
        table.row("database", "left out", "no PostgreSQL that this may stop", "–", Bound::Shown);
        return Ok(());
    };
    let folder = context.folder.sub("database")?;
    let url = context.url(Database::Postgres, &folder)?;
    training::place(&folder)?;
    let recipe = |name: &str, kind: &str, settings: &[String]| {
        Recipe::new(&context.program, &folder, name, kind, &url, settings)
    };
    let verifier = recipe("verifier", "verifier", &[])?.start().await?;
    let asks = [format!("verifier.url=http://{}", verifier.addr), "verifier.deadline=3s".to_owned()];
    let selector = recipe("selector", "selector", &asks)?.start().await?;
    let trainer = recipe("trainer", "trainer", &training::settings())?.start().await?;
    let runs = Runs::new(trainer.addr);
    let run = runs.create(None, &training::config(2000, 20)).await?;
    training::stepped(&folder, &run, 3).await?;

    // Clients with keys, who do not give up, and somebody who looks at every service all the time.
    let give_up = context.outage + Duration::from_mins(1);
    let ledger = Ledger::new(selector.addr, None);
    let clients: Vec<_> =
        (0..4).map(|number| tokio::spawn(Arc::clone(&ledger).client(number, give_up))).collect();
    let over = Arc::new(AtomicBool::new(false));
    let looks = [
        ("selector: POST /v1/selections", selector.addr, None),
        ("selector: GET /v1/selections", selector.addr, Some("/v1/selections")),
        ("trainer: GET /v1/runs", trainer.addr, Some("/v1/runs")),
        ("selector: /readyz", selector.addr, Some("/readyz")),
        ("verifier: /readyz", verifier.addr, Some("/readyz")),
        ("trainer: /readyz", trainer.addr, Some("/readyz")),
        ("selector: /livez", selector.addr, Some("/livez")),
    ];
    let watchers: Vec<_> = looks
        .iter()
        .map(|(name, addr, path)| {
            let (name, addr, path) = ((*name).to_owned(), *addr, path.map(str::to_owned));
            tokio::spawn(watch(name, addr, path, Arc::clone(&over)))
        })
        .collect();

    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::task::block_in_place(|| postgres.stop())?;
    let away = Instant::now();
    tokio::time::sleep(context.outage).await;
    // It answers before it is said to have started.
    let returns = Instant::now();
    tokio::task::block_in_place(|| postgres.start())?;
    let back = Instant::now();
    tokio::time::sleep(RECOVERY + Duration::from_secs(2)).await;
    let mut cut = 0;
    for _ in 0..5 {
        cut += tokio::task::block_in_place(|| postgres.cut(&url))?;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let last_cut = Instant::now();
    tokio::time::sleep(Duration::from_secs(2)).await;
    over.store(true, Ordering::Release);
    ledger.finish();
    for client in clients {
        client.await?;
    }
    for ((name, _, _), watcher) in looks.iter().zip(watchers) {
        judge(table, name, &watcher.await?, (away, returns, back, last_cut), context.outage);
    }
    let audit = ledger.audit().await?;
    table.row(
        "database",
        format!("4 clients, {} s without PostgreSQL, {cut} connections cut", context.outage.as_secs()),
        audit.text(),
        "no write lost, one result a key, only 503 and 409 besides",
        Bound::Must(audit.is_clean() && audit.promises > 0),
    );
    // The run went on, or goes on.
    let ended = runs
        .until(&run, |run| {
            is_over(run) || training::steps_of(&folder, run["id"].as_str().unwrap_or_default()) > 0
        })
        .await?;
    let reply = Client::new(trainer.addr).post(&format!("/v1/runs/{run}/cancel"), None, &[], HANGS).await;
    let reply = reply.ok().context("the trainer does not answer")?;
    let state = if is_over(&ended) { ended["state"].clone() } else { reply.json()["state"].clone() };
    let after = runs.until(&run, is_over).await?;
    let steps = training::steps_of(&folder, &run);
    table.row(
        "database",
        "a training run meanwhile",
        format!("{state} after it, {steps} steps in {} attempts, then {}", after["attempts"], after["state"]),
        "goes on",
        Bound::Must(
            ["cancelled", "done"].contains(&after["state"].as_str().unwrap_or_default()) && steps > 3,
        ),
    );
    Ok(())
}

/// Looks every 50 ms, each time on a connection of its own and without waiting for the look before.
async fn watch(name: String, addr: SocketAddr, path: Option<String>, over: Arc<AtomicBool>) -> Vec<Look> {
    let mut tasks = Vec::new();
    while !over.load(Ordering::Acquire) {
        let bytes = if let Some(path) = &path {
            request("GET", path, &[], &[])
        } else {
            let body = selection(&format!("d__d-{}-{}", name.len(), tasks.len()), 3);
            request("POST", "/v1/selections", &[], &body)
        };
        tasks.push(tokio::spawn(async move {
            let at = Instant::now();
            let reply = Client::new(addr).once(&bytes, HANGS).await;
            let seen = reply.map(|reply| (reply.status, reply.header("retry-after").is_some()));
            Look { at, took: at.elapsed(), seen }
        }));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut looks = Vec::with_capacity(tasks.len());
    for task in tasks {
        looks.extend(task.await);
    }
    looks
}

fn judge(
    table: &mut Table,
    name: &str,
    looks: &[Look],
    when: (Instant, Instant, Instant, Instant),
    outage: Duration,
) {
    let (away, returns, back, last_cut) = when;
    let health = name.contains('z');
    let alive = name.ends_with("/livez");
    // From well within the outage to its end; before, some requests were under way.
    let within: Vec<&Look> =
        looks.iter().filter(|look| look.at > away && look.at + look.took < returns).collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for look in &within {
        let text = match look.seen {
            Ok((status, true)) => format!("{status} with retry-after"),
            Ok((status, false)) => format!("{status}"),
            Err(failure) => format!("{failure:?}"),
        };
        *counts.entry(text).or_default() += 1;
    }
    let good = |look: &&Look| match look.seen {
        Ok((status, later)) if health && !alive => status == 503 || later,
        Ok((status, _)) if alive => status == 200,
        Ok((status, later)) => status == 503 && later,
        Err(_) => false,
    };
    let as_wanted = within.iter().all(&good);
    // Whether it came back: all answers are good again from then on, but for the cuts later.
    let first_cut = back + RECOVERY;
    let ok = |look: &Look| matches!(look.seen, Ok((200..300, _)));
    let bad = looks.iter().filter(|look| look.at > back && look.at < first_cut && !ok(look));
    let recovered = bad.map(|look| look.at - back).max().unwrap_or_default();
    let after = looks.iter().filter(|look| look.at > last_cut);
    let stays = after.clone().count() == 0 || after.clone().any(ok);
    // While connections are cut: “later” or good, nothing else.
    let odd = looks.iter().filter(|look| look.at > first_cut && !ok(look) && !good(look)).count();
    let times: Vec<Duration> = within.iter().map(|look| look.took).collect();
    let slowest = percentile(&times, 100.0);
    let counts: Vec<String> = counts.iter().map(|(text, count)| format!("{count} × {text}")).collect();
    table.row(
        "database",
        format!("stopped: {name}"),
        counts.join(", "),
        if alive { "200" } else { "503 with retry-after" },
        Bound::Must(as_wanted && (!within.is_empty() || outage < Duration::from_secs(5))),
    );
    table.row(
        "database",
        format!("stopped: {name}, slowest answer"),
        format!("{slowest:.0} ms"),
        format!("≤ {} s", PROMPT.as_secs()),
        Bound::Timed(slowest <= PROMPT.as_secs_f64() * 1e3 || times.is_empty()),
    );
    table.row(
        "database",
        format!("back: {name}"),
        format!(
            "all answers good after {:.1} s; {odd} odd answers while connections were cut",
            recovered.as_secs_f64()
        ),
        format!("≤ {} s, none odd", RECOVERY.as_secs()),
        if stays && odd == 0 {
            Bound::Timed(recovered + Duration::from_millis(300) < RECOVERY)
        } else {
            Bound::Must(false)
        },
    );
}
