//! What a trajectory shows about its patch, whatever scaffold wrote it. Nothing here names the agent.

pub mod actions;
mod outcome;

use self::actions::{Kind, Step};
use crate::{ExitStatus, Role, Trajectory};

/// Facts about one run; `None` where the trajectory does not say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// How the run ended.
    pub exit: ExitStatus,
    /// Whether the agent itself declared the work done.
    pub finished: Option<bool>,
    /// Messages of the conversation, of every role.
    pub turns: Option<u32>,
    /// Actions taken: the scaffold's count, else the assistant's turns.
    pub steps: Option<u32>,
    /// What the conversation shows, where there is one.
    pub work: Option<Work>,
}

/// What happened in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// Actions of the assistant.
    pub actions: u32,
    /// Actions that edit files.
    pub edits: u32,
    /// Edits that the environment refused.
    pub failed_edits: u32,
    /// Actions that run code.
    pub runs: u32,
    /// Actions that run a test suite.
    pub tests: u32,
    /// Actions after the last edit that took effect.
    pub after_last_edit: u32,
    /// What the last run of code after the last edit said; `None` when there was none.
    pub last_run: Option<Outcome>,
    /// What the last run of tests after the last edit said; `None` when there was none.
    pub last_test: Option<Outcome>,
    /// Share of observations that show an error.
    pub errors: f64,
    /// Share of the last three observations that do.
    pub late_errors: f64,
    /// Whether code ran before the last edit, so that the edit could answer to it.
    pub ran_before_edit: bool,
    /// Share of actions that repeat an earlier one word by word.
    pub repeats: f64,
}

/// What a run of code said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing went wrong, and something says so.
    Passed,
    /// Something went wrong.
    Failed,
    /// Neither is visible.
    Silent,
}

impl Facts {
    /// Reads the facts off a trajectory.
    pub fn of(trajectory: &Trajectory) -> Self {
        let turns = &trajectory.turns;
        let acted = turns.iter().filter(|turn| turn.role == Role::Assistant).count() as u32;
        Self {
            exit: trajectory.exit,
            finished: finished(trajectory),
            turns: (!turns.is_empty()).then_some(turns.len() as u32),
            steps: trajectory.steps.or((acted > 0).then_some(acted)),
            work: (acted > 0).then(|| Work::of(&steps(turns))),
        }
    }
}

impl Work {
    /// What these steps, the first of a conversation or all, show.
    pub fn of(steps: &[Step]) -> Self {
        let of = |kind: Kind| steps.iter().filter(|step| step.is(kind)).count() as u32;
        let last_edit = steps.iter().rposition(|step| step.took());
        let later = &steps[last_edit.map_or(0, |at| at)..];
        let last = |kind: Kind| {
            let ran = later.iter().rev().find(|step| step.is(kind))?;
            last_edit.map(|_| ran.outcome)
        };
        // The last action hands the patch in; what it shows is the patch.
        let observed = &steps[..steps.len().saturating_sub(1).max(1).min(steps.len())];
        let errors = |of: &[Step]| {
            let bad = of.iter().filter(|step| step.shows_error()).count();
            bad as f64 / of.len().max(1) as f64
        };
        let repeated = steps.iter().filter(|step| step.repeats).count();
        let took = steps.iter().filter(|step| step.took()).count() as u32;
        Self {
            actions: steps.len() as u32,
            edits: of(Kind::Edit),
            failed_edits: of(Kind::Edit) - took,
            runs: of(Kind::Run),
            tests: of(Kind::Test),
            after_last_edit: last_edit.map_or(steps.len(), |at| steps.len() - 1 - at) as u32,
            last_run: last(Kind::Run),
            last_test: last(Kind::Test),
            errors: errors(observed),
            late_errors: errors(&observed[observed.len().saturating_sub(3)..]),
            ran_before_edit: last_edit.is_some_and(|at| steps[..at].iter().any(|step| step.is(Kind::Run))),
            repeats: repeated as f64 / steps.len().max(1) as f64,
        }
    }
}

fn steps(turns: &[crate::Turn]) -> Vec<Step> {
    actions::of(turns).iter().map(|action| action.step).collect()
}

/// Whether the agent itself declared the work done. The exit status decides; where it is unknown, whether the last assistant turn calls a finish tool.
pub fn finished(trajectory: &Trajectory) -> Option<bool> {
    match trajectory.exit {
        ExitStatus::Submitted => Some(true),
        ExitStatus::SubmittedAtLimit | ExitStatus::Limit | ExitStatus::Error => Some(false),
        ExitStatus::Unknown => {
            let last = trajectory.turns.iter().rev().find(|turn| turn.role == Role::Assistant)?;
            let called = last.tool_calls.iter().any(|call| is_finish(&call.name));
            Some(called || FINISH_MARKS.iter().any(|mark| last.content.contains(mark)))
        }
    }
}

/// What scaffolds without structured calls print when the agent hands in its work.
const FINISH_MARKS: [&str; 4] = [
    "<function=finish>",
    "<function=submit>",
    "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT",
    "MINI_SWE_AGENT_FINAL_OUTPUT",
];

/// Tool names that end a run.
fn is_finish(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "finish" | "submit" | "complete" | "task_done" | "done")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ToolCall, Turn};

    fn turn(role: Role, content: &str) -> Turn {
        Turn { role, content: content.to_owned(), ..Turn::default() }
    }

    fn work(turns: Vec<Turn>) -> Work {
        Facts::of(&Trajectory { turns, ..Trajectory::default() }).work.unwrap()
    }

    #[test]
    fn tests_after_the_last_edit_count_and_earlier_ones_do_not() {
        let mut turns = vec![
            turn(Role::User, "the issue"),
            turn(Role::Assistant, "```bash\npython -m pytest tests\n```"),
            turn(Role::User, "=== 2 failed, 3 passed ==="),
            turn(Role::Assistant, "```bash\nsed -i 's/a/b/' x.py\n```"),
            turn(Role::User, ""),
        ];
        let before = work(turns.clone());
        assert_eq!((before.last_test, before.ran_before_edit, before.after_last_edit), (None, true, 0));
        turns.push(turn(Role::Assistant, "```bash\npytest -q\n```"));
        turns.push(turn(Role::User, "=== 5 passed in 0.1s ==="));
        turns.push(turn(Role::Assistant, "```bash\nsubmit\n```"));
        let after = work(turns);
        assert_eq!(after.last_test, Some(Outcome::Passed));
        assert_eq!((after.tests, after.edits, after.after_last_edit), (2, 1, 2));
    }

    #[test]
    fn structured_calls_are_read_too() {
        let call = |name: &str, arguments: &str| Turn {
            role: Role::Assistant,
            tool_calls: vec![ToolCall { id: None, name: name.into(), arguments: arguments.into() }],
            ..Turn::default()
        };
        let shown = work(vec![
            call("str_replace_editor", r#"{"command":"str_replace","path":"a.py"}"#),
            turn(Role::Tool, "No replacement was performed, old_str did not appear verbatim"),
            call("str_replace_editor", r#"{"command":"view","path":"a.py"}"#),
            turn(Role::Tool, "1 x = 1"),
            call("str_replace_editor", r#"{"command":"insert","path":"a.py"}"#),
            turn(Role::Tool, "The file has been edited"),
            call("bash", r#"{"command":"cd /x && go test ./..."}"#),
            turn(Role::Tool, "--- FAIL: TestX"),
            call("finish", "{}"),
        ]);
        assert_eq!((shown.edits, shown.failed_edits, shown.tests), (2, 1, 1));
        assert_eq!(shown.last_test, Some(Outcome::Failed));
        assert!((shown.late_errors - 1.0 / 3.0).abs() < 1e-9, "{shown:?}");
    }

    #[test]
    fn finishing_is_read_off_the_exit_or_the_last_turn() {
        let ends = |exit, last: &str| {
            let turns = vec![turn(Role::Assistant, last), turn(Role::User, "ok")];
            Facts::of(&Trajectory { turns, exit, ..Trajectory::default() }).finished
        };
        assert_eq!(ends(ExitStatus::Submitted, ""), Some(true));
        assert_eq!(ends(ExitStatus::SubmittedAtLimit, "<function=finish>"), Some(false));
        assert_eq!(ends(ExitStatus::Unknown, "done. <function=finish></function>"), Some(true));
        assert_eq!(ends(ExitStatus::Unknown, "ls"), Some(false));
        assert_eq!(Facts::of(&Trajectory::default()).finished, None);
    }
}
