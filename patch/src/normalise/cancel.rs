//! Longest common subsequence of the two sides of a change run.

/// Products of lengths beyond this are not searched; equal heads and tails are still found.
const MAX_CELLS: usize = 1 << 18;

/// Places of elements that both sides share, in order: equal head, equal tail, and the longest common subsequence
/// of what lies between.
pub(super) fn matches<T>(old: &[T], new: &[T], key: impl Fn(&T) -> u64) -> Vec<(usize, usize)> {
    if old.is_empty() || new.is_empty() {
        return Vec::new();
    }
    let same = |a: &T, b: &T| key(a) == key(b);
    let head = old.iter().zip(new).take_while(|(a, b)| same(a, b)).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| same(a, b)).count();
    let (old_mid, new_mid) = (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let mut pairs: Vec<_> = (0..head).map(|at| (at, at)).collect();
    middle(old_mid, new_mid, &same, &mut |a, b| pairs.push((head + a, head + b)));
    pairs.extend((0..tail).map(|at| (old.len() - tail + at, new.len() - tail + at)));
    pairs
}

fn middle<T>(old: &[T], new: &[T], same: &impl Fn(&T, &T) -> bool, push: &mut impl FnMut(usize, usize)) {
    if old.is_empty() || new.is_empty() || old.len().saturating_mul(new.len()) > MAX_CELLS {
        return;
    }
    let width = new.len() + 1;
    let mut table = vec![0_u16; (old.len() + 1) * width];
    for a in (0..old.len()).rev() {
        for b in (0..new.len()).rev() {
            table[a * width + b] = if same(&old[a], &new[b]) {
                table[(a + 1) * width + b + 1].saturating_add(1)
            } else {
                table[(a + 1) * width + b].max(table[a * width + b + 1])
            };
        }
    }
    let (mut a, mut b) = (0, 0);
    while a < old.len() && b < new.len() {
        if same(&old[a], &new[b]) {
            push(a, b);
            (a, b) = (a + 1, b + 1);
        } else if table[(a + 1) * width + b] >= table[a * width + b + 1] {
            a += 1;
        } else {
            b += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_longest() {
        let run = |a: &[u64], b: &[u64]| matches(a, b, |value| *value);
        assert_eq!(run(&[1, 2, 3], &[1, 9, 3]), [(0, 0), (2, 2)]);
        assert_eq!(run(&[5, 1, 2, 6], &[7, 1, 8, 2, 9]), [(1, 1), (2, 3)]);
        assert_eq!(run(&[1, 1], &[1]), [(0, 0)]);
        assert_eq!(run(&[], &[1]), []);
        let long: Vec<u64> = (0..2_000).collect();
        assert_eq!(run(&long, &long).len(), 2_000);
    }
}
