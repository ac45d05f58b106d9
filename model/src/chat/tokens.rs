//! From bytes of the text to tokens.

use std::ops::Range;

use super::{MaskSource, Rendering, spans::Found};
use crate::tokenizer::Encoded;

/// Gives every token its message and says whether the policy wrote it.
pub(super) fn assign(found: Found, encoded: Encoded) -> Rendering {
    let Encoded { ids, spans, trimmed } = encoded;
    let turns = spans.iter().map(|span| turn_at(&found.regions, span)).collect();
    let mut policy = vec![false; ids.len()];
    let mut straddling = Vec::new();
    let mut turn_ends: Vec<(usize, usize)> = Vec::new();
    let mut next = 0;
    for (at, span) in spans.iter().enumerate() {
        while next < found.policy.len() && found.policy[next].1.end <= span.start {
            next += 1;
        }
        // Marks may touch, so a token may lie on the border of the next one too.
        let mut inside = false;
        let mut touched = false;
        for (turn, written) in found.policy[next..].iter().take_while(|(_, written)| written.start < span.end)
        {
            let overlaps = span.start < written.end && written.start < span.end && !span.is_empty();
            let within = written.start <= span.start && span.end <= written.end;
            // A token that stands for no text is the policy's only if it is surrounded by the policy's text.
            if within
                && (overlaps || (span.is_empty() && written.start < span.start && span.end < written.end))
            {
                inside = true;
                match turn_ends.last_mut() {
                    Some((last, end)) if last == turn => *end = at,
                    _ => turn_ends.push((*turn, at)),
                }
            } else if overlaps {
                touched = true;
            }
        }
        policy[at] = inside;
        if touched && !inside {
            straddling.push(at);
        }
    }
    let assistant_mask = match found.source {
        MaskSource::GenerationBlocks => as_transformers(&found.blocks, &found.text, &trimmed),
        _ => policy.clone(),
    };
    Rendering {
        text: found.text,
        ids,
        spans,
        turns,
        policy,
        straddling,
        assistant_mask,
        turn_ends,
        source: found.source,
        unstable: found.unstable,
    }
}

/// The message whose region a token's first byte lies in.
fn turn_at(regions: &[Range<usize>], span: &Range<usize>) -> Option<usize> {
    let at = regions.partition_point(|region| region.end <= span.start);
    (at < regions.len()).then_some(at)
}

/// The mask that transformers computes from the blocks with `char_to_token`, its corner cases included: a block that
/// begins with trimmed white space ends the masking, one that ends with it runs to the end of the text.
fn as_transformers(blocks: &[Range<usize>], text: &str, trimmed: &[Range<usize>]) -> Vec<bool> {
    let mut mask = vec![false; trimmed.len()];
    let token_of = |byte: usize| trimmed.iter().position(|span| span.contains(&byte));
    for block in blocks {
        let Some(first) = token_of(block.start) else { break };
        let before = text[..block.end].char_indices().next_back().map(|(at, _)| at);
        let last = before.and_then(token_of).filter(|last| *last > 0);
        let end = last.map_or(trimmed.len(), |last| last + 1);
        for token in mask.iter_mut().take(end).skip(first) {
            *token = true;
        }
    }
    mask
}
