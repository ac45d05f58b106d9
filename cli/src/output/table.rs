//! Selections as tables that a person can read.

use std::fmt::Write;
use std::io::IsTerminal;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};
use common::{DropStage, Ranked, Selection, TestSummary};

/// The column that is there only when somebody scored.
const VERIFIER: &str = "verifier";

/// How a table is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Width in columns; `None` takes the terminal's, or 120 when there is none.
    pub width: Option<u16>,
    /// Whether the pick is coloured.
    pub colour: bool,
}

impl Look {
    /// As fits standard output; `NO_COLOR` is honoured.
    pub fn of_stdout() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { width: None, colour }
    }
}

/// What the table says of a candidate beside its place in the ranking.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    /// Actions the agent took, where known.
    pub steps: Option<u32>,
}

/// One selection: a heading, the ranking, and what was missing.
pub fn selection(selection: &Selection, facts: impl Fn(&str) -> Facts, look: Look) -> String {
    let mut text = heading(selection);
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(look.width.or_else(|| Table::new().width()).unwrap_or(120));
    if look.colour {
        table.enforce_styling();
    }
    let scored = selection.candidates.iter().any(|ranked| ranked.verifier.is_some());
    let header = ["rank", "candidate", "probability", "verifier", "cluster", "tests", "steps", "why"];
    table.set_header(header.into_iter().filter(|name| scored || *name != VERIFIER));
    for ranked in &selection.candidates {
        let chosen = selection.chosen.as_deref() == Some(&ranked.candidate_id);
        let cells = [
            Cell::new(ranked.rank).set_alignment(CellAlignment::Right),
            Cell::new(&ranked.candidate_id),
            Cell::new(percent(ranked.probability)).set_alignment(CellAlignment::Right),
            Cell::new(percent(ranked.verifier)).set_alignment(CellAlignment::Right),
            Cell::new(cluster(ranked)),
            Cell::new(tests(ranked.tests.as_ref())),
            Cell::new(facts(&ranked.candidate_id).steps.map_or("–".into(), |steps| steps.to_string()))
                .set_alignment(CellAlignment::Right),
            Cell::new(why(ranked)),
        ];
        let cells = header.into_iter().zip(cells).filter(|(name, _)| scored || *name != VERIFIER);
        let coloured =
            cells.map(|(_, cell)| if chosen && look.colour { cell.fg(Color::Green) } else { cell });
        table.add_row(coloured);
    }
    let _ = writeln!(text, "{table}");
    if !selection.verifiers.is_empty() {
        let _ = writeln!(text, "  verifier: {}", selection.verifiers.join(", "));
    }
    for missing in &selection.degraded {
        let _ = writeln!(text, "  without {}: {}", missing.evidence, missing.detail);
    }
    text
}

fn heading(selection: &Selection) -> String {
    let outcome = match (&selection.chosen, selection.confidence) {
        (Some(chosen), Some(confidence)) => format!("{chosen} ({} sure)", percent(Some(confidence))),
        (Some(chosen), None) => chosen.clone(),
        (None, Some(confidence)) if selection.abstained => {
            format!("none (the best is only {} sure)", percent(Some(confidence)))
        }
        (None, _) => "none".to_owned(),
    };
    let count = selection.candidates.len();
    let noun = if count == 1 { "candidate" } else { "candidates" };
    format!("{}: {outcome}, best of {count} {noun} by {}\n", selection.instance_id, selection.policy)
}

fn percent(probability: Option<f64>) -> String {
    probability.map_or("–".into(), |value| format!("{:.1} %", 100.0 * value))
}

/// The cluster's letter and how many candidates it holds: `A ×4`.
fn cluster(ranked: &Ranked) -> String {
    format!("{} ×{}", letters(ranked.cluster), ranked.votes.cluster.max(1))
}

/// 0 → A, 25 → Z, 26 → AA, as columns of a spreadsheet.
fn letters(number: u32) -> String {
    let mut rest = number;
    let mut text = String::new();
    loop {
        text.insert(0, char::from(b'A' + (rest % 26) as u8));
        if rest < 26 {
            return text;
        }
        rest = rest / 26 - 1;
    }
}

fn tests(summary: Option<&TestSummary>) -> String {
    let Some(summary) = summary else { return "–".into() };
    let mut parts = Vec::new();
    let kept = summary.regression_passed + summary.regression_broken;
    if kept > 0 {
        parts.push(format!("keeps {}/{kept}", summary.regression_passed));
    }
    let shown = summary.reproduction_passed + summary.reproduction_failed;
    if shown > 0 {
        parts.push(format!("fixes {}/{shown}", summary.reproduction_passed));
    }
    if summary.unknown > 0 {
        parts.push(format!("{} unknown", summary.unknown));
    }
    if summary.tampered > 0 {
        parts.push(format!("{} edited", summary.tampered));
    }
    if parts.is_empty() { "–".into() } else { parts.join(", ") }
}

fn why(ranked: &Ranked) -> String {
    let text = ranked.reasons.first().cloned().unwrap_or_default();
    if let (Some(stage), true) = (ranked.dropped, text.is_empty()) {
        return stage_words(stage).to_owned();
    }
    text
}

fn stage_words(stage: DropStage) -> &'static str {
    match stage {
        DropStage::EmptyPatch => "its patch is empty",
        DropStage::Unfinished => "it did not finish",
        DropStage::Regression => "it breaks more tests",
        DropStage::Reproduction => "it passes fewer new tests",
        DropStage::Verifier => "the verifier finds it unlikely",
        DropStage::Votes => "fewer candidates agree with it",
        DropStage::Steps => "the number of steps decided",
    }
}

#[cfg(test)]
mod tests {
    use common::Votes;

    use super::*;

    fn ranked(id: &str, rank: u32, reasons: &[&str]) -> Ranked {
        Ranked {
            candidate_id: id.into(),
            rank,
            score: 0.0,
            probability: Some(0.875),
            cluster: rank - 1,
            votes: Votes { cluster: 3, ..Votes::default() },
            tests: Some(TestSummary { regression_passed: 2, regression_broken: 1, ..TestSummary::default() }),
            verifier: None,
            verifier_spread: None,
            dropped: (rank > 1).then_some(DropStage::EmptyPatch),
            reasons: reasons.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_table_names_everything_a_person_needs() {
        let result = Selection {
            instance_id: "a__b-1".into(),
            policy: "hybrid".into(),
            model: None,
            chosen: Some("run-1".into()),
            confidence: Some(0.9),
            abstained: false,
            verifiers: Vec::new(),
            degraded: vec![common::Degraded {
                evidence: "verifier".into(),
                detail: "none is configured".into(),
            }],
            candidates: vec![ranked("run-1", 1, &["three agree", "all tests pass"]), ranked("run-2", 2, &[])],
        };
        let look = Look { width: Some(120), colour: false };
        let text = selection(&result, |_| Facts { steps: Some(7) }, look);
        let wanted = [
            "a__b-1: run-1 (90.0 % sure), best of 2 candidates by hybrid",
            "87.5 %",
            "A ×3",
            "keeps 2/3",
            "three agree",
            "its patch is empty",
            "without verifier: none is configured",
        ];
        for part in wanted {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "no colour was asked for");
    }

    #[test]
    fn scores_and_their_model_are_shown_where_there_are_any() {
        let mut scored = ranked("run-1", 1, &["likely"]);
        scored.verifier = Some(0.125);
        let result = Selection {
            instance_id: "a__b-1".into(),
            policy: "hybrid".into(),
            model: None,
            chosen: Some("run-1".into()),
            confidence: None,
            abstained: false,
            verifiers: vec!["linear@4f0c".into()],
            degraded: Vec::new(),
            candidates: vec![scored, ranked("run-2", 2, &[])],
        };
        let look = Look { width: Some(120), colour: false };
        let text = selection(&result, |_| Facts::default(), look);
        for part in ["verifier", "12.5 %", "  verifier: linear@4f0c"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        let bare = Selection { verifiers: Vec::new(), candidates: vec![ranked("run-2", 1, &[])], ..result };
        assert!(!selection(&bare, |_| Facts::default(), look).contains("verifier"));
    }

    #[test]
    fn letters_go_on_after_z() {
        assert_eq!(
            [letters(0), letters(25), letters(26), letters(701), letters(702)],
            ["A", "Z", "AA", "ZZ", "AAA"]
        );
    }
}
