//! Plans and results of runs as tables and as JSON.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde_json::json;
use trainer::{
    config::RunConfig,
    run::{Plan, Reason, Summary},
};

use super::watch::short;

/// Prints what would be done, then the whole configuration.
pub(super) fn plan(plan: &Plan, config: &RunConfig, as_json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        return Ok(writeln!(out, "{}", json!({"plan": plan, "config": config}))?);
    }
    let mut table = table();
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("rows", plan.rows.to_string());
    for (reason, count) in &plan.dropped {
        row(&format!("rows left out: {reason}"), count.to_string());
    }
    if plan.shortened > 0 {
        row("rows shortened", plan.shortened.to_string());
    }
    if plan.eval_rows > 0 {
        row("rows to evaluate on", plan.eval_rows.to_string());
    }
    row("tokens", plan.tokens.to_string());
    row("trained tokens", plan.trained_tokens.to_string());
    row("longest row, tokens", plan.longest_row.to_string());
    row("steps", format!("{} ({} epochs)", plan.steps, short(plan.epochs)));
    row("parameters", plan.parameters.to_string());
    row("trained parameters", plan.trainable.to_string());
    if plan.devices > 1 {
        row("devices", plan.devices.to_string());
    }
    row("memory, about", bytes(plan.memory_bytes));
    for (what, size) in &plan.memory {
        row(&format!("  for {what}"), bytes(*size));
    }
    row("data", plan.data_hash.clone());
    writeln!(out, "{table}\n\n{}", config.to_toml())?;
    Ok(())
}

/// Prints what a run left behind.
pub(super) fn summary(summary: &Summary, folder: &Path, as_json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        return Ok(writeln!(out, "{}", json!({"folder": folder, "result": summary}))?);
    }
    let mut table = table();
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    let reason = match summary.reason {
        Reason::Completed => "",
        Reason::EarlyStop => ", as evaluations got no better",
        Reason::Stopped => ", stopped",
    };
    row("steps", format!("{} of {}{reason}", summary.step, summary.steps));
    row("time", time(summary.seconds));
    let per_second = summary.trained_tokens as f64 / summary.seconds.max(1e-9);
    row("trained tokens", format!("{} ({}/s)", summary.trained_tokens, short(per_second)));
    for (name, checkpoint) in [("checkpoint", &summary.checkpoint), ("best checkpoint", &summary.best)] {
        if let Some(checkpoint) = checkpoint {
            row(name, folder.join(checkpoint).display().to_string());
        }
    }
    for (name, value) in summary.metrics.iter().chain(&summary.evaluation) {
        row(name, short(*value));
    }
    writeln!(out, "{table}")?;
    Ok(())
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(Table::new().width().unwrap_or(120));
    table
}

/// A size for people.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = count as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{size:.1} {}", UNITS[unit]) }
}

/// A time for people.
pub(super) fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_for_people() {
        assert_eq!([bytes(7), bytes(1536), bytes(3 << 30)], ["7 B", "1.5 KiB", "3.0 GiB"]);
        assert_eq!([time(1.25), time(75.0), time(7300.0)], ["1.2 s", "1 min 15 s", "2 h 1 min"]);
    }
}
