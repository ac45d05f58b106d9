//! A candidate as a request gives it.

use common::{Candidate, ExitStatus, SourceFormat, Trajectory, Turn};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A candidate in EntroPO's own form. Everything is optional: a patch alone will do.
///
/// The fields of `common::Trajectory`, spelled out instead of flattened, so that an error names the field and a large
/// body is not buffered.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CandidateIn {
    /// Unique among the candidates of the issue; its content address when it is left out.
    #[schema(min_length = 1, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f]+$")]
    candidate_id: Option<String>,
    /// The issue; that of the request when it is left out.
    #[schema(min_length = 1, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f]+$")]
    instance_id: Option<String>,
    /// The text of the issue.
    issue: Option<String>,
    /// The conversation, oldest turn first.
    turns: Vec<Turn>,
    /// The final patch as a git diff; an empty one means that the agent changed nothing.
    patch: Option<String>,
    /// How the run ended.
    exit: ExitStatus,
    /// The scaffold's own word for how the run ended.
    exit_raw: Option<String>,
    /// Actions that the agent took.
    #[schema(minimum = 0, maximum = 4_294_967_295_u32)]
    steps: Option<u32>,
    /// What the run cost in US dollars.
    cost: Option<f64>,
    /// The format it was read from.
    source: SourceFormat,
}

impl CandidateIn {
    /// The field of an id that is given and empty.
    pub(super) fn empty_id(&self) -> Option<&'static str> {
        let ids = [("candidate_id", &self.candidate_id), ("instance_id", &self.instance_id)];
        ids.into_iter().find(|(_, id)| id.as_deref() == Some("")).map(|(name, _)| name)
    }

    /// The same as the rest of the program knows it; ids may still be empty.
    pub fn into_candidate(self) -> Candidate {
        let trajectory = Trajectory {
            instance_id: self.instance_id.unwrap_or_default(),
            issue: self.issue,
            turns: self.turns,
            patch: self.patch,
            exit: self.exit,
            exit_raw: self.exit_raw,
            steps: self.steps,
            cost: self.cost,
            source: self.source,
        };
        Candidate { candidate_id: self.candidate_id.unwrap_or_default(), trajectory }
    }
}

#[cfg(test)]
mod tests {
    use common::{Role, ToolCall};

    use super::*;

    #[test]
    fn takes_every_field_that_a_candidate_is_written_with() {
        let turn = Turn {
            role: Role::Assistant,
            content: "text".into(),
            reasoning: Some("why".into()),
            tool_calls: vec![ToolCall { id: Some("1".into()), name: "bash".into(), arguments: "ls".into() }],
            tool_call_id: Some("1".into()),
        };
        let trajectory = Trajectory {
            instance_id: "a__b-1".into(),
            issue: Some("broken".into()),
            turns: vec![turn],
            patch: Some("diff".into()),
            exit: ExitStatus::Submitted,
            exit_raw: Some("submitted".into()),
            steps: Some(3),
            cost: Some(0.5),
            source: SourceFormat::SweAgent,
        };
        let candidate = Candidate { candidate_id: "one".into(), trajectory };
        let written = serde_json::to_string(&candidate).unwrap();
        let read: CandidateIn = serde_json::from_str(&written).unwrap();
        assert_eq!(read.into_candidate(), candidate);
    }
}
