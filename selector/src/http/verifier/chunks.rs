//! Cutting a pool into requests of bounded size.

use std::ops::Range;

/// Positions in the list of candidates, in order, and those that are too large for a request of their own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Chunks {
    /// Runs of candidates that go into one request.
    pub(super) runs: Vec<Range<usize>>,
    /// Candidates that go into none.
    pub(super) too_large: Vec<usize>,
}

/// Cuts candidates of the given sizes in bytes so that no request holds more than `most` bytes beside its frame.
///
/// Neighbours stay together: the verifier computes what they share once.
pub(super) fn cut(sizes: &[usize], most: usize) -> Chunks {
    let mut chunks = Chunks::default();
    let mut start = 0;
    let mut held = 0;
    let close = |runs: &mut Vec<Range<usize>>, start: usize, end: usize| {
        if start < end {
            runs.push(start..end);
        }
    };
    for (at, &size) in sizes.iter().enumerate() {
        if size > most {
            close(&mut chunks.runs, start, at);
            chunks.too_large.push(at);
            (start, held) = (at + 1, 0);
            continue;
        }
        // One byte for the comma between two candidates.
        if held > 0 && held + 1 + size > most {
            close(&mut chunks.runs, start, at);
            (start, held) = (at, 0);
        }
        held += size + usize::from(held > 0);
    }
    close(&mut chunks.runs, start, sizes.len());
    chunks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_filled_in_order() {
        assert_eq!(cut(&[4, 5, 4, 30, 2], 10).runs, vec![0..2, 2..3, 4..5]);
        assert_eq!(cut(&[4, 5, 4, 30, 2], 10).too_large, vec![3]);
        assert_eq!(cut(&[], 10), Chunks::default());
        assert!(cut(&[11], 10).runs.is_empty());
    }

    proptest! {
        #[test]
        fn everyone_is_in_one_request_or_named(sizes in prop::collection::vec(1_usize..50, 0..40), most in 1_usize..60) {
            let chunks = cut(&sizes, most);
            let mut seen = chunks.too_large.clone();
            for run in &chunks.runs {
                let bytes: usize = sizes[run.clone()].iter().sum::<usize>() + run.len() - 1;
                prop_assert!(bytes <= most);
                seen.extend(run.clone());
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..sizes.len()).collect::<Vec<_>>());
        }
    }
}
