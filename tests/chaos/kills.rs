//! `kill -9` of any service at random moments, under load from clients that do not give up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::ledger::{Ledger, Target};
use crate::place::{Context, Database};
use crate::process::Recipe;
use crate::random::Random;
use crate::report::{Bound, Table};
use crate::training::{self, Runs, is_over};

/// Clients at a time.
const CLIENTS: usize = 6;
/// How long a client tries; longer than any outage here.
const GIVE_UP: Duration = Duration::from_secs(90);

pub(crate) async fn run(context: &Context, table: &mut Table) -> Result<()> {
    let databases = context.databases();
    for database in &databases {
        // The kills are shared out between the databases.
        on(context, table, *database, context.kills.div_ceil(databases.len())).await?;
    }
    Ok(())
}

async fn on(context: &Context, table: &mut Table, database: Database, kills: usize) -> Result<()> {
    let folder = context.folder.sub(&format!("kills-{}", database.name()))?;
    let url = context.url(database, &folder)?;
    training::place(&folder)?;
    let recipe = |name: &str, kind: &str, settings: &[String]| {
        Recipe::new(&context.program, &folder, name, kind, &url, settings)
    };
    let verifier = recipe("verifier", "verifier", &[])?;
    let asks = [format!("verifier.url=http://{}", verifier.addr), "verifier.deadline=3s".to_owned()];
    let selector = recipe("selector", "selector", &asks)?;
    let workers = [
        recipe("worker-1", "trainer", &training::settings())?,
        recipe("worker-2", "trainer", &training::settings())?,
    ];
    let ledger = Ledger::new(selector.addr, Some(workers[0].addr));
    // The selector gets half of the kills: it does most of the writing.
    let recipes = [&selector, &verifier, &workers[0], &workers[1]];
    let mut services = Vec::new();
    for recipe in recipes {
        services.push(Some(recipe.start().await?));
    }
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| tokio::spawn(Arc::clone(&ledger).client(number, GIVE_UP))).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut random = Random::new(context.seed);
    let start = Instant::now();
    for _ in 0..kills {
        let victim = [0, 0, 0, 1, 2, 3][random.below(6)];
        tokio::time::sleep(random.millis(0, 600)).await;
        if let Some(service) = services[victim].take() {
            service.kill()?;
        }
        let mut service = recipes[victim].spawn()?;
        // Sometimes it dies again before it listens.
        if random.below(8) > 0 {
            let log = recipes[victim].log();
            service.listens().await.with_context(|| format!("its log is {}", log.display()))?;
        }
        services[victim] = Some(service);
    }
    let took = start.elapsed();
    for service in services.iter_mut().flatten() {
        service.listens().await?;
    }
    ledger.finish();
    for client in clients {
        client.await?;
    }
    let runs = Runs::new(workers[0].addr);
    let (mut done, mut twice, mut all) = (0, 0, 0);
    for entry in ledger.entries().iter().filter(|entry| entry.target == Target::Trainer) {
        let answer: serde_json::Value = serde_json::from_slice(&entry.answer).unwrap_or_default();
        let id = answer["id"].as_str().unwrap_or_default();
        all += 1;
        done += usize::from(runs.until(id, is_over).await?["state"] == "done");
        twice += usize::from(runs.events(id).await?.iter().filter(|kind| *kind == "ended done").count() != 1);
    }
    let audit = ledger.audit().await?;
    table.row(
        "kills",
        format!("{kills} × kill -9 on {} in {:.0} s, {CLIENTS} clients", database.name(), took.as_secs_f64()),
        audit.text(),
        "no write lost, one result a key",
        Bound::Must(audit.is_clean() && audit.promises > 0),
    );
    table.row(
        "kills",
        "the slowest write, with all its repetitions",
        format!("{:.1} s", audit.slowest.as_secs_f64()),
        "≤ 30 s",
        Bound::Timed(audit.slowest <= Duration::from_secs(30)),
    );
    table.row(
        "kills",
        format!("{all} training runs"),
        format!("{done} done, {twice} ended other than once"),
        "all done, once each",
        Bound::Must(done == all && twice == 0 && all > 0),
    );
    Ok(())
}
