//! How a run ended, in one vocabulary.

use crate::ExitStatus;

/// Reads a scaffold's word for how a run ended. `has_patch` tells whether the run left a non-empty patch: scaffolds
/// that always take the diff report a limit and a patch together.
///
/// Knows SWE-agent (`submitted (exit_cost)`), mini-swe-agent (`LimitsExceeded`), OpenHands (error texts),
/// R2E-Gym (`max_step_limit`), nebius (`submit`) and names of exceptions.
pub fn exit_status(raw: &str, has_patch: bool) -> ExitStatus {
    let word = raw.trim().to_ascii_lowercase();
    if word.is_empty() || matches!(word.as_str(), "none" | "null" | "unknown") {
        return ExitStatus::Unknown;
    }
    if word.starts_with("submitted (") {
        return ExitStatus::SubmittedAtLimit;
    }
    if matches!(
        word.as_str(),
        "submitted" | "submit" | "agent" | "finish" | "finished" | "completed" | "success"
    ) {
        return ExitStatus::Submitted;
    }
    if LIMIT.iter().any(|part| word.contains(part)) {
        return if has_patch { ExitStatus::SubmittedAtLimit } else { ExitStatus::Limit };
    }
    ExitStatus::Error
}

/// Parts of words that tell of a limit.
const LIMIT: &[&str] = &[
    "exit_cost",
    "exit_context",
    "exit_total_execution_time",
    "exit_max",
    "_limit",
    "limitsexceeded",
    "limit exceeded",
    "timeexceeded",
    "timeout",
    "timed out",
    "maximum iteration",
    "max_iterations",
    "max iterations",
    "max_steps",
    "contextwindow",
    "context window",
    "budget",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scaffold_is_understood() {
        use ExitStatus::{Error, Limit, Submitted, SubmittedAtLimit, Unknown};
        let cases = [
            ("submitted", Submitted),
            ("Submitted", Submitted),
            ("submit", Submitted),
            ("agent", Submitted),
            ("submitted (exit_cost)", SubmittedAtLimit),
            ("submitted (exit_format)", SubmittedAtLimit),
            ("exit_cost", Limit),
            ("exit_context", Limit),
            ("exit_format", Error),
            ("early_exit", Error),
            ("LimitsExceeded", Limit),
            ("TimeExceeded", Limit),
            ("RepeatedFormatError", Error),
            ("RuntimeError", Error),
            ("max_step_limit", Limit),
            ("token_limit", Limit),
            ("traj_time_limit", Limit),
            ("llm_query_error", Error),
            ("RuntimeError: Agent reached maximum iteration in headless mode", Limit),
            ("AgentStuckInLoopError: Agent got stuck in a loop", Error),
            ("", Unknown),
        ];
        for (raw, expected) in cases {
            assert_eq!(exit_status(raw, false), expected, "{raw}");
        }
        assert_eq!(exit_status("LimitsExceeded", true), SubmittedAtLimit);
    }
}
