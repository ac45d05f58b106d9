//! Fits a document into a budget of tokens by a rule that anyone can repeat.

use super::document::{Document, Part};
use crate::backend::Condensed;

/// Stands where an observation was; the paper's words.
pub const OBSERVATION_MARKER: &str = "<Execution result condensed for saving context>";

/// Stands where a thought was.
pub const THOUGHT_MARKER: &str = "<Thought condensed for saving context>";

/// A document within its budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted<'a> {
    /// The document.
    pub document: Document<'a>,
    /// Its tokens, counted piece by piece.
    pub tokens: usize,
    /// What was condensed, if anything.
    pub condensed: Option<Condensed>,
}

/// A document does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{tokens} tokens, {limit} allowed")]
pub struct TooLong {
    /// Its tokens; the least that condensing leads to where that was allowed.
    pub tokens: usize,
    /// The limit.
    pub limit: usize,
    /// Whether condensing was allowed.
    pub condensed: bool,
}

/// Condenses a document until it has at most `limit` tokens.
///
/// The longest observation goes first, the earlier of two equals; when no observation is left, thoughts go in the same
/// way. The issue, the actions, the patch and the last [`super::KEPT_TURNS`] turns are never touched, nor is a piece
/// that is not longer than its marker. Tokens are counted piece by piece, each piece once: `count` of the whole text may
/// differ by a token or two at the borders, so whoever needs it exact counts the result and calls again with less.
pub fn fit<'a>(
    mut document: Document<'a>,
    limit: usize,
    condense: bool,
    count: &dyn Fn(&str) -> usize,
) -> Result<Fitted<'a>, TooLong> {
    let tokens: Vec<usize> = document.segments.iter().map(|segment| count(&segment.text)).collect();
    let full_tokens: usize = tokens.iter().sum();
    if full_tokens <= limit {
        return Ok(Fitted { document, tokens: full_tokens, condensed: None });
    }
    if !condense {
        return Err(TooLong { tokens: full_tokens, limit, condensed: false });
    }
    let mut left = full_tokens;
    let mut report = Condensed { full_tokens, ..Condensed::default() };
    for (marker, is_kind) in
        [(OBSERVATION_MARKER, observation as fn(Part) -> Option<usize>), (THOUGHT_MARKER, thought)]
    {
        let marker_tokens = count(marker);
        let mut candidates: Vec<(usize, usize)> = document
            .segments
            .iter()
            .enumerate()
            .filter(|(at, segment)| {
                segment.may_go && is_kind(segment.part).is_some() && tokens[*at] > marker_tokens
            })
            .map(|(at, _)| (at, tokens[at]))
            .collect();
        candidates.sort_by_key(|&(at, tokens)| (std::cmp::Reverse(tokens), at));
        for (at, had) in candidates {
            if left <= limit {
                break;
            }
            let segment = &mut document.segments[at];
            segment.text = marker.into();
            left -= had - marker_tokens;
            match segment.part {
                Part::Thought(turn) => report.thoughts.push(turn),
                Part::Observation(turn) => report.turns.push(turn),
                _ => {}
            }
        }
    }
    report.removed_tokens = full_tokens - left;
    if left > limit {
        return Err(TooLong { tokens: left, limit, condensed: true });
    }
    Ok(Fitted { document, tokens: left, condensed: Some(report) })
}

const fn observation(part: Part) -> Option<usize> {
    match part {
        Part::Observation(turn) => Some(turn),
        _ => None,
    }
}

const fn thought(part: Part) -> Option<usize> {
    match part {
        Part::Thought(turn) => Some(turn),
        _ => None,
    }
}
