//! Layout `compact-v1`: the least frame around issue, turns and patch, for reward heads.

use common::{ExitStatus, Trajectory};

use super::document::{Builder, Document, Part, Speaker};
use super::steps::{Calls, issue, steps};
use super::{KEPT_TURNS, exempt};
use crate::backend::Layout;

/// Lays a trajectory out as one plain text.
///
/// Every mark begins a line, and every piece but the last ends with a line break, so that the borders of pieces are
/// borders of tokens too for the usual tokenizers.
pub(super) fn lay_out<'a>(given: &'a str, trajectory: &'a Trajectory) -> Document<'a> {
    let mut out = Builder::new(Layout::CompactV1);
    out.frame("[ISSUE]\n");
    out.add(Part::Issue, issue(given, trajectory).into(), false);
    out.frame("\n[/ISSUE]\n");
    out.end_shared();
    let steps = steps(trajectory, Calls::Lines);
    let count = steps.len();
    for (number, step) in steps.into_iter().enumerate() {
        let may_go = !exempt(number, count, KEPT_TURNS);
        out.frame("[TURN]\n");
        let both = !step.thought.is_empty() && !step.action.is_empty();
        out.add(Part::Thought(step.turn), step.thought, may_go);
        if both {
            out.frame("\n");
        }
        out.add(Part::Action(step.turn), step.action, false);
        out.frame("\n[/TURN]\n");
        out.end_turn();
        for (turn, observation) in step.observations {
            out.frame("[OBS]\n");
            out.add(Part::Observation(turn), observation.into(), may_go);
            out.frame("\n");
        }
    }
    out.frame(format!("[EXIT]\n{}\n[PATCH]\n", exit(trajectory.exit)));
    out.add(Part::Patch, trajectory.patch_text().trim_matches(['\n', '\r']).into(), false);
    out.frame("\n[SCORE]");
    out.end_message(Speaker::User);
    out.finish()
}

/// How the run ended, in words that no scaffold owns.
const fn exit(status: ExitStatus) -> &'static str {
    match status {
        ExitStatus::Submitted => "submitted",
        ExitStatus::SubmittedAtLimit => "submitted at limit",
        ExitStatus::Limit => "limit",
        ExitStatus::Error => "error",
        ExitStatus::Unknown => "unknown",
    }
}
