//! From records to issues: which candidates compete, under which ids, with which evidence.
//!
//! A run's folder often holds the same run several times: SWE-agent leaves `X.traj`, `X.pred` and `preds.json`,
//! OpenHands `output.jsonl` and its evaluated copy. Counting one run twice would give its patch two votes, so
//! copies are dropped here: the same conversation, and predictions that repeat a trajectory beside or below them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{Candidate, Outcome, SourceFormat, TestRun, VerifierScore};
use selector::{Evidence, PreparedPool};

use super::load::{Contents, Entry, Packed};
use super::walk::InputFile;

/// An issue with everything that was found about it.
#[derive(Debug, Default)]
pub struct Issue {
    /// Its candidates, ready to be selected from.
    pub pool: PreparedPool,
    /// Test runs and scores of these candidates.
    pub evidence: Evidence,
    /// What the table and the output files need beside the selection, by candidate id.
    pub details: BTreeMap<String, Details>,
}

/// What is known of a candidate beside what selection uses.
#[derive(Debug, Default)]
pub struct Details {
    /// Actions taken, where known.
    pub steps: Option<u32>,
    /// The label, when labels were asked for.
    pub outcome: Option<Box<Outcome>>,
    /// Where the pool says that the trajectory file is.
    pub trajectory_path: Option<String>,
    /// The candidate itself, when whole candidates were asked for. Its id may be another than the one here.
    pub whole: Option<Packed>,
}

impl Issue {
    /// Takes the whole candidates out of an issue that was read with `whole`, under the ids that they have here.
    pub fn unpack(&mut self) -> Vec<Candidate> {
        let Self { pool, details, .. } = self;
        let ids = pool.candidates.iter().map(|candidate| candidate.candidate_id.clone());
        ids.filter_map(|id| {
            let packed = details.get_mut(&id)?.whole.take()?;
            Some(Candidate { candidate_id: id, ..packed.unpack() })
        })
        .collect()
    }

    /// The whole candidates of an issue that was read with `whole`, under the ids that they have here, one after another:
    /// each is megabytes.
    pub fn whole(&self) -> impl Iterator<Item = Candidate> {
        self.pool.candidates.iter().filter_map(|candidate| {
            let id = &candidate.candidate_id;
            let packed = self.details.get(id)?.whole.as_ref()?;
            Some(Candidate { candidate_id: id.clone(), ..packed.unpack() })
        })
    }
}

/// Every issue, by id, and what was dropped on the way.
#[derive(Debug, Default)]
pub struct Grouped {
    /// The issues in the order of their ids.
    pub issues: BTreeMap<String, Issue>,
    /// In words: copies dropped, evidence about unknown candidates.
    pub notes: Vec<String>,
}

/// Groups what was read by issue.
pub fn group(files: &[InputFile], contents: Contents, scores: Vec<(String, VerifierScore)>) -> Grouped {
    let Contents { entries, tests, issues: texts, .. } = contents;
    let mut by_issue: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        by_issue.entry(entry.instance_id.clone()).or_default().push(entry);
    }
    let mut grouped = Grouped::default();
    let mut copies = 0;
    for (instance_id, entries) in by_issue {
        let before = entries.len();
        let mut entries = without_copies(files, entries);
        copies += before - entries.len();
        make_ids_unique(files, &instance_id, &mut entries);
        grouped.issues.insert(instance_id.clone(), issue(instance_id, entries));
    }
    if copies > 0 {
        grouped.notes.push(format!("{copies} copies of a run that another file holds too were left out"));
    }
    for (instance_id, text) in texts {
        if let Some(issue) = grouped.issues.get_mut(&instance_id) {
            issue.pool.issue = Some(text.into());
        }
    }
    add_evidence(&mut grouped, tests, scores);
    grouped
}

fn issue(instance_id: String, entries: Vec<Entry>) -> Issue {
    let mut issue =
        Issue { pool: PreparedPool { instance_id, ..PreparedPool::default() }, ..Issue::default() };
    for entry in entries {
        let id = entry.prepared.candidate_id.clone();
        if issue.pool.issue.is_none() {
            issue.pool.issue = entry.issue.map(Arc::from);
        }
        let steps = entry.prepared.facts.steps.or(entry.steps);
        let Entry { outcome, trajectory_path, whole, prepared, .. } = entry;
        issue.pool.candidates.push(Arc::new(prepared));
        issue.details.insert(id, Details { steps, outcome, trajectory_path, whole });
    }
    issue
}

/// Drops the second and later copies of a run.
fn without_copies(files: &[InputFile], entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = BTreeSet::new();
    let runs: Vec<(String, String)> = entries
        .iter()
        .filter(|entry| entry.content.is_some())
        .map(|entry| (folder(&files[entry.file]), entry.prepared.patch.trim().to_owned()))
        .collect();
    entries
        .into_iter()
        .filter(|entry| {
            if let Some(content) = &entry.content {
                return seen.insert(content.clone());
            }
            let file = &files[entry.file];
            let patch = entry.prepared.patch.trim();
            let repeats = entry.format == SourceFormat::Predictions
                && is_companion(&file.name)
                && runs.iter().any(|(below, of_run)| is_within(below, &folder(file)) && of_run == patch);
            !repeats
        })
        .collect()
}

/// Names under which scaffolds repeat their runs as predictions.
fn is_companion(name: &str) -> bool {
    let name = base(name);
    let stem = name.split('.').next().unwrap_or_default();
    matches!(stem, "preds" | "all_preds")
        || name.starts_with("output.swebench")
        || stem_and_end(name).1 == "pred"
}

fn stem_and_end(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or((name, ""))
}

/// The folder of a file on disk: names are relative to what was searched, which may differ between files.
fn folder(file: &InputFile) -> String {
    file.path.parent().map(|parent| parent.to_string_lossy().replace('\\', "/")).unwrap_or_default()
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn is_within(inner: &str, outer: &str) -> bool {
    outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Gives candidates of one issue that share an id the place of their file as id, numbered where that is not enough.
fn make_ids_unique(files: &[InputFile], instance_id: &str, entries: &mut [Entry]) {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries.iter() {
        *count.entry(entry.prepared.candidate_id.clone()).or_default() += 1;
    }
    let mut taken: BTreeSet<String> =
        count.iter().filter(|(_, count)| **count == 1).map(|(id, _)| id.clone()).collect();
    for entry in entries {
        if count[&entry.prepared.candidate_id] == 1 {
            continue;
        }
        let place = place(&files[entry.file].name, instance_id);
        let mut id = place.clone();
        let mut number = 2;
        while !taken.insert(id.clone()) {
            id = format!("{place}#{number}");
            number += 1;
        }
        entry.prepared.candidate_id = id;
    }
}

/// `runs/a/X/X.traj` of issue X → `runs/a`: the part of a path that tells runs apart.
pub(crate) fn place(name: &str, instance_id: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    if let Some(last) = parts.last_mut() {
        let whole = last.strip_prefix(instance_id).filter(|rest| rest.is_empty() || rest.starts_with('.'));
        *last = if whole.is_some() { instance_id } else { last.split('.').next().unwrap_or(last) };
    }
    let mut kept = parts.as_slice();
    while let [rest @ .., last] = kept {
        let says_nothing = [instance_id, "output", "preds", "all_preds"].contains(last);
        if !says_nothing || rest.is_empty() {
            break;
        }
        kept = rest;
    }
    kept.join("/")
}

fn add_evidence(grouped: &mut Grouped, tests: Vec<(String, TestRun)>, scores: Vec<(String, VerifierScore)>) {
    let mut unknown = BTreeSet::new();
    for (instance_id, run) in tests {
        let Some(issue) = grouped.issues.get_mut(&instance_id) else { continue };
        match &run.candidate_id {
            Some(id) if !issue.details.contains_key(id) => {
                unknown.insert(format!("{instance_id} {id}"));
            }
            _ => issue.evidence.tests.push(run),
        }
    }
    for (instance_id, score) in scores {
        let Some(issue) = grouped.issues.get_mut(&instance_id) else { continue };
        if issue.details.contains_key(&score.candidate_id) {
            issue.evidence.scores.push(score);
        } else {
            unknown.insert(format!("{instance_id} {}", score.candidate_id));
        }
    }
    if let Some(first) = unknown.first() {
        grouped.notes.push(format!(
            "evidence about {} candidates that were not given was left out, the first: {first}",
            unknown.len()
        ));
    }
}

#[cfg(test)]
mod tests {
    use common::{ExitStatus, TestKind, Trajectory, Turn};
    use selector::Prepared;

    use super::*;

    fn file(name: &str) -> InputFile {
        InputFile { path: format!("/data/{name}").into(), name: name.into(), named: false }
    }

    fn entry(file: usize, id: &str, format: SourceFormat, patch: &str, turns: usize) -> Entry {
        let trajectory = Trajectory {
            instance_id: "a__b-1".into(),
            turns: vec![Turn { content: id.into(), ..Turn::default() }; turns],
            patch: Some(patch.into()),
            source: format,
            ..Trajectory::default()
        };
        let content = (turns > 0).then(|| trajectory.content_id());
        Entry {
            instance_id: "a__b-1".into(),
            issue: None,
            prepared: Prepared::new(&Candidate { candidate_id: id.into(), trajectory }),
            exit: ExitStatus::Unknown,
            steps: None,
            format,
            content,
            trajectory_path: None,
            outcome: None,
            whole: None,
            file,
        }
    }

    fn ids(files: &[InputFile], entries: Vec<Entry>) -> Vec<String> {
        let grouped = group(files, Contents { entries, ..Contents::default() }, Vec::new());
        let pool = &grouped.issues["a__b-1"].pool;
        pool.candidates.iter().map(|candidate| candidate.candidate_id.clone()).collect()
    }

    #[test]
    fn a_run_and_its_prediction_are_one_candidate() {
        let files = [file("r1/a__b-1/a__b-1.traj"), file("r1/a__b-1/a__b-1.pred"), file("r1/preds.json")];
        let entries = vec![
            entry(0, "r1", SourceFormat::SweAgent, "+x", 2),
            entry(1, "r1/pred", SourceFormat::Predictions, "+x\n", 0),
            entry(2, "preds", SourceFormat::Predictions, "+x", 0),
        ];
        assert_eq!(ids(&files, entries), ["r1"]);
    }

    #[test]
    fn other_predictions_with_the_same_patch_keep_their_vote() {
        let files =
            [file("r1/a__b-1.traj"), file("r2/preds.json"), file("r1/mine.jsonl"), file("r10/preds.json")];
        let entries = vec![
            entry(0, "r1", SourceFormat::SweAgent, "+x", 2),
            entry(1, "r2", SourceFormat::Predictions, "+x", 0),
            entry(2, "mine#1", SourceFormat::Predictions, "+x", 0),
            entry(2, "mine#2", SourceFormat::Predictions, "+x", 0),
            entry(3, "r10", SourceFormat::Predictions, "+x", 0),
        ];
        assert_eq!(ids(&files, entries), ["r1", "r2", "mine#1", "mine#2", "r10"]);
    }

    #[test]
    fn the_same_conversation_twice_is_one_candidate() {
        let files = [file("output.jsonl"), file("output.swebench_eval.jsonl")];
        let one = entry(0, "x", SourceFormat::OpenHands, "+x", 2);
        let two = entry(1, "x", SourceFormat::OpenHands, "+x", 2);
        assert_eq!(ids(&files, vec![one, two]), ["x"]);
    }

    #[test]
    fn clashing_ids_become_places() {
        let files = [file("one/a__b-1.traj"), file("two/a__b-1.traj")];
        let entries = vec![
            entry(0, "x", SourceFormat::SweAgent, "+x", 1),
            entry(1, "x", SourceFormat::SweAgent, "+y", 2),
            entry(1, "x", SourceFormat::SweAgent, "+z", 3),
            entry(1, "y", SourceFormat::SweAgent, "+z", 4),
        ];
        assert_eq!(ids(&files, entries), ["one", "two", "two#2", "y"]);
    }

    #[test]
    fn a_place_is_what_tells_runs_apart() {
        for (name, expected) in [
            ("runs/a/a__b-1/a__b-1.traj.json", "runs/a"),
            ("a__b-1.traj", "a__b-1"),
            ("r/output.jsonl.xz", "r"),
            ("r/a__b-12.traj", "r/a__b-12"),
        ] {
            assert_eq!(place(name, "a__b-1"), expected, "{name}");
        }
    }

    #[test]
    fn evidence_about_strangers_is_left_out_and_said() {
        let files = [file("a.jsonl")];
        let run = |id: Option<&str>| TestRun {
            candidate_id: id.map(Into::into),
            kind: TestKind::Regression,
            suite: String::new(),
            results: BTreeMap::new(),
        };
        let tests = [Some("x"), None, Some("stranger")].map(|id| ("a__b-1".to_owned(), run(id)));
        let contents = Contents {
            entries: vec![entry(0, "x", SourceFormat::Pool, "+x", 0)],
            tests: tests.into(),
            ..Contents::default()
        };
        let grouped = group(&files, contents, Vec::new());
        assert_eq!(grouped.issues["a__b-1"].evidence.tests.len(), 2);
        assert!(grouped.notes[0].contains("stranger"), "{:?}", grouped.notes);
    }
}
