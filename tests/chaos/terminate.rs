//! SIGTERM under load: what was begun is finished, nothing new is begun, and the process ends well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::http::{Client, Failure, request};
use crate::load::selection;
use crate::mock::{Mock, Mode};
use crate::place::Context;
use crate::process::{Recipe, Service, free_address};
use crate::report::{Bound, Table};
use crate::training::{self, Runs};

/// Requests sent this long before the signal were begun for certain.
const BEGUN: Duration = Duration::from_millis(100);

pub(crate) async fn run(context: &Context, table: &mut Table) -> Result<()> {
    for database in context.databases() {
        let folder = context.folder.sub(&format!("terminate-{}", database.name()))?;
        let url = context.url(database, &folder)?;
        let mock = Mock::start(free_address()?).await?;
        mock.be(Mode::Slow(Duration::from_millis(1500)));
        let settings = [format!("verifier.url=http://{}", mock.addr), "verifier.concurrency=64".to_owned()];
        let selector = Recipe::new(&context.program, &folder, "selector", "selector", &url, &settings)?;
        let scored = |number: usize| {
            let body: Value =
                serde_json::from_slice(&selection(&format!("t__t-{number}"), 4)).unwrap_or_default();
            let body = json!({"issue": "x", "candidates": body["candidates"]});
            request("POST", "/v1/score", &[], body.to_string().as_bytes())
        };
        let selected =
            |number: usize| request("POST", "/v1/selections", &[], &selection(&format!("t__t-{number}"), 4));
        let name = format!("selector on {}", database.name());
        under_load(table, &name, selector.start().await?, selected).await?;
        let verifier = Recipe::new(&context.program, &folder, "verifier", "verifier", &url, &[])?;
        let name = format!("verifier on {}", database.name());
        under_load(table, &name, verifier.start().await?, scored).await?;
        trainer(context, table, &folder, &url, database.name()).await?;
    }
    Ok(())
}

/// What clients saw of requests.
#[derive(Debug, Default)]
struct Count {
    answered: usize,
    /// Begun before the signal and not answered, or broken off within the answer.
    lost: usize,
    /// Sent about when the signal came or later, and not answered: the client sends them elsewhere.
    late: usize,
    odd: usize,
}

async fn under_load(
    table: &mut Table,
    name: &str,
    mut service: Service,
    body: impl Fn(usize) -> Vec<u8>,
) -> Result<()> {
    let addr = service.addr;
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let bodies: Vec<Vec<u8>> = (0..200).map(|number| body(client * 1000 + number)).collect();
            tokio::spawn(load(addr, bodies, Arc::clone(&over)))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let signal = Instant::now();
    service.terminate()?;
    let status = service.ended().await?;
    let took = signal.elapsed();
    over.store(true, Ordering::Release);
    let mut count = Count::default();
    for client in clients {
        for (sent, result) in client.await? {
            match result {
                Ok(200..300) => count.answered += 1,
                // A service that is stopping may say so.
                Ok(503) if sent > signal => count.late += 1,
                Ok(_) => count.odd += 1,
                Err(Failure::Broken | Failure::Late) => count.lost += 1,
                Err(_) if sent + BEGUN < signal => count.lost += 1,
                Err(_) => count.late += 1,
            }
        }
    }
    let refused = Client::new(addr).get("/livez", Duration::from_secs(1)).await.is_err();
    table.row(
        "terminate",
        format!("{name}: SIGTERM under 16 clients"),
        format!(
            "{} answered, {} lost, {} odd, {} too late and refused; exit {:?} after {:.1} s",
            count.answered,
            count.lost,
            count.odd,
            count.late,
            status.code(),
            took.as_secs_f64()
        ),
        "none lost, nothing new accepted, exit 0",
        Bound::Must(
            count.lost == 0 && count.odd == 0 && count.answered > 16 && refused && status.code() == Some(0),
        ),
    );
    Ok(())
}

async fn load(
    addr: SocketAddr,
    bodies: Vec<Vec<u8>>,
    over: Arc<AtomicBool>,
) -> Vec<(Instant, Result<u16, Failure>)> {
    let (mut client, mut seen) = (Client::new(addr), Vec::new());
    for body in bodies {
        if over.load(Ordering::Acquire) {
            break;
        }
        let sent = Instant::now();
        let result = client.once(&body, Duration::from_secs(30)).await.map(|reply| reply.status);
        seen.push((sent, result));
        if result.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    seen
}

/// A run is given back with a checkpoint, which costs no attempt, and another worker ends it.
async fn trainer(
    context: &Context,
    table: &mut Table,
    folder: &std::path::Path,
    url: &str,
    database: &str,
) -> Result<()> {
    training::place(folder)?;
    let recipe = Recipe::new(&context.program, folder, "trainer", "trainer", url, &training::settings())?;
    let other = Recipe::new(&context.program, folder, "other", "trainer", url, &training::settings())?;
    let mut service = recipe.start().await?;
    let run = Runs::new(service.addr).create(None, &training::config(150, 1000)).await?;
    training::stepped(folder, &run, 10).await?;
    service.terminate()?;
    let status = service.ended().await?;
    let second = other.start().await?;
    let runs = Runs::new(second.addr);
    let done = runs.until(&run, training::is_over).await?;
    let events = runs.events(&run).await?;
    let resumed = events.iter().any(|event| event == "resumed");
    if done["state"].is_null() {
        bail!("the run cannot be read: {done}");
    }
    table.row(
        "terminate",
        format!("trainer on {database}: SIGTERM within a run"),
        format!("exit {:?}; the run is {}, resumed: {resumed}", status.code(), done["state"]),
        "exit 0; given back, resumed elsewhere, done",
        Bound::Must(status.code() == Some(0) && resumed && done["state"] == "done"),
    );
    Ok(())
}
