//! mini-swe-agent `.traj.json`, versions 1 and 1.1.

use serde_json::Value;

use super::super::json::{Reject, count, non_empty, number, take_items, take_object, take_patch, take_str};
use super::{CandidateDraft, Row, chat, swe_agent};
use crate::{Role, SourceFormat, Trajectory, Turn};

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let messages = take_items(&mut row.object, "messages")?;
    let handed_in = handed_in(&messages);
    let mut turns = chat::turns(messages)?;
    if turns.is_empty()
        && let Some(log) = take_str(&mut row.object, "context")
    {
        turns = from_log(&log);
    }
    let mut info = take_object(&mut row.object, "info").unwrap_or_default();
    let patch = take_patch(&mut info, "submission")?;
    let patch = patch.filter(|patch| !patch.is_empty() || handed_in.is_none()).or(handed_in);
    let exit_raw = take_str(&mut info, "exit_status").and_then(non_empty);
    let stats = info.get("model_stats");
    let calls = count(stats.and_then(|stats| stats.get("api_calls"))).filter(|&calls| calls > 0);
    let draft = CandidateDraft {
        trajectory: Trajectory {
            instance_id: row.instance_id(),
            issue: chat::issue_in(&turns),
            exit: swe_agent::exit_of(exit_raw.as_deref(), patch.as_deref()),
            steps: calls.or_else(|| Some(chat::acting(&turns))),
            cost: number(stats.and_then(|stats| stats.get("instance_cost"))),
            turns,
            patch,
            exit_raw,
            source: SourceFormat::MiniSweAgent,
        },
        ..CandidateDraft::default()
    };
    row.candidate(draft);
    Ok(())
}

/// The patch that the last message says was handed in.
fn handed_in(messages: &[Value]) -> Option<String> {
    let patch = messages.last()?.get("extra")?.get("submission")?.as_str()?;
    non_empty(patch.to_owned())
}

/// Derived agents keep an empty `messages` and a text log of `|MESSAGE(role="user", id=4)|` sections instead. The log
/// prints a message again when it changes, with a note on the tools at its end, and names what the model said "user" or
/// "system"; its function call tells it.
fn from_log(log: &str) -> Vec<Turn> {
    const MARK: &str = "|MESSAGE(role=\"";
    const NOTE: &str = "--- IMPORTANT NOTE ---";
    const CALLS: [&str; 2] = ["----BEGIN_FUNCTION_CALL----", " ran with arguments {"];
    let mut ids: Vec<&str> = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    for section in log.split(MARK).skip(1) {
        let Some((role, rest)) = section.split_once("\", id=") else { continue };
        let Some((id, content)) = rest.split_once(")|") else { continue };
        let content = unruled(content);
        let said =
            content.split(NOTE).next().is_some_and(|text| CALLS.iter().any(|call| text.contains(call)));
        let content = if said { content.split(NOTE).next().unwrap_or_default().trim_end() } else { content };
        let role = if said { Role::Assistant } else { chat::role(role) };
        match ids.iter().position(|known| *known == id) {
            Some(at) if !content.is_empty() && !turns[at].content.contains(content) => {
                let earlier = &mut turns[at];
                if !earlier.content.is_empty() {
                    earlier.content.push('\n');
                }
                earlier.content.push_str(content);
                earlier.role = if said { Role::Assistant } else { earlier.role };
            }
            Some(_) => {}
            None => {
                ids.push(id);
                turns.push(Turn { role, content: content.to_owned(), ..Turn::default() });
            }
        }
    }
    turns
}

/// The section without the rule of dashes on a line of its own, or after a comma, that leads to the next one.
fn unruled(section: &str) -> &str {
    let text = section.trim();
    let end = text.trim_end_matches('-');
    let before = end.trim_end_matches(' ');
    let rule = text.len() - end.len() >= 20 && (before.is_empty() || before.ends_with(['\n', ',']));
    if rule { before.trim_end_matches(',').trim() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_becomes_turns() {
        let dashes = "-".repeat(28);
        let log = format!(
            "{dashes}\n|MESSAGE(role=\"system\", id=0)|\nBe good., {dashes}\n|MESSAGE(role=\"system\", id=0)|\nBe very good.\n\n{dashes}\n\
             |MESSAGE(role=\"user\", id=1)|\nls\n----BEGIN_FUNCTION_CALL----\nrun\n----END_FUNCTION_CALL----\n--- IMPORTANT NOTE ---\nTools.\n\n{dashes}\n\
             |MESSAGE(role=\"system\", id=2)|\n\n\n"
        );
        let turns = from_log(&log);
        let roles: Vec<Role> = turns.iter().map(|turn| turn.role).collect();
        assert_eq!(roles, [Role::System, Role::Assistant, Role::System]);
        assert_eq!(turns[0].content, "Be good.\nBe very good.");
        assert_eq!(turns[1].content, "ls\n----BEGIN_FUNCTION_CALL----\nrun\n----END_FUNCTION_CALL----");
    }
}
