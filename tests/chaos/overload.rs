//! Twice the load that a service can take: it does as much as before, refuses the rest at once, and is seen to live.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::http::Client;
use crate::load::{Outcome, Template, closed, measure_first, open, percentile};
use crate::place::Context;
use crate::process::Recipe;
use crate::report::{Bound, Table};

/// Candidates in a request: so many patches are read, parsed, compared and stored.
pub(crate) const CANDIDATES: usize = 8;
/// How often peak and overload take turns.
const ROUNDS: usize = 4;

/// The highest rate of good answers, and the number of clients that it takes.
pub(crate) async fn peak(addr: SocketAddr, template: &Arc<Template>, length: Duration) -> (usize, Outcome) {
    closed(addr, 8, template, length).await;
    let mut best = (0, Outcome::default());
    for clients in [8, 16, 32, 64, 128] {
        let seen = closed(addr, clients, template, length).await;
        if best.0 == 0 || seen.rate() > best.1.rate() {
            best = (clients, seen);
        }
    }
    best
}

/// Asks for `/livez` over new connections, as an orchestrator does, from a thread that does nothing else.
pub(crate) fn probe(addr: SocketAddr, over: &AtomicBool) -> Result<(Vec<Duration>, usize)> {
    measure_first();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut times, mut failed) = (Vec::new(), 0);
        while !over.load(Ordering::Acquire) {
            let start = Instant::now();
            match Client::new(addr).get("/livez", Duration::from_secs(5)).await {
                Ok(reply) if reply.status == 200 => times.push(start.elapsed()),
                _ => failed += 1,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok((times, failed))
    })
}

pub(crate) async fn run(context: &Context, table: &mut Table) -> Result<()> {
    // PostgreSQL last: it tidies up for a while after it was filled, which would count against whoever comes next.
    for database in context.databases().into_iter().rev() {
        let folder = context.folder.sub(&format!("overload-{}", database.name()))?;
        let url = context.url(database, &folder)?;
        let settings = ["log.level=warn".to_owned()];
        let service = Recipe::new(&context.program, &folder, "selector", "selector", &url, &settings)?;
        let service = service.start().await?;
        let addr = service.addr;
        let template = Template::selection("o__o", CANDIDATES);
        let length = Duration::from_secs(if context.quick { 2 } else { 10 });
        // The best of several runs is flattered by chance, the database grows meanwhile, and the machine is not the same at
        // all times: peak and overload take turns, and what counts are their means.
        let (clients, _) = peak(addr, &template, length / 2).await;
        let mut usual = vec![closed(addr, clients, &template, length).await];
        let rate = usual[0].rate();
        let (mut seen, mut goodput, mut late) = (Outcome::default(), Vec::new(), Duration::ZERO);
        let (mut alive, mut dead) = (Vec::new(), 0);
        for _ in 0..if context.quick { 1 } else { ROUNDS } {
            let over = Arc::new(AtomicBool::new(false));
            let watcher = std::thread::spawn({
                let over = Arc::clone(&over);
                move || probe(addr, &over)
            });
            let twice = std::thread::spawn({
                let template = Arc::clone(&template);
                move || open(addr, rate * 2.0, &template, length)
            });
            let (round, behind) = tokio::task::spawn_blocking(move || twice.join())
                .await?
                .map_err(|_| anyhow::anyhow!("the generator panicked"))??;
            over.store(true, Ordering::Release);
            let (probed, silent) = watcher.join().map_err(|_| anyhow::anyhow!("the probe panicked"))??;
            goodput.push(round.rate());
            seen.merge(round);
            late = late.max(behind);
            alive.extend(probed);
            dead += silent;
            usual.push(closed(addr, clients, &template, length).await);
        }
        let rates: Vec<f64> = usual.iter().map(Outcome::rate).collect();
        let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
        let ratio = mean(&goodput) / mean(&rates) * 100.0;
        let list =
            |rates: &[f64]| rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(" ");
        let name = database.name();
        let load = std::fs::read_to_string("/proc/loadavg").context("no load average")?;
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        table.row(
            "overload",
            format!("peak of the selector on {name}, {CANDIDATES} candidates a request, {clients} clients"),
            format!(
                "{} a second, p50 {:.0} ms, p99 {:.0} ms (load of the machine {load})",
                list(&rates),
                percentile(&usual[0].good, 50.0),
                percentile(&usual[0].good, 99.0)
            ),
            "–",
            Bound::Shown,
        );
        table.row(
            "overload",
            format!("{:.0} a second offered on {name}, open loop, {} s between those: goodput", rate * 2.0, length.as_secs()),
            format!(
                "{} a second = {ratio:.1} % of peak, p50 {:.0} ms, p99 {:.0} ms; {} shed, {} odd, {} unanswered; sent {} ms late at most",
                list(&goodput),
                percentile(&seen.good, 50.0),
                percentile(&seen.good, 99.0),
                seen.shed.len(),
                seen.odd,
                seen.failed,
                late.as_millis()
            ),
            "≥ 95 %",
            Bound::Timed(ratio >= 95.0),
        );
        table.row(
            "overload",
            format!("the same on {name}: answers other than 2xx and 503, and none"),
            format!("{}", seen.odd + seen.failed + dead),
            "0",
            Bound::Must(seen.odd + seen.failed + dead == 0),
        );
        let shed = percentile(&seen.shed, 99.0);
        table.row(
            "overload",
            format!("the same on {name}: shed replies"),
            format!("p50 {:.1} ms, p99 {shed:.1} ms", percentile(&seen.shed, 50.0)),
            "p99 < 10 ms",
            Bound::Timed(shed < 10.0),
        );
        let live = percentile(&alive, 99.0);
        table.row(
            "overload",
            format!("the same on {name}: /livez over new connections"),
            format!("p50 {:.1} ms, p99 {live:.1} ms, {} probes", percentile(&alive, 50.0), alive.len()),
            "p99 < 5 ms",
            Bound::Timed(live < 5.0),
        );
    }
    Ok(())
}
