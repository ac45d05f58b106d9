//! KTO's mismatched trajectories: an issue's prompt with a whole trajectory of another row.
//!
//! Other trainers pair within the batches that a data set happens to be tokenised in; here rows are paired when a step is
//! put together, over all of its rows, so that neither shuffling nor the split into micro-batches matters.

use super::example::Example;
use crate::data::{Tokens, mismatched};

/// For each of so many rows the row before it, and for the first the last, as TRL does.
pub(crate) fn before(count: usize) -> Vec<(usize, usize)> {
    (0..count).map(|index| (index, (index + count - 1) % count)).collect()
}

/// Each row, in the order of their content, with the next one that has another prompt: pairs that do not depend on the
/// order of rows. Rows that all have one prompt take the next one, whatever it is.
pub(crate) fn partners(rows: &[&Example]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| rows[row].addresses[0]);
    let prompt = |row: usize| {
        let tokens = &rows[row].sequences[0];
        &tokens.ids[..tokens.prompt]
    };
    let count = order.len();
    (0..count)
        .map(|index| {
            let own = order[index];
            let next = (1..count).map(|step| order[(index + step) % count]);
            let other = next.clone().find(|&other| prompt(other) != prompt(own));
            (own, other.or_else(|| next.clone().next()).unwrap_or(own))
        })
        .collect()
}

/// For each row the trajectory of the row before it.
pub(crate) fn rotated(rows: &[&Example], limit: usize) -> Vec<Tokens> {
    trajectories(rows, &before(rows.len()), limit)
}

/// For each row the trajectory of its partner.
pub(crate) fn paired(rows: &[&Example], limit: usize) -> Vec<Tokens> {
    trajectories(rows, &partners(rows), limit)
}

fn trajectories(rows: &[&Example], pairs: &[(usize, usize)], limit: usize) -> Vec<Tokens> {
    let one = |&(own, other): &(usize, usize)| {
        mismatched(&rows[own].sequences[0], &rows[other].sequences[0], limit)
    };
    pairs.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::example::Lesson;

    fn row(prompt: &[u32], completion: &[u32]) -> Example {
        let ids = [prompt, completion].concat();
        let trained = (0..ids.len()).map(|at| at >= prompt.len()).collect();
        let tokens = Tokens { ids, trained, prompt: prompt.len(), ..Tokens::default() };
        Example::of(vec![tokens], Lesson::Labelled { desirable: true })
    }

    #[test]
    fn a_rotation_takes_the_row_before() {
        let rows = [row(&[1, 2], &[10]), row(&[3], &[20, 21]), row(&[4], &[30])];
        let rows: Vec<&Example> = rows.iter().collect();
        let mismatched = rotated(&rows, 100);
        let ids: Vec<&[u32]> = mismatched.iter().map(|tokens| tokens.ids.as_slice()).collect();
        assert_eq!(ids, [&[1, 2, 30][..], &[3, 10], &[4, 20, 21]]);
        assert_eq!(mismatched[2].trained, [false, true, true]);
        assert_eq!(rotated(&rows[..1], 100)[0].ids, [1, 2, 10]);
    }

    #[test]
    fn pairs_have_other_prompts_and_no_order() {
        let rows = [row(&[1], &[10]), row(&[1], &[20]), row(&[2], &[30]), row(&[3], &[40])];
        let forward: Vec<&Example> = rows.iter().collect();
        let backward: Vec<&Example> = rows.iter().rev().collect();
        assert_eq!(paired(&forward, 100), paired(&backward, 100));
        for tokens in paired(&forward, 100) {
            let own = [vec![10, 20], vec![30], vec![40]][tokens.ids[0] as usize - 1].clone();
            assert!(!own.contains(&tokens.ids[1]), "{:?}", tokens.ids);
        }
        let same = [row(&[1], &[10]), row(&[1], &[20])];
        let mismatched = paired(&same.iter().collect::<Vec<_>>(), 100);
        assert_eq!(mismatched.len(), 2);
        assert_ne!(mismatched[0].ids, mismatched[1].ids);
    }
}
