//! CodeFuse event logs: a line an event, a file a run. Events are gathered, and the run is handed over at its end.

use serde_json::Value;

use super::super::ids::NameIds;
use super::super::json::{self, Object, non_empty, str_of, take_object, take_str};
use super::super::labels::{self, Stripped};
use super::{CandidateDraft, chat, swe_agent};
use crate::{Role, SourceFormat, Trajectory, Turn};

/// A run as far as its events are read.
#[derive(Debug, Default)]
pub(in crate::formats) struct EventLog {
    session: Option<String>,
    turns: Vec<Turn>,
    patch: Option<String>,
    stripped: Stripped,
    bytes: usize,
}

impl EventLog {
    /// Whether the event is of another run than the events so far.
    pub(in crate::formats) fn is_other(&self, event: &Object) -> bool {
        let session = str_of(event, "session_id");
        session.is_some() && self.session.as_deref().is_some_and(|known| Some(known) != session)
    }

    /// Size of the text gathered, in bytes.
    pub(in crate::formats) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes in the next event. Messages of user, assistant and tools are turns; what the summary gives as `git_diff` is
    /// the patch; the rest is bookkeeping, and names the agent.
    pub(in crate::formats) fn add(&mut self, mut event: Object) {
        self.stripped.extend(labels::strip(&mut event));
        if self.session.is_none() {
            self.session = str_of(&event, "session_id").map(str::to_owned);
        }
        if let Some(patch) = patch(&mut event) {
            self.bytes += patch.len();
            self.patch = Some(patch);
        }
        let role = match str_of(&event, "event_type").unwrap_or_default() {
            "system_message" | "system_prompt" => "system",
            "user_message" => "user",
            "assistant_response" | "assistant_message" => "assistant",
            "tool_result" => "tool",
            _ => return,
        };
        event.insert("role".to_owned(), Value::from(role));
        let turn = chat::turn(event);
        let calls: usize = turn.tool_calls.iter().map(|call| call.arguments.len()).sum();
        self.bytes += turn.content.len() + calls;
        self.turns.push(turn);
    }

    /// The run, named by its file: events do not say the issue. It is done when the agent's last word calls no tool.
    pub(in crate::formats) fn finish(self, name: &NameIds) -> CandidateDraft {
        let done =
            self.turns.last().is_some_and(|turn| turn.role == Role::Assistant && turn.tool_calls.is_empty());
        let exit_raw = done.then(|| "finished".to_owned());
        CandidateDraft {
            trajectory: Trajectory {
                instance_id: name.instance.clone(),
                issue: chat::issue_in(&self.turns),
                exit: swe_agent::exit_of(exit_raw.as_deref(), self.patch.as_deref()),
                steps: Some(chat::acting(&self.turns)),
                turns: self.turns,
                patch: self.patch,
                exit_raw,
                source: SourceFormat::CodeFuse,
                ..Trajectory::default()
            },
            stripped: self.stripped,
            ..CandidateDraft::default()
        }
    }
}

/// `git_diff.diff_text`, or `git_diff` itself, whose last line end CodeFuse takes off.
fn patch(event: &mut Object) -> Option<String> {
    let text = match event.get("git_diff")? {
        Value::Object(_) => take_object(event, "git_diff")
            .and_then(|mut diff| take_str(&mut diff, "diff_text").or_else(|| take_str(&mut diff, "diff"))),
        _ => Some(json::take_text(event, "git_diff")),
    };
    let mut text = text.and_then(non_empty)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Some(text)
}
