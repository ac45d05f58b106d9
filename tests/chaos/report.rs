//! The table of what was done, what was measured and whether it is as it must be.

use std::io::Write as _;

use anyhow::Result;
use serde_json::json;

/// Says something on standard error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// What a measurement is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Holds or not, on any machine.
    Must(bool),
    /// A matter of time: counts in a full run only.
    Timed(bool),
    /// Nothing is demanded.
    Shown,
}

#[derive(Debug)]
struct Row {
    scenario: String,
    done: String,
    measured: String,
    demanded: String,
    bound: Bound,
}

/// All rows.
#[derive(Debug)]
pub(crate) struct Table {
    quick: bool,
    rows: Vec<Row>,
}

impl Table {
    /// An empty table; in a quick one nothing fails for being slow.
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(
        &mut self,
        scenario: &str,
        done: impl Into<String>,
        measured: impl Into<String>,
        demanded: impl Into<String>,
        bound: Bound,
    ) {
        let row = Row {
            scenario: scenario.to_owned(),
            done: done.into(),
            measured: measured.into(),
            demanded: demanded.into(),
            bound,
        };
        say(&format!(
            "  {:4} {}: {} ({}; must be: {})",
            self.verdict(bound),
            row.scenario,
            row.measured,
            row.done,
            row.demanded
        ));
        self.rows.push(row);
    }

    /// A scenario that could not be run to its end.
    pub(crate) fn failed(&mut self, scenario: &str, error: &str) {
        self.row(scenario, "the scenario broke off", error, "runs to its end", Bound::Must(false));
    }

    fn verdict(&self, bound: Bound) -> &'static str {
        match bound {
            Bound::Must(true) | Bound::Timed(true) => "pass",
            Bound::Timed(false) if self.quick => "slow",
            Bound::Must(false) | Bound::Timed(false) => "FAIL",
            Bound::Shown => "–",
        }
    }

    /// Whether nothing failed.
    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|row| self.verdict(row.bound) != "FAIL")
    }

    /// Prints all rows, for people or as JSON.
    pub(crate) fn print(&self, as_json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if as_json {
            let rows: Vec<_> = self
                .rows
                .iter()
                .map(|row| {
                    json!({
                        "scenario": row.scenario,
                        "done": row.done,
                        "measured": row.measured,
                        "bound": row.demanded,
                        "verdict": self.verdict(row.bound),
                    })
                })
                .collect();
            serde_json::to_writer_pretty(&mut out, &rows)?;
            writeln!(out)?;
            return Ok(());
        }
        writeln!(out, "| scenario | done | measured | must be | |\n|---|---|---|---|---|")?;
        for row in &self.rows {
            let verdict = self.verdict(row.bound);
            writeln!(
                out,
                "| {} | {} | {} | {} | {verdict} |",
                row.scenario, row.done, row.measured, row.demanded
            )?;
        }
        Ok(())
    }
}
