//! KTO's mismatched trajectories: an issue's prompt with a whole trajectory of another row.
//!
//! Other trainers pair within the batches that a data set happens to be tokenised in; here rows are paired when a step is
//! put together, over all of its rows, so that neither shuffling nor the split into micro-batches matters.

use super::example::Example;
use crate::data::{Tokens, mismatched};

/// For each row the trajectory of the row before it, and for the first that of the last, as TRL does.
pub(crate) fn rotated(rows: &[&Example], limit: usize) -> Vec<Tokens> {
    let before = |index: usize| (index + rows.len() - 1) % rows.len();
    (0..rows.len())
        .map(|index| mismatched(&rows[index].sequences[0], &rows[before(index)].sequences[0], limit))
        .collect()
}

/// For each row the trajectory of the next one in the order of their content that has another prompt; the result does
/// not depend on the order of rows. Rows that all have one prompt take the next one, whatever it is.
pub(crate) fn paired(rows: &[&Example], limit: usize) -> Vec<Tokens> {
    let mut order: Vec<&Example> = rows.to_vec();
    order.sort_by_key(|example| example.addresses[0]);
    let prompt = |example: &Example| -> Vec<u32> {
        let tokens = &example.sequences[0];
        tokens.ids[..tokens.prompt].to_vec()
    };
    let count = order.len();
    (0..count)
        .map(|index| {
            let own = prompt(order[index]);
            let next = (1..count).map(|step| (index + step) % count);
            let other = next.clone().find(|&other| prompt(order[other]) != own);
            let other = other.or_else(|| next.clone().next()).unwrap_or(index);
            mismatched(&order[index].sequences[0], &order[other].sequences[0], limit)
        })
        .collect()
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
