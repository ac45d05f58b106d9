//! Trajectories under the prompts of others: what KTO's reference point is estimated from.

use super::Tokens;

/// The continuation of `other` behind the prompt of `row`, cut off at `limit` tokens: TRL's `KL_completion`.
pub fn mismatched(row: &Tokens, other: &Tokens, limit: usize) -> Tokens {
    let mut ids = row.ids[..row.prompt.min(row.ids.len())].to_vec();
    let prompt = ids.len();
    let mut trained = vec![false; prompt];
    let begin = other.prompt.min(other.ids.len());
    ids.extend(&other.ids[begin..]);
    trained.extend(&other.trained[begin..]);
    ids.extend(other.cut_off.iter().map(|(id, _)| id));
    trained.extend(other.cut_off.iter().map(|(_, trained)| trained));
    let ends = other.turn_ends.iter().filter(|&&end| end >= begin).map(|end| end - begin + prompt);
    let turn_ends = ends.filter(|&end| end < limit).collect();
    ids.truncate(limit);
    trained.truncate(limit);
    if let Some(first) = trained.first_mut() {
        *first = false;
    }
    Tokens { ids, trained, prompt, turn_ends, ..Tokens::default() }
}
