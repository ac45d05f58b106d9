//! Rows as the engine has them in memory.

use crate::data::{Encoded, Tokens};

/// What a row teaches.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Lesson {
    /// The first of two sequences is to be preferred; by what margin, where the row says so.
    Pair { margin: Option<f64> },
    /// The sequence is desirable or not.
    Labelled { desirable: bool },
    /// The sequence is to be imitated.
    Demonstration,
    /// Which of the sequences resolve their issue.
    Candidates { resolved: Vec<bool> },
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Example {
    /// Its sequences.
    pub(crate) sequences: Vec<Tokens>,
    pub(crate) lesson: Lesson,
    /// Content address of each sequence: tokens and which are trained.
    pub(crate) addresses: Vec<Address>,
}

/// The content address of a sequence.
pub(crate) type Address = [u8; 32];

/// Hashes a sequence: what the log-probabilities of its trained tokens depend on, beside the model.
pub(crate) fn address(tokens: &Tokens) -> Address {
    let mut hasher = blake3::Hasher::new();
    for id in &tokens.ids {
        hasher.update(&id.to_le_bytes());
    }
    // Packed, so that both parts have their own length.
    hasher.update(&(tokens.ids.len() as u64).to_le_bytes());
    let trained: Vec<u8> = tokens.trained.iter().map(|&trained| u8::from(trained)).collect();
    hasher.update(&trained);
    *hasher.finalize().as_bytes()
}

impl Example {
    pub(crate) fn new(encoded: Encoded, margin: Option<f64>) -> Self {
        let (sequences, lesson) = match encoded {
            Encoded::Pair { chosen, rejected, .. } => (vec![chosen, rejected], Lesson::Pair { margin }),
            Encoded::Labelled { tokens, desirable } => (vec![tokens], Lesson::Labelled { desirable }),
            Encoded::Demonstration { tokens } => (vec![tokens], Lesson::Demonstration),
            Encoded::Candidates { candidates, .. } => {
                let resolved = candidates.iter().map(|candidate| candidate.resolved).collect();
                let sequences = candidates.into_iter().map(|candidate| candidate.tokens).collect();
                (sequences, Lesson::Candidates { resolved })
            }
        };
        Self::of(sequences, lesson)
    }

    pub(crate) fn of(sequences: Vec<Tokens>, lesson: Lesson) -> Self {
        let addresses = sequences.iter().map(address).collect();
        Self { sequences, lesson, addresses }
    }

    /// Tokens of its sequences, each counted whole.
    pub(crate) fn tokens(&self) -> usize {
        self.sequences.iter().map(|tokens| tokens.ids.len()).sum()
    }

    /// Tokens that are computed: what all its sequences begin with counts once, if that is shared.
    pub(crate) fn computed(&self, share: bool) -> usize {
        let total = self.tokens();
        let (true, Some((first, rest))) = (share, self.sequences.split_first()) else { return total };
        let common = rest.iter().fold(first.ids.len(), |common, tokens| {
            first.ids[..common].iter().zip(&tokens.ids).take_while(|(left, right)| left == right).count()
        });
        total - common * rest.len()
    }

    /// Tokens that carry a loss.
    pub(crate) fn trained(&self) -> usize {
        self.sequences.iter().map(Tokens::trained_tokens).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_tokens_and_masks_apart() {
        let of = |ids: &[u32], trained: &[bool]| {
            address(&Tokens { ids: ids.to_vec(), trained: trained.to_vec(), ..Tokens::default() })
        };
        let one = of(&[1, 2], &[false, true]);
        assert_eq!(one, of(&[1, 2], &[false, true]));
        assert_ne!(one, of(&[1, 2], &[false, false]));
        assert_ne!(one, of(&[1, 3], &[false, true]));
        assert_ne!(one, of(&[1, 2, 0], &[false, true, false]));
    }

    #[test]
    fn what_is_shared_counts_once() {
        let tokens = |ids: Vec<u32>| Tokens { trained: vec![true; ids.len()], ids, ..Tokens::default() };
        let example =
            Example::of(vec![tokens(vec![1, 2, 3, 4]), tokens(vec![1, 2, 5])], Lesson::Pair { margin: None });
        assert_eq!((example.tokens(), example.computed(true), example.computed(false)), (7, 5, 7));
    }
}
