//! Scores as tables and as JSON lines.

use std::io::Write;

use anyhow::Result;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::Row;

/// Prints rows that are ordered by issue.
pub(super) fn print(rows: &[Row], json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        for row in rows {
            serde_json::to_writer(&mut out, row)?;
            writeln!(out)?;
        }
        return Ok(());
    }
    for issue in rows.chunk_by(|a, b| a.instance_id == b.instance_id) {
        write!(out, "{}", table(issue))?;
    }
    Ok(())
}

/// One issue, best first.
fn table(rows: &[Row]) -> String {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by(|a, b| {
        let key = |row: &Row| row.probability.unwrap_or(-1.0);
        key(b).total_cmp(&key(a)).then_with(|| a.candidate_id.cmp(&b.candidate_id))
    });
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(Table::new().width().unwrap_or(120));
    table.set_header(["candidate", "probability", "logit", "turns", "why"]);
    for row in &rows {
        let probability = row.probability.map_or("–".to_owned(), |value| format!("{:.1} %", 100.0 * value));
        let logit = match (row.logit, row.spread) {
            (Some(logit), Some(spread)) => format!("{logit:.2} ± {spread:.2}"),
            (Some(logit), None) => format!("{logit:.2}"),
            (None, _) => "–".to_owned(),
        };
        let reasons: Vec<String> =
            row.reasons.iter().map(|(name, part)| format!("{name} {part:+.2}")).collect();
        table.add_row([
            Cell::new(&row.candidate_id),
            Cell::new(probability).set_alignment(CellAlignment::Right),
            Cell::new(logit).set_alignment(CellAlignment::Right),
            Cell::new(course(&row.turns)),
            Cell::new(row.reason.clone().unwrap_or_else(|| reasons.join(", "))),
        ]);
    }
    let issue = rows.first().map_or("", |row| row.instance_id.as_str());
    let revision = rows.first().map_or("", |row| row.revision.as_str());
    format!("{issue}: scored by {revision}\n{table}\n\n")
}

/// The probability over the run in at most five steps: `20 → 35 → 60 %`.
fn course(turns: &[f64]) -> String {
    let Some(last) = turns.len().checked_sub(1) else { return "–".to_owned() };
    let mut places: Vec<usize> = (0..5).map(|step| step * last / 4).collect();
    places.dedup();
    let parts: Vec<String> = places.iter().map(|&at| format!("{:.0}", 100.0 * turns[at])).collect();
    format!("{} %", parts.join(" → "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_course_of_a_run_is_short() {
        assert_eq!(course(&[]), "–");
        assert_eq!(course(&[0.5]), "50 %");
        let turns: Vec<f64> = (0..101).map(|at| f64::from(at) / 100.0).collect();
        assert_eq!(course(&turns), "0 → 25 → 50 → 75 → 100 %");
    }

    #[test]
    fn the_best_comes_first_and_gaps_are_named() {
        let row = |id: &str, probability: Option<f64>| Row {
            instance_id: "a__b-1".into(),
            candidate_id: id.into(),
            probability,
            logit: probability,
            reason: probability.is_none().then(|| "too long".to_owned()),
            revision: "r1".into(),
            ..Row::default()
        };
        let text = table(&[row("worse", Some(0.2)), row("unknown", None), row("better", Some(0.9))]);
        let place = |name: &str| text.find(name).unwrap();
        assert!(place("better") < place("worse") && place("worse") < place("unknown"), "{text}");
        assert!(text.contains("too long") && text.contains("90.0 %") && text.contains("r1"), "{text}");
    }
}
