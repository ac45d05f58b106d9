//! What a run shows, up to any of its turns.

use common::{
    Trajectory,
    facts::{
        Outcome, Work,
        actions::{Action, Step},
        finished,
    },
};

use super::{Facts, flag, issue::tail, log};

/// What one action adds to the sums below.
#[expect(clippy::struct_excessive_bools, reason = "each says one independent thing")]
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    /// Shows files.
    views: bool,
    /// Searches.
    searches: bool,
    /// Writes a script that tries something.
    scripts: bool,
    /// Bytes of the observation and of what the agent said.
    observed: f64,
    said: f64,
    /// The observation names a syntax error, a missing file or command, a limit of time.
    syntax: bool,
    missing: bool,
    timeout: bool,
    /// What the agent says: done, in doubt, sorry.
    claims: f64,
    doubts: f64,
}

/// A run's actions.
#[derive(Debug)]
pub(super) struct Run<'a> {
    actions: Vec<Action<'a>>,
    steps: Vec<Step>,
    looks: Vec<Look>,
    finished: Option<bool>,
}

impl<'a> Run<'a> {
    /// Reads a run.
    pub(super) fn of(trajectory: &'a Trajectory) -> Self {
        let actions = common::facts::actions::of(&trajectory.turns);
        let says: Vec<&str> =
            actions.iter().map(|action| trajectory.turns[action.turn].content.as_str()).collect();
        let looks = actions.iter().zip(&says).map(|(action, said)| Look::of(action, said)).collect();
        Self {
            steps: actions.iter().map(|action| action.step).collect(),
            looks,
            finished: finished(trajectory),
            actions,
        }
    }

    /// How many turns of the assistant there are.
    pub(super) fn len(&self) -> usize {
        self.actions.len()
    }

    /// Facts of the first `count` actions; the observation of the last is seen only with `whole`.
    pub(super) fn facts(&self, count: usize, whole: bool, facts: &mut Facts) {
        if count == 0 {
            return;
        }
        let mut steps = self.steps[..count].to_vec();
        let mut looks = self.looks[..count].to_vec();
        if !whole {
            steps[count - 1] = steps[count - 1].unanswered();
            looks[count - 1] = looks[count - 1].unanswered();
        }
        work(&Work::of(&steps), facts);
        course(&steps, facts);
        sums(&looks, facts);
        self.reruns(&steps, facts);
        if whole && let Some(finished) = self.finished {
            facts.put("r_finished", flag(finished));
        }
    }

    /// Whether the same command failed before an edit and no longer does after it, and how the last rerun went.
    fn reruns(&self, steps: &[Step], facts: &mut Facts) {
        let ran: Vec<usize> = (0..steps.len()).filter(|&at| steps[at].runs && !steps[at].edits).collect();
        let (mut fixed, mut broke, mut still) = (0.0, 0.0, 0.0);
        for (place, &at) in ran.iter().enumerate() {
            let same = |&&before: &&usize| self.actions[before].text.trim() == self.actions[at].text.trim();
            let Some(&before) = ran[..place].iter().rev().find(same) else { continue };
            let failed = |at: usize| steps[at].outcome == Outcome::Failed;
            match (failed(before), failed(at)) {
                (true, false) => fixed += 1.0,
                (false, true) => broke += 1.0,
                (true, true) => still += 1.0,
                (false, false) => {}
            }
        }
        facts.put("r_rerun_fixed", log(fixed));
        facts.put("r_rerun_broke", log(broke));
        facts.put("r_rerun_still", log(still));
    }

    /// Facts of the whole run against its patch: whether the changed files were looked at, and when first.
    pub(super) fn against<'b>(&self, names: impl Iterator<Item = &'b str>, facts: &mut Facts) {
        let (mut first, mut count, mut files) = (0.0_f64, 0.0, 0.0);
        for name in names.filter(|name| !name.is_empty()).take(8) {
            let met: Vec<usize> =
                (0..self.actions.len()).filter(|&at| self.actions[at].text.contains(name)).collect();
            let place = met.first().map_or(1.0, |&at| at as f64 / self.actions.len() as f64);
            first = first.max(place);
            count += met.len() as f64 / self.actions.len() as f64;
            files += 1.0;
        }
        if files > 0.0 && !self.actions.is_empty() {
            facts.put("r_first_seen", first);
            facts.put("r_file_share", count / files);
        }
    }
}

impl Look {
    fn of(action: &Action<'_>, said: &str) -> Self {
        let first = action.text.trim_start().lines().next().unwrap_or_default();
        let starts = |words: &[&str]| {
            let mut commands = first.split(['|', '&', ';']).filter_map(|part| part.split_whitespace().next());
            commands.any(|command| words.contains(&command))
        };
        let has = |words: &[&str]| words.iter().any(|word| action.text.contains(word));
        let seen = |words: &[&str]| {
            let end = tail(action.observation, 4_000);
            words.iter().any(|word| end.contains(word))
        };
        let says = |phrases: &[&str]| {
            let said = tail(said, 2_000).to_ascii_lowercase();
            phrases.iter().filter(|phrase| said.contains(*phrase)).count() as f64
        };
        Self {
            views: starts(&[
                "cat",
                "open",
                "head",
                "tail",
                "less",
                "sed",
                "nl",
                "goto",
                "scroll_down",
                "scroll_up",
                "view",
            ]) || has(&["\"command\":\"view\"", "\"command\": \"view\""]),
            searches: starts(&["grep", "find", "ls", "rg", "search_file", "search_dir", "find_file", "tree"]),
            scripts: action.step.edits && has(&["reproduc", "repro.", "test_", "debug", "verify", "/tmp/"])
                || starts(&["create"]),
            observed: action.observation.len() as f64,
            said: said.len() as f64,
            syntax: seen(&["SyntaxError", "IndentationError", "E999", "cannot find symbol"]),
            missing: seen(&["command not found", "No such file", "ModuleNotFoundError", "No module named"]),
            timeout: seen(&["timed out", "TimeoutExpired", "timeout"]),
            claims: says(&CLAIMS),
            doubts: says(&DOUBTS),
        }
    }

    /// Without the observation.
    fn unanswered(self) -> Self {
        Self { observed: 0.0, syntax: false, missing: false, timeout: false, ..self }
    }
}

const CLAIMS: [&str; 14] = [
    "all tests pass",
    "tests passed",
    "now works",
    "works as expected",
    "works correctly",
    "successfully",
    "has been fixed",
    "is fixed",
    "resolved",
    "as expected",
    "confirms",
    "verified",
    "passes",
    "correctly",
];
const DOUBTS: [&str; 16] = [
    "however",
    "unable",
    "cannot",
    "apologi",
    "sorry",
    "mistake",
    "still fail",
    "not possible",
    "let's try",
    "try again",
    "unexpected",
    "it seems",
    "it appears",
    "not found",
    "failed",
    "error",
];

fn work(work: &Work, facts: &mut Facts) {
    let is = |outcome: Option<Outcome>, wanted: Option<Outcome>| flag(outcome == wanted);
    facts.put("r_actions", log(f64::from(work.actions)));
    facts.put("r_edits", log(f64::from(work.edits)));
    facts.put("r_edit_share", f64::from(work.edits) / f64::from(work.actions.max(1)));
    facts.put("r_failed_edits", log(f64::from(work.failed_edits)));
    facts.put("r_runs", log(f64::from(work.runs)));
    facts.put("r_tests", log(f64::from(work.tests)));
    facts.put("r_after_edit", log(f64::from(work.after_last_edit)));
    facts.put("r_no_edit", flag(work.edits == work.failed_edits));
    facts.put("r_run_none", is(work.last_run, None));
    facts.put("r_run_passed", is(work.last_run, Some(Outcome::Passed)));
    facts.put("r_run_failed", is(work.last_run, Some(Outcome::Failed)));
    facts.put("r_test_none", is(work.last_test, None));
    facts.put("r_test_passed", is(work.last_test, Some(Outcome::Passed)));
    facts.put("r_test_failed", is(work.last_test, Some(Outcome::Failed)));
    facts.put("r_errors", work.errors);
    facts.put("r_late_errors", work.late_errors);
    facts.put("r_ran_before", flag(work.ran_before_edit));
    facts.put("r_repeats", work.repeats);
}

/// When edits and failures came.
fn course(steps: &[Step], facts: &mut Facts) {
    let size = steps.len() as f64;
    let first = steps.iter().position(|step| step.took());
    let last = steps.iter().rposition(|step| step.took());
    let failed = |steps: &[Step]| steps.iter().any(|step| step.runs && step.outcome == Outcome::Failed);
    let ok = |steps: &[Step]| steps.iter().any(|step| step.runs && step.outcome != Outcome::Failed);
    if let (Some(first), Some(last)) = (first, last) {
        facts.put("r_first_edit", first as f64 / size);
        facts.put("r_first_edit_at", log(first as f64));
        facts.put("r_last_edit", last as f64 / size);
        facts.put("r_failed_before", flag(failed(&steps[..first])));
        facts.put("r_turned", flag(failed(&steps[..first]) && ok(&steps[last..])));
        facts.put("r_edit_span", (last - first) as f64 / size);
        let streak = steps[last..].iter().filter(|step| step.runs && step.outcome != Outcome::Failed).count();
        facts.put("r_good_runs_after", log(streak as f64));
    }
    let fails = steps.iter().filter(|step| step.runs && step.outcome == Outcome::Failed).count();
    let runs = steps.iter().filter(|step| step.runs).count();
    facts.put("r_run_fail_share", fails as f64 / (runs as f64 + 1.0));
    let error_run = steps.iter().rev().skip(1).take_while(|step| step.shows_error()).count();
    facts.put("r_error_streak", log(error_run as f64));
}

fn sums(looks: &[Look], facts: &mut Facts) {
    let size = looks.len() as f64;
    let sum = |of: &dyn Fn(&Look) -> f64| looks.iter().map(of).sum::<f64>();
    let longest = looks.iter().map(|look| look.observed).fold(0.0, f64::max);
    let late = &looks[looks.len().saturating_sub(3)..];
    facts.put("r_views", sum(&|look| flag(look.views)) / size);
    facts.put("r_searches", sum(&|look| flag(look.searches)) / size);
    facts.put("r_scripts", log(sum(&|look| flag(look.scripts))));
    facts.put("r_observed", log(sum(&|look| look.observed) / size));
    facts.put("r_observed_longest", log(longest));
    facts.put("r_said", log(sum(&|look| look.said) / size));
    facts.put("r_said_last", log(late.last().map_or(0.0, |look| look.said)));
    facts.put("r_syntax", sum(&|look| flag(look.syntax)) / size);
    facts.put("r_missing", sum(&|look| flag(look.missing)) / size);
    facts.put("r_timeouts", sum(&|look| flag(look.timeout)) / size);
    facts.put("r_claims", late.iter().map(|look| look.claims).sum::<f64>().min(6.0));
    facts.put("r_doubts", late.iter().map(|look| look.doubts).sum::<f64>().min(6.0));
    facts.put("r_doubts_all", sum(&|look| look.doubts) / size);
    facts.put("r_claims_all", sum(&|look| look.claims) / size);
}
