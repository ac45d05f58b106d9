//! Rows that are too long.
//!
//! Cutting a trajectory at its right end takes away the decisive last edits and the finish, which is what most trainers
//! do. Here the oldest long observations are replaced first; a row that is still too long is refused.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EncodeError, EncodeRules, Tokens, condense};

/// What happens to a row that is longer than allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverLong {
    /// The oldest long observations are replaced by a short marker until the row fits; otherwise it is dropped.
    #[default]
    Condense,
    /// The row is dropped.
    Drop,
    /// The middle is taken out: half of the budget for the beginning, half for the end.
    HeadTail,
    /// The end is cut off.
    CutRight,
}

/// What was taken out of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Shortened {
    /// Observations that were replaced by a marker.
    pub observations: usize,
    /// Tokens that were taken out or cut off.
    pub tokens: usize,
}

/// Tokens of a conversation, condensed as far as the rules' limit needs it and condensing can.
pub(super) fn fit(
    rules: EncodeRules,
    mut messages: Vec<Value>,
    prompt_turns: usize,
    tokens: impl Fn(&[Value]) -> Result<Tokens, EncodeError>,
) -> Result<Tokens, EncodeError> {
    let whole = tokens(&messages)?;
    if whole.ids.len() <= rules.max_tokens || rules.over_long != OverLong::Condense {
        return Ok(whole);
    }
    let kept_turns = condense::kept(&messages, prompt_turns);
    let full = whole.ids.len();
    let mut best = whole;
    let mut observations = 0;
    // Replacing one after the other would tokenise the row as often; estimated savings say how many to take at once.
    while best.ids.len() > rules.max_tokens {
        let replaced = condense::oldest(&mut messages, kept_turns, best.ids.len() - rules.max_tokens);
        if replaced == 0 {
            break;
        }
        observations += replaced;
        best = tokens(&messages)?;
    }
    best.shortened = Shortened { observations, tokens: full - best.ids.len().min(full) };
    Ok(best)
}

/// Cuts tokens down where the rules say so.
pub(super) fn cut(rules: EncodeRules, mut tokens: Tokens) -> Tokens {
    let (length, limit) = (tokens.ids.len(), rules.max_tokens);
    if length <= limit {
        return tokens;
    }
    let keep: Vec<std::ops::Range<usize>> = match rules.over_long {
        OverLong::Condense | OverLong::Drop => return tokens,
        OverLong::CutRight => std::iter::once(0..limit).collect(),
        OverLong::HeadTail => vec![0..limit - limit / 2, length - limit / 2..length],
    };
    let ids = keep.iter().flat_map(|range| tokens.ids[range.clone()].to_vec()).collect();
    let mut trained: Vec<bool> =
        keep.iter().flat_map(|range| tokens.trained[range.clone()].to_vec()).collect();
    // The first token after the gap does not follow on what stands before it now.
    if let [head, _] = keep.as_slice()
        && let Some(border) = trained.get_mut(head.len())
    {
        *border = false;
    }
    let mut before = 0;
    let mut turn_ends = Vec::new();
    for range in &keep {
        let inside = tokens.turn_ends.iter().filter(|end| range.contains(end));
        turn_ends.extend(inside.map(|end| end - range.start + before));
        before += range.len();
    }
    // Of a turn whose last token alone is left behind the gap nothing is there to be judged.
    turn_ends.retain(|&end| trained[end]);
    tokens.prompt = tokens.prompt.min(keep[0].len());
    if rules.over_long == OverLong::CutRight {
        let ids = tokens.ids[limit..].iter().copied();
        tokens.cut_off = ids.zip(tokens.trained[limit..].iter().copied()).collect();
    }
    tokens.shortened.tokens += length - limit;
    Tokens { ids, trained, turn_ends, ..tokens }
}
