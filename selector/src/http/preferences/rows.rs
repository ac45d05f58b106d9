//! Rows of preference data as JSON.

use axum::body::Bytes;
use common::{Role, Trajectory, Turn};
use serde::Serialize;
use store::StoredCandidate;
use utoipa::ToSchema;

use super::plan::Planned;

/// A row: a pair or a single run, as the request asked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Row {
    /// With `kind=pairs`.
    Pair(Pair),
    /// With `kind=kto`.
    Kto(Kto),
}

/// Two runs from one prompt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pair {
    /// The issue.
    instance_id: String,
    /// Content address of the run that resolves the issue.
    chosen_id: String,
    /// Content address of the run that does not.
    rejected_id: String,
    /// The turns both begin with: up to and including the first user turn.
    prompt: Vec<Turn>,
    /// How the run that resolves the issue goes on.
    chosen: Vec<Turn>,
    /// How the other goes on.
    rejected: Vec<Turn>,
}

/// A run and whether it is desirable.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Kto {
    /// The issue.
    instance_id: String,
    /// Content address of the run.
    content_id: String,
    /// The turns up to and including the first user turn.
    prompt: Vec<Turn>,
    /// How the run goes on.
    completion: Vec<Turn>,
    /// Whether it resolves the issue.
    #[serde(rename = "kto_tag")]
    desirable: bool,
}

/// One line of JSON. `runs` are those of `planned`, in its order.
pub(super) fn line(
    instance_id: &str,
    planned: &Planned,
    runs: Vec<StoredCandidate>,
) -> Result<Bytes, serde_json::Error> {
    let instance_id = instance_id.to_owned();
    let mut parts = runs.into_iter().map(|run| split(run.trajectory));
    let row = match planned {
        Planned::Pair { chosen: chosen_id, rejected: rejected_id } => {
            let (prompt, chosen) = parts.next().unwrap_or_default();
            let (_, rejected) = parts.next().unwrap_or_default();
            let (chosen_id, rejected_id) = (chosen_id.to_string(), rejected_id.to_string());
            Row::Pair(Pair { instance_id, chosen_id, rejected_id, prompt, chosen, rejected })
        }
        Planned::Single { run, resolved } => {
            let (prompt, completion) = parts.next().unwrap_or_default();
            Row::Kto(Kto {
                instance_id,
                content_id: run.to_string(),
                prompt,
                completion,
                desirable: *resolved,
            })
        }
    };
    let mut line = serde_json::to_vec(&row)?;
    line.push(b'\n');
    Ok(line.into())
}

/// Prompt and continuation. The released code also drops a closing user message that only says the run is over: it is
/// the scaffold's, and nothing is learned after it.
fn split(trajectory: Trajectory) -> (Vec<Turn>, Vec<Turn>) {
    let mut prompt = trajectory.turns;
    let first_user = prompt.iter().position(|turn| turn.role == Role::User);
    let mut rest = prompt.split_off(first_user.map_or(0, |at| at + 1));
    if rest.last().is_some_and(|turn| turn.role == Role::User && turn.content.trim() == "<<< Finished >>>") {
        rest.pop();
    }
    (prompt, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_ends_with_the_first_user_turn_and_the_closing_one_goes() {
        let turn = |role, content: &str| Turn { role, content: content.into(), ..Turn::default() };
        let turns = vec![
            turn(Role::System, "s"),
            turn(Role::User, "u"),
            turn(Role::Assistant, "a"),
            turn(Role::User, "<<< Finished >>>\n"),
        ];
        let (prompt, rest) = split(Trajectory { turns: turns.clone(), ..Trajectory::default() });
        assert_eq!((prompt, rest), (turns[..2].to_vec(), turns[2..3].to_vec()));
    }
}
