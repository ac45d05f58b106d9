//! A long run at 70 % load: memory, open files and connections stay where they are.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::load::{Template, open, percentile};
use crate::overload::{CANDIDATES, peak};
use crate::place::{Context, Database};
use crate::process::{Recipe, Service};
use crate::report::{Bound, Table, say};

/// Growth that nobody would call a leak, in MiB an hour.
const SLOPE: f64 = 8.0;

/// One look at a process.
#[derive(Debug, Clone, Copy)]
struct Sample {
    hours: f64,
    memory: f64,
    files: f64,
}

pub(crate) async fn run(context: &Context, table: &mut Table) -> Result<()> {
    let database = context.one_database();
    let folder = context.folder.sub("soak")?;
    let url = context.url(database, &folder)?;
    let quiet = "log.level=warn".to_owned();
    let verifier =
        Recipe::new(&context.program, &folder, "verifier", "verifier", &url, std::slice::from_ref(&quiet))?;
    let asks = [format!("verifier.url=http://{}", verifier.addr), quiet];
    let selector = Recipe::new(&context.program, &folder, "selector", "selector", &url, &asks)?;
    let (verifier, selector) = (verifier.start().await?, selector.start().await?);
    let addr = selector.addr;
    let template = Template::selection("s__s", CANDIDATES);
    let rate = match context.rate {
        Some(rate) => rate,
        None => peak(addr, &template, Duration::from_secs(3)).await.1.rate() * 0.7,
    };
    say(&format!("  {rate:.0} selections a second for {:.0} minutes", context.soak.as_secs_f64() / 60.0));
    let length = context.soak;
    let load = std::thread::spawn(move || open(addr, rate, &template, length));
    let start = Instant::now();
    let services = [&selector, &verifier];
    let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
    let mut connections: Vec<f64> = Vec::new();
    let mut told = Instant::now();
    while start.elapsed() < length {
        tokio::time::sleep(Duration::from_secs(5).min(length / 20)).await;
        if told.elapsed() > length / 15 {
            told = Instant::now();
            let memory = samples.iter().map(|samples| samples.last().map_or(f64::NAN, |one| one.memory));
            let memory: Vec<String> = memory.map(|mib| format!("{mib:.0}")).collect();
            say(&format!(
                "  {:.0} s: selector and verifier hold {} MiB",
                start.elapsed().as_secs_f64(),
                memory.join(" and ")
            ));
        }
        for (service, samples) in services.iter().zip(&mut samples) {
            samples.extend(look(service, start));
        }
        if let (Database::Postgres, Some(postgres)) = (database, &context.postgres) {
            connections.push(tokio::task::block_in_place(|| postgres.connections(&url))? as f64);
        }
    }
    let (seen, _) = tokio::task::spawn_blocking(move || load.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the generator panicked"))??;
    table.row(
        "soak",
        format!(
            "{rate:.0} selections a second on {} for {:.0} minutes",
            database.name(),
            length.as_secs_f64() / 60.0
        ),
        format!(
            "{} good, {} shed, {} odd, {} unanswered; p50 {:.0} ms, p99 {:.0} ms",
            seen.good.len(),
            seen.shed.len(),
            seen.odd,
            seen.failed,
            percentile(&seen.good, 50.0),
            percentile(&seen.good, 99.0)
        ),
        "none odd or unanswered",
        Bound::Must(seen.odd + seen.failed == 0),
    );
    for (service, samples) in services.iter().zip(&samples) {
        // The first third is warm-up: caches fill, the allocator finds its size.
        let warm = &samples[samples.len() / 3..];
        let slope = slope(warm);
        let [first, last] =
            [samples.first(), samples.last()].map(|one| one.map_or(f64::NAN, |one| one.memory));
        table.row(
            "soak",
            format!("memory of the {}", service.name),
            format!("{slope:+.1} MiB an hour after warm-up ({first:.0} MiB at first, {last:.0} at last)"),
            format!("≤ {SLOPE:.0} MiB an hour"),
            Bound::Timed(slope <= SLOPE),
        );
        let files: Vec<f64> = warm.iter().map(|one| one.files).collect();
        table.row(
            "soak",
            format!("open files of the {}", service.name),
            text(&files),
            "none leaked",
            Bound::Must(is_flat(&files)),
        );
    }
    if !connections.is_empty() {
        let warm = &connections[connections.len() / 3..];
        let good = is_flat(warm);
        table.row("soak", "connections to the database", text(warm), "none leaked", Bound::Must(good));
    }
    Ok(())
}

fn look(service: &Service, start: Instant) -> Option<Sample> {
    let hours = start.elapsed().as_secs_f64() / 3600.0;
    Some(Sample { hours, memory: service.memory()?.0, files: service.files()? as f64 })
}

/// Least squares, in MiB an hour.
fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let mean = |value: fn(&Sample) -> f64| samples.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|one| one.hours), mean(|one| one.memory));
    let up: f64 = samples.iter().map(|one| (one.hours - x) * (one.memory - y)).sum();
    let down: f64 = samples.iter().map(|one| (one.hours - x).powi(2)).sum();
    up / down
}

/// Whether the last quarter has no more than the first at most: what is leaked never comes back.
fn is_flat(values: &[f64]) -> bool {
    let quarter = values.len().div_ceil(4);
    let least = |part: &[f64]| part.iter().copied().fold(f64::INFINITY, f64::min);
    let most = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    least(&values[values.len() - quarter..]) <= most(&values[..quarter])
}

fn text(values: &[f64]) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    format!("{least:.0} to {most:.0}, {:.0} at last", values.last().copied().unwrap_or(f64::NAN))
}
