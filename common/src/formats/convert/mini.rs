//! mini-swe-agent `.traj.json`, versions 1 and 1.1.

use super::super::json::{Reject, non_empty, number, take_list, take_object, take_str};
use super::{CandidateDraft, Row, chat, swe_agent};
use crate::{Role, SourceFormat, Trajectory, Turn};

pub(super) fn convert(row: &mut Row<'_>) -> Result<(), Reject> {
    let messages = take_list(&mut row.object, "messages").ok_or(Reject::Missing("messages"))?;
    let mut turns = chat::turns(messages)?;
    if turns.is_empty()
        && let Some(log) = take_str(&mut row.object, "context")
    {
        turns = from_log(&log);
    }
    let mut info = take_object(&mut row.object, "info").unwrap_or_default();
    let patch = take_str(&mut info, "submission");
    let exit_raw = take_str(&mut info, "exit_status").and_then(non_empty);
    let stats = info.get("model_stats");
    let draft = CandidateDraft {
        trajectory: Trajectory {
            instance_id: row.instance_id(),
            issue: chat::issue_in(&turns),
            exit: swe_agent::exit_of(exit_raw.as_deref(), patch.as_deref()),
            steps: Some(chat::acting(&turns)),
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

/// Derived agents keep an empty `messages` and a text log of `|MESSAGE(role="user", id=4)|` sections instead. The log
/// prints a message each time it changes; the last print of an id that is not blank counts. Such agents also write
/// what the model said as "user"; a function call at the end of a section tells it.
fn from_log(log: &str) -> Vec<Turn> {
    const MARK: &str = "|MESSAGE(role=\"";
    const CALL: &str = "----END_FUNCTION_CALL----";
    let mut sections: Vec<(&str, Turn)> = Vec::new();
    for section in log.split(MARK).skip(1) {
        let Some((role, rest)) = section.split_once("\", id=") else { continue };
        let Some((id, content)) = rest.split_once(")|") else { continue };
        let content = content.trim_end_matches(['-', '\n', ' ', ',']).trim_start_matches('\n');
        let said = content.ends_with(CALL.trim_end_matches('-'));
        let turn = Turn {
            role: if said { Role::Assistant } else { chat::role(role) },
            content: if said { format!("{content}----") } else { content.to_owned() },
            ..Turn::default()
        };
        match sections.last_mut() {
            Some((last, earlier)) if *last == id => {
                if !turn.content.is_empty() {
                    *earlier = turn;
                }
            }
            _ => sections.push((id, turn)),
        }
    }
    sections.into_iter().map(|(_, turn)| turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_becomes_turns() {
        let dashes = "-".repeat(28);
        let log = format!(
            "{dashes}\n|MESSAGE(role=\"system\", id=0)|\nBe good., {dashes}\n|MESSAGE(role=\"system\", id=0)|\nBe very good.\n\n{dashes}\n\
             |MESSAGE(role=\"user\", id=1)|\nls\n----BEGIN_FUNCTION_CALL----\nrun\n----END_FUNCTION_CALL----\n\n{dashes}\n\
             |MESSAGE(role=\"system\", id=2)|\n\n\n"
        );
        let turns = from_log(&log);
        let roles: Vec<Role> = turns.iter().map(|turn| turn.role).collect();
        assert_eq!(roles, [Role::System, Role::Assistant, Role::System]);
        assert_eq!(turns[0].content, "Be very good.");
        assert_eq!(turns[1].content, "ls\n----BEGIN_FUNCTION_CALL----\nrun\n----END_FUNCTION_CALL----");
    }
}
