//! What a trajectory shows about its patch, whatever scaffold wrote it. Nothing here names the agent.

use common::{ExitStatus, Role, Trajectory};

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
        }
    }
}

/// The exit status decides; where it is unknown, whether the last assistant turn calls a finish tool.
fn finished(trajectory: &Trajectory) -> Option<bool> {
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
