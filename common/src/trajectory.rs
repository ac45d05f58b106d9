//! A coding agent's run on one issue, whatever scaffold wrote it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One run of an agent on one issue.
///
/// Carries nothing that says whether the run resolved the issue: labels and reference patches go to an
/// [`Outcome`](crate::Outcome) when a file is read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trajectory {
    /// The issue's identifier, such as `django__django-11099`; empty when the file does not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instance_id: String,
    /// The text of the issue, where the file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    /// The conversation, oldest turn first; empty for a patch without a trajectory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<Turn>,
    /// The final patch as a git diff. `None`: the file holds none; `Some("")`: the agent changed nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// How the run ended, in one vocabulary for all scaffolds.
    pub exit: ExitStatus,
    /// The scaffold's own word for how the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_raw: Option<String>,
    /// Actions that the agent took (assistant turns that acted), where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// What the run cost in US dollars, where known; finite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// The format it was read from.
    pub source: SourceFormat,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Turn {
    /// Who wrote it.
    pub role: Role,
    /// The text; for an assistant turn without the reasoning and the structured tool calls.
    pub content: String,
    /// Reasoning that the scaffold kept apart from the text (thought, reasoning_content).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Actions the assistant asked for in this turn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// On a tool turn: the call that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// A structured call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ToolCall {
    /// The scaffold's identifier of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The tool, such as `bash` or `str_replace_editor`.
    pub name: String,
    /// Its arguments: JSON text where the scaffold has named arguments, else the command line itself.
    pub arguments: String,
}

/// Who wrote a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions of the scaffold.
    System,
    /// The issue, or an observation in scaffolds without a tool role.
    #[default]
    User,
    /// The policy. Only these turns ever carry a loss.
    Assistant,
    /// An observation from the environment.
    Tool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// The agent said it was done and handed in its patch.
    Submitted,
    /// The scaffold took the patch as it was when a limit of cost, steps, context or time struck.
    SubmittedAtLimit,
    /// A limit ended the run without a submission.
    Limit,
    /// The agent, its output format or its environment failed.
    Error,
    /// The file does not say.
    #[default]
    Unknown,
}

/// The formats that readers know, by the scaffold or benchmark that writes them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum SourceFormat {
    /// EntroPO's own JSON: a [`Trajectory`] or [`Candidate`] as serialised here.
    #[default]
    Native,
    /// SWE-agent `.traj`.
    SweAgent,
    /// mini-swe-agent `.traj.json`, versions 1 and 1.1.
    MiniSweAgent,
    /// A bare list of chat messages.
    Chat,
    /// OpenHands `output.jsonl` (events, pairs or SDK events), before or after evaluation.
    OpenHands,
    /// R2E-Gym trajectory rows.
    R2eGym,
    /// SWE-smith and other `messages` + `instance_id` rows.
    SweSmith,
    /// nebius and nvidia rows (`trajectory` + `model_patch`).
    Nebius,
    /// Agentless outputs.
    Agentless,
    /// Trae candidate pools (`patches`).
    Trae,
    /// Trae agent trajectories (`agent_steps`).
    TraeAgent,
    /// Augment candidate pools (`diffs`).
    Augment,
    /// CodeFuse event logs: one file a run.
    CodeFuse,
    /// LLaMA-Factory conversations: supervised, DPO and KTO rows.
    LlamaFactory,
    /// SWE-bench predictions: rows, list or dict; Multi-SWE-bench's rows.
    Predictions,
    /// Labelled candidate pools: `instance_id`, `candidate_id`, `patch`.
    Pool,
    /// SWE-bench `report.json` (labels only).
    SweBenchReport,
    /// SWE-bench run report or leaderboard results (labels only).
    SweBenchRun,
    /// Texts of issues: `instance_id`, `problem_statement`.
    Issues,
    /// Test evidence: `instance_id`, `candidate_id`, `kind`, `suite`, `passed`, `failed`, `missing`.
    TestRuns,
}

impl SourceFormat {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 20] = [
        Self::Native,
        Self::SweAgent,
        Self::MiniSweAgent,
        Self::Chat,
        Self::OpenHands,
        Self::R2eGym,
        Self::SweSmith,
        Self::Nebius,
        Self::Agentless,
        Self::Trae,
        Self::TraeAgent,
        Self::Augment,
        Self::CodeFuse,
        Self::LlamaFactory,
        Self::Predictions,
        Self::Pool,
        Self::SweBenchReport,
        Self::SweBenchRun,
        Self::Issues,
        Self::TestRuns,
    ];

    /// Its name on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::SweAgent => "swe-agent",
            Self::MiniSweAgent => "mini-swe-agent",
            Self::Chat => "chat",
            Self::OpenHands => "open-hands",
            Self::R2eGym => "r2e-gym",
            Self::SweSmith => "swe-smith",
            Self::Nebius => "nebius",
            Self::Agentless => "agentless",
            Self::Trae => "trae",
            Self::TraeAgent => "trae-agent",
            Self::Augment => "augment",
            Self::CodeFuse => "code-fuse",
            Self::LlamaFactory => "llama-factory",
            Self::Predictions => "predictions",
            Self::Pool => "pool",
            Self::SweBenchReport => "swe-bench-report",
            Self::SweBenchRun => "swe-bench-run",
            Self::Issues => "issues",
            Self::TestRuns => "test-runs",
        }
    }
}

impl fmt::Display for SourceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SourceFormat {
    type Err = UnknownFormat;

    /// Accepts the name on the wire; letter case, `_` and missing hyphens do not matter (`openhands`, `R2E_Gym`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |text: &str| text.replace(['-', '_', ' '], "").to_ascii_lowercase();
        let wanted = plain(text);
        let found = Self::ALL.into_iter().find(|format| plain(format.name()) == wanted);
        found.ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// A name that is no format's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{0}`; known are {known}", known = SourceFormat::ALL.map(SourceFormat::name).join(", "))]
pub struct UnknownFormat(pub String);

/// A trajectory that stands for selection, under an id unique within its issue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Unique among the candidates of the issue. Scores and tests are joined by it, never by position.
    pub candidate_id: String,
    /// The run.
    #[serde(flatten)]
    pub trajectory: Trajectory,
}

impl Trajectory {
    /// The patch, with "none known" read as empty.
    pub fn patch_text(&self) -> &str {
        self.patch.as_deref().unwrap_or_default()
    }

    /// The content address: 32 hex digits of BLAKE3 over the canonical JSON. Equal runs have equal addresses.
    pub fn content_id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        serde_json::to_writer(&mut hasher, self)
            .expect("a trajectory is serialisable: string keys, finite numbers");
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// What identifies the prompt of a run: BLAKE3 (16 bytes, hex) of the turns up to and including the first user turn.
    /// Preference pairs need runs with the same prompt. `None` for a run without a user turn.
    pub fn prompt_id(&self) -> Option<String> {
        let first_user = self.turns.iter().position(|turn| turn.role == Role::User)?;
        let mut hasher = blake3::Hasher::new();
        for turn in &self.turns[..=first_user] {
            // The length keeps two turns apart whatever they contain.
            hasher.update(&[turn.role as u8]);
            hasher.update(&(turn.content.len() as u64).to_le_bytes());
            hasher.update(turn.content.as_bytes());
        }
        Some(hasher.finalize().to_hex()[..32].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_names_are_those_on_the_wire() {
        for format in SourceFormat::ALL {
            assert_eq!(serde_json::to_value(format).unwrap(), format.name());
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert_eq!("R2E_Gym".parse(), Ok(SourceFormat::R2eGym));
        assert_eq!("openhands".parse(), Ok(SourceFormat::OpenHands));
        let error = "nope".parse::<SourceFormat>().unwrap_err();
        assert!(error.to_string().starts_with("unknown format `nope`; known are native, "));
    }
}
