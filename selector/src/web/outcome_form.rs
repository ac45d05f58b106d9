//! The form that reports what became of the candidates, and what it posts.

use common::Selection;

use super::data::Detail;
use super::links::{Links, decode, encode};
use super::text::clean;

/// Prefix of a field that holds the outcome of a candidate; the encoded id follows, so that outcomes are joined by it.
const PREFIX: &str = "resolved:";
/// Longest text that says where an outcome comes from, in characters.
const SOURCE_CHARS: usize = 200;

/// The section of the page.
#[derive(Debug)]
pub(super) struct OutcomeView {
    pub(super) action: String,
    pub(super) notice: Option<Notice>,
    pub(super) rows: Vec<OutcomeRow>,
}

/// What the last report led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) class: &'static str,
    pub(super) words: String,
}

/// One candidate.
#[derive(Debug)]
pub(super) struct OutcomeRow {
    pub(super) rank: u32,
    pub(super) id: String,
    pub(super) chosen: bool,
    pub(super) field: String,
    pub(super) resolved: Option<bool>,
    pub(super) source: Option<String>,
}

/// What a form reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) source: String,
    /// Candidate and whether it resolves the issue, in the order of the form.
    pub(super) outcomes: Vec<(String, bool)>,
}

/// Builds the section.
pub(super) fn view(detail: &Detail, links: &Links, notice: Option<Notice>) -> OutcomeView {
    let rows = detail.selection.candidates.iter().map(|r| {
        let stored = detail.outcome(&r.candidate_id);
        OutcomeRow {
            rank: r.rank,
            id: clean(&r.candidate_id).into_owned(),
            chosen: detail.selection.chosen.as_ref() == Some(&r.candidate_id),
            field: format!("{PREFIX}{}", encode(&r.candidate_id)),
            resolved: stored.map(|o| o.resolved),
            source: stored.map(|o| format!("by {}", clean(&o.source))),
        }
    });
    // A refusal may quote what was posted.
    let notice = notice.map(|n| Notice { words: clean(&n.words).into_owned(), ..n });
    OutcomeView { action: links.outcome(), notice, rows: rows.collect() }
}

/// Reads the fields of a posted form. The error is in words for the person who sent it.
pub(super) fn read(fields: &[(String, String)], selection: &Selection) -> Result<Report, String> {
    let mut report = Report { source: "user".to_owned(), outcomes: Vec::new() };
    for (name, value) in fields {
        if name == "source" {
            let source = value.trim();
            if source.chars().count() > SOURCE_CHARS {
                return Err(format!("the source is longer than {SOURCE_CHARS} characters"));
            }
            if !source.is_empty() {
                source.clone_into(&mut report.source);
            }
            continue;
        }
        let Some(id) = name.strip_prefix(PREFIX).and_then(decode) else {
            return Err(format!("the form has no field {name:?}"));
        };
        let resolved = match value.as_str() {
            "yes" => true,
            "no" => false,
            "" => continue,
            other => return Err(format!("an outcome is yes, no or empty, not {other:?}")),
        };
        if !selection.candidates.iter().any(|r| r.candidate_id == id) {
            return Err(format!("this selection has no candidate {id:?}"));
        }
        if report.outcomes.iter().any(|(seen, _)| *seen == id) {
            return Err(format!("candidate {id:?} is reported twice"));
        }
        report.outcomes.push((id, resolved));
    }
    if report.outcomes.is_empty() {
        return Err("nothing was reported: choose resolved or not resolved for a candidate".to_owned());
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use common::Ranked;

    use super::*;

    fn selection() -> Selection {
        let ranked = |id: &str| Ranked {
            candidate_id: id.to_owned(),
            rank: 1,
            score: 0.0,
            probability: None,
            cluster: 0,
            votes: common::Votes::default(),
            tests: None,
            verifier: None,
            verifier_spread: None,
            dropped: None,
            reasons: Vec::new(),
        };
        Selection {
            instance_id: "i".to_owned(),
            policy: "hybrid".to_owned(),
            model: None,
            chosen: None,
            confidence: None,
            abstained: false,
            verifiers: Vec::new(),
            degraded: Vec::new(),
            candidates: vec![ranked("a"), ranked("b:c")],
        }
    }

    fn read_all(fields: &[(&str, &str)]) -> Result<Report, String> {
        let fields: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        read(&fields, &selection())
    }

    #[test]
    fn outcomes_are_joined_by_id() {
        let report = read_all(&[("resolved:b%3Ac", "yes"), ("resolved:a", ""), ("source", " CI ")]).unwrap();
        assert_eq!(report, Report { source: "CI".to_owned(), outcomes: vec![("b:c".to_owned(), true)] });
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        for (fields, words) in [
            (&[("resolved:zz", "yes")][..], "no candidate"),
            (&[("resolved:a", "maybe")], "yes, no or empty"),
            (&[("resolved:a", "yes"), ("resolved:a", "no")], "twice"),
            (&[("resolved:a", "")], "nothing was reported"),
            (&[("x", "y")], "no field"),
            (&[("source", &"x".repeat(300))], "longer"),
        ] {
            let error = read_all(fields).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
