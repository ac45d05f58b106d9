//! One selection: the verdict, the ranking, clusters and scores.

use std::collections::BTreeMap;

use common::{DropStage, Ranked, TestSummary};

use super::bars::bar;
use super::data::Detail;
use super::diff::{self, Stat};
use super::links::{CandidateLink, Links};
use super::markup::Markup;
use super::text::{clean, clip, count, grouped, percent};

/// Lines of the issue that are shown.
const ISSUE_LINES: usize = 400;
/// Bytes of the issue that are shown.
const ISSUE_BYTES: usize = 40_000;
/// Candidates listed with the files they change in a cluster's card.
const FILES_IN_CLUSTER: usize = 4;
/// Distinct colours of clusters in the style sheet; beyond that they share the last.
const CLUSTER_COLOURS: u32 = 8;

/// Everything above the candidate's panel and the tables below it.
#[derive(Debug)]
pub(super) struct SelectionView {
    pub(super) id: String,
    pub(super) instance_id: String,
    pub(super) policy: String,
    pub(super) model: Option<String>,
    /// The verifier models whose scores counted, in words; empty for none.
    pub(super) verifiers: String,
    pub(super) when: When,
    pub(super) candidates_word: String,
    pub(super) verdict: Verdict,
    pub(super) degraded: Vec<Note>,
    pub(super) issue: Option<IssueText>,
    pub(super) ranking: Vec<Row>,
    pub(super) clusters: Vec<ClusterView>,
    pub(super) scores: Vec<ScoreRow>,
}

/// A time, for machines and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    pub(super) iso: String,
    pub(super) short: String,
}

impl When {
    /// From RFC 3339 in UTC; the short form ends with the minute.
    pub(super) fn new(iso: &str) -> Self {
        let short = iso.get(..16).unwrap_or(iso).replace('T', " ");
        Self { iso: iso.to_owned(), short }
    }
}

/// The pick and why.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) title: &'static str,
    pub(super) pick: Option<CandidateLink>,
    pub(super) confidence: Option<Confidence>,
    pub(super) reasons: Vec<String>,
}

/// How sure the policy is.
#[derive(Debug)]
pub(super) struct Confidence {
    pub(super) percent: String,
    pub(super) words: &'static str,
    pub(super) bar: Markup,
}

/// Evidence that was missing.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) evidence: String,
    pub(super) detail: String,
}

/// The issue, cut where it is long.
#[derive(Debug)]
pub(super) struct IssueText {
    pub(super) shown: String,
    pub(super) note: Option<String>,
    pub(super) raw: Option<String>,
}

/// A row of the ranking.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) rank: u32,
    pub(super) id: String,
    pub(super) chosen: bool,
    pub(super) url: String,
    pub(super) partial: String,
    pub(super) resolved: Option<bool>,
    pub(super) percent: String,
    pub(super) bar: Markup,
    pub(super) cluster: u32,
    pub(super) cluster_colour: u32,
    pub(super) cluster_size: u32,
    pub(super) same: u32,
    pub(super) tests: Vec<TestWord>,
    pub(super) steps: String,
    pub(super) change: String,
    pub(super) dropped: Option<&'static str>,
    pub(super) reason: String,
    pub(super) more_reasons: Vec<String>,
}

/// One count of the test summary.
#[derive(Debug)]
pub(super) struct TestWord {
    pub(super) class: &'static str,
    pub(super) title: &'static str,
    pub(super) text: String,
}

/// A cluster of near-duplicates.
#[derive(Debug)]
pub(super) struct ClusterView {
    pub(super) number: u32,
    pub(super) colour: u32,
    pub(super) size: String,
    pub(super) holds_pick: bool,
    pub(super) members: Vec<CandidateLink>,
    pub(super) files: Vec<String>,
    pub(super) more_files: Option<String>,
}

/// A row of the table of scores.
#[derive(Debug)]
pub(super) struct ScoreRow {
    pub(super) rank: u32,
    pub(super) id: String,
    pub(super) chosen: bool,
    pub(super) score: String,
    pub(super) probability: String,
    pub(super) verifier: String,
    pub(super) exact: u32,
    pub(super) cluster: u32,
    pub(super) files: u32,
    pub(super) similarity: String,
}

/// Builds the view.
pub(super) fn view(detail: &Detail, links: &Links) -> SelectionView {
    let s = &detail.selection;
    let stats: BTreeMap<&str, Stat> =
        detail.candidates.iter().map(|c| (c.candidate_id.as_str(), diff::stat(c.patch.as_deref()))).collect();
    SelectionView {
        id: detail.id.clone(),
        instance_id: clean(&s.instance_id).into_owned(),
        policy: s.policy.clone(),
        model: s.model.clone(),
        verifiers: s.verifiers.join(", "),
        when: When::new(&detail.created),
        candidates_word: count(s.candidates.len(), "candidate", "candidates"),
        verdict: verdict(detail, links),
        degraded: s
            .degraded
            .iter()
            .map(|d| Note { evidence: d.evidence.clone(), detail: clean(&d.detail).into_owned() })
            .collect(),
        issue: detail.issue.as_deref().filter(|t| !t.trim().is_empty()).map(|t| issue(t, links)),
        ranking: s.candidates.iter().map(|r| row(detail, r, &stats, links)).collect(),
        clusters: clusters(detail, &stats, links),
        scores: s.candidates.iter().map(|r| score(detail, r)).collect(),
    }
}

fn verdict(detail: &Detail, links: &Links) -> Verdict {
    let s = &detail.selection;
    let pick = s.chosen.as_deref().and_then(|id| s.candidates.iter().find(|c| c.candidate_id == id));
    let title = match (pick.is_some(), s.abstained) {
        (true, _) => "The pick",
        (false, true) => "Abstained: no candidate is good enough",
        (false, false) => "No pick",
    };
    Verdict {
        title,
        pick: pick.map(|p| links.candidate(&p.candidate_id, p.rank)),
        confidence: s.confidence.map(|c| Confidence {
            percent: percent(Some(c)),
            words: if pick.is_some() { "likely to resolve the issue" } else { "for the best candidate" },
            bar: bar(Some(c)),
        }),
        reasons: pick.map(reasons).unwrap_or_default(),
    }
}

/// The reasons of a candidate, cleaned: they may quote what the agent wrote.
pub(super) fn reasons(r: &Ranked) -> Vec<String> {
    r.reasons.iter().map(|t| clean(t).into_owned()).collect()
}

fn issue(text: &str, links: &Links) -> IssueText {
    let cut = clip(text, ISSUE_LINES, ISSUE_BYTES);
    IssueText {
        shown: clean(cut.shown).into_owned(),
        note: (cut.hidden_bytes > 0)
            .then(|| format!("{} bytes more are not shown.", grouped(cut.hidden_bytes))),
        raw: (cut.hidden_bytes > 0).then(|| links.raw_issue()),
    }
}

fn row(detail: &Detail, r: &Ranked, stats: &BTreeMap<&str, Stat>, links: &Links) -> Row {
    let id = r.candidate_id.as_str();
    let mut reasons = reasons(r).into_iter();
    let link = links.candidate(id, r.rank);
    Row {
        rank: r.rank,
        id: clean(id).into_owned(),
        chosen: detail.selection.chosen.as_deref() == Some(id),
        url: link.url,
        partial: link.partial,
        resolved: detail.outcome(id).map(|o| o.resolved),
        percent: percent(r.probability),
        bar: bar(r.probability),
        cluster: r.cluster + 1,
        cluster_colour: colour(r.cluster),
        cluster_size: r.votes.cluster,
        same: r.votes.exact,
        tests: r.tests.map(test_words).unwrap_or_default(),
        steps: detail.candidate(id).and_then(|c| c.steps).map_or_else(|| "–".to_owned(), |n| n.to_string()),
        change: stats.get(id).map(|s| s.words.clone()).unwrap_or_default(),
        dropped: r.dropped.map(stage),
        reason: reasons.next().unwrap_or_default(),
        more_reasons: reasons.collect(),
    }
}

fn colour(cluster: u32) -> u32 {
    cluster.min(CLUSTER_COLOURS - 1)
}

/// A stage in the page's words.
pub(super) fn stage(stage: DropStage) -> &'static str {
    match stage {
        DropStage::EmptyPatch => "empty patch",
        DropStage::Unfinished => "unfinished",
        DropStage::Regression => "out at regression tests",
        DropStage::Reproduction => "out at reproduction tests",
        DropStage::Verifier => "out at the verifier",
        DropStage::Votes => "out at the vote",
        DropStage::Steps => "out at steps",
    }
}

fn test_words(t: TestSummary) -> Vec<TestWord> {
    let words = [
        (t.regression_broken, "bad", "regression tests broken", "broken"),
        (t.reproduction_failed, "bad", "reproduction or generated tests that still fail", "fail"),
        (t.reproduction_passed, "good", "reproduction or generated tests that now pass", "fixed"),
        (t.regression_passed, "good", "regression tests that still pass", "kept"),
        (t.tampered, "odd", "tests that do not count because the patch edits them", "edited"),
        (t.unknown, "quiet", "tests of which nothing is known", "unknown"),
    ];
    let shown = words.into_iter().filter(|w| w.0 > 0);
    shown.map(|(n, class, title, word)| TestWord { class, title, text: format!("{n} {word}") }).collect()
}

fn clusters(detail: &Detail, stats: &BTreeMap<&str, Stat>, links: &Links) -> Vec<ClusterView> {
    let s = &detail.selection;
    let mut groups: BTreeMap<u32, Vec<&Ranked>> = BTreeMap::new();
    for r in &s.candidates {
        groups.entry(r.cluster).or_default().push(r);
    }
    let view = |(cluster, members): (u32, Vec<&Ranked>)| {
        let mut files: Vec<&str> = members
            .iter()
            .filter_map(|m| stats.get(m.candidate_id.as_str()))
            .flat_map(|s| s.files.iter().map(String::as_str))
            .collect();
        files.sort_unstable();
        files.dedup();
        let more = files.len().saturating_sub(FILES_IN_CLUSTER);
        ClusterView {
            number: cluster + 1,
            colour: colour(cluster),
            size: count(members.len(), "candidate", "candidates"),
            holds_pick: members.iter().any(|m| s.chosen.as_ref() == Some(&m.candidate_id)),
            members: members.iter().map(|m| links.candidate(&m.candidate_id, m.rank)).collect(),
            files: files.iter().take(FILES_IN_CLUSTER).map(|f| (*f).to_owned()).collect(),
            more_files: (more > 0).then(|| format!("and {}", count(more, "more file", "more files"))),
        }
    };
    groups.into_iter().map(view).collect()
}

fn score(detail: &Detail, r: &Ranked) -> ScoreRow {
    let three =
        |p: Option<f64>| p.filter(|p| p.is_finite()).map_or_else(|| "–".to_owned(), |p| format!("{p:.3}"));
    ScoreRow {
        rank: r.rank,
        id: clean(&r.candidate_id).into_owned(),
        chosen: detail.selection.chosen.as_ref() == Some(&r.candidate_id),
        score: three(Some(r.score)),
        probability: three(r.probability),
        verifier: three(r.verifier),
        exact: r.votes.exact,
        cluster: r.votes.cluster,
        files: r.votes.files,
        similarity: three(Some(r.votes.similarity)),
    }
}
