//! One candidate in full, and two of them side by side.

use common::{ExitStatus, Ranked};

use super::data::{CandidateData, Detail};
use super::diff::{self, DiffLimits, DiffView};
use super::links::{CandidateLink, Links, encode};
use super::selection_view::{reasons, stage};
use super::text::{clean, count, percent};

/// One candidate.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) id: String,
    pub(super) rank: u32,
    pub(super) chosen: bool,
    pub(super) facts: Vec<Fact>,
    pub(super) reasons: Vec<String>,
    pub(super) better: Option<CandidateLink>,
    pub(super) worse: Option<CandidateLink>,
    pub(super) diff: DiffView,
    pub(super) trajectory: Option<TrajectoryLink>,
}

/// A name and a value.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// Where the conversation is.
#[derive(Debug)]
pub(super) struct TrajectoryLink {
    pub(super) url: String,
    pub(super) words: String,
}

/// Two candidates.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) note: Option<String>,
    pub(super) sides: [Side; 2],
}

/// One of the two.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) id: String,
    pub(super) rank: u32,
    pub(super) words: String,
    pub(super) diff: DiffView,
}

/// The form that asks for two candidates.
#[derive(Debug)]
pub(super) struct CompareForm {
    pub(super) action: String,
    pub(super) options: Vec<Choice>,
}

/// A candidate to choose.
#[derive(Debug)]
pub(super) struct Choice {
    /// The encoded id.
    pub(super) value: String,
    pub(super) label: String,
    pub(super) left: bool,
    pub(super) right: bool,
}

/// The panel of a candidate; `None` when the selection does not rank it.
pub(super) fn panel(detail: &Detail, id: &str, links: &Links) -> Option<Panel> {
    let ranking = &detail.selection.candidates;
    let at = ranking.iter().position(|r| r.candidate_id == id)?;
    let ranked = &ranking[at];
    let data = detail.candidate(id);
    let link = |r: &Ranked| links.candidate(&r.candidate_id, r.rank);
    Some(Panel {
        id: clean(id).into_owned(),
        rank: ranked.rank,
        chosen: detail.selection.chosen.as_deref() == Some(id),
        facts: facts(ranked, data),
        reasons: reasons(ranked),
        better: at.checked_sub(1).map(|i| link(&ranking[i])),
        worse: ranking.get(at + 1).map(link),
        diff: diff_of(data, links, id, |_| false),
        trajectory: data
            .filter(|d| d.turns > 0)
            .map(|d| TrajectoryLink { url: links.trajectory(id, 0), words: count(d.turns, "turn", "turns") }),
    })
}

fn diff_of(data: Option<&CandidateData>, links: &Links, id: &str, first: impl Fn(&str) -> bool) -> DiffView {
    diff::view(data.and_then(|d| d.patch.as_deref()), links.raw_patch(id), DiffLimits::default(), first)
}

fn facts(r: &Ranked, data: Option<&CandidateData>) -> Vec<Fact> {
    let mut out = Vec::new();
    let mut add = |name, value: String| out.push(Fact { name, value });
    add("probability", percent(r.probability));
    if r.verifier.is_some() {
        add("verifier", percent(r.verifier));
    }
    add("cluster", format!("{} (of {})", r.cluster + 1, r.votes.cluster));
    if let Some(d) = r.dropped {
        add("stage", stage(d).to_owned());
    }
    if let Some(d) = data {
        if let Some(steps) = d.steps {
            add("steps", steps.to_string());
        }
        if d.turns > 0 || d.exit != ExitStatus::Unknown {
            let word = match d.exit {
                ExitStatus::Submitted => "submitted",
                ExitStatus::SubmittedAtLimit => "submitted at a limit",
                ExitStatus::Limit => "ended by a limit",
                ExitStatus::Error => "error",
                ExitStatus::Unknown => "unknown",
            };
            add("exit", word.to_owned());
        }
        if let Some(name) = serde_json::to_value(d.source).ok().and_then(|v| v.as_str().map(str::to_owned)) {
            add("read from", name);
        }
    }
    out
}

/// Two candidates side by side; `None` when one of them is not ranked. Files that both change come first.
pub(super) fn pair(detail: &Detail, ids: [&str; 2], links: &Links) -> Option<Pair> {
    let ranked = |id: &str| detail.selection.candidates.iter().find(|r| r.candidate_id == id);
    let (a, b) = (ranked(ids[0])?, ranked(ids[1])?);
    let files = ids.map(|id| diff::stat(detail.candidate(id).and_then(|d| d.patch.as_deref())).files);
    let side = |r: &Ranked, other: &[String]| Side {
        id: clean(&r.candidate_id).into_owned(),
        rank: r.rank,
        words: format!("{}, cluster {}", percent(r.probability), r.cluster + 1),
        diff: diff_of(detail.candidate(&r.candidate_id), links, &r.candidate_id, |path| {
            other.iter().any(|p| p == path)
        }),
    };
    let note = if ids[0] == ids[1] {
        Some("This is one candidate twice.".to_owned())
    } else if a.cluster == b.cluster {
        Some("Both are in one cluster: they make the same or nearly the same change.".to_owned())
    } else {
        None
    };
    Some(Pair { note, sides: [side(a, &files[1]), side(b, &files[0])] })
}

/// The form, with the given candidates chosen; by default the pick and the best of another cluster.
pub(super) fn compare_form(detail: &Detail, chosen: Option<[&str; 2]>, links: &Links) -> CompareForm {
    let ranking = &detail.selection.candidates;
    let first = ranking.first();
    let other = first
        .and_then(|f| ranking.iter().find(|r| r.cluster != f.cluster))
        .or_else(|| ranking.get(1))
        .or(first);
    let default = [first, other].map(|r| r.map_or("", |r| r.candidate_id.as_str()));
    let [left, right] = chosen.unwrap_or(default);
    CompareForm {
        action: links.compare(),
        options: ranking
            .iter()
            .map(|r| Choice {
                value: encode(&r.candidate_id),
                label: format!("#{} {}", r.rank, clean(&r.candidate_id)),
                left: r.candidate_id == left,
                right: r.candidate_id == right,
            })
            .collect(),
    }
}
