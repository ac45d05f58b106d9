//! How alike two patches are, from their digests.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Two views of likeness, each in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Similarity {
    /// Shared normalised changed lines.
    pub lines: f64,
    /// Shared identifiers, literals and operators of changed lines.
    pub tokens: f64,
}

impl Similarity {
    /// Of a patch with itself.
    pub const SAME: Self = Self { lines: 1.0, tokens: 1.0 };

    /// The mean of both views, which clustering uses.
    pub fn mean(self) -> f64 {
        f64::midpoint(self.lines, self.tokens)
    }
}

/// Likeness of two patches: the Jaccard index of the multisets A and B of their changed lines (of their tokens),
/// keyed by file and side: Σ min(A, B) / Σ max(A, B). Patches with one exact fingerprint, and two that change
/// nothing, have 1 in both.
pub fn similarity(a: &Digest, b: &Digest) -> Similarity {
    if a.exact() == b.exact() {
        return Similarity::SAME;
    }
    Similarity {
        lines: jaccard(shared(a.lines(), b.lines()), a.lines().len(), b.lines().len()),
        tokens: jaccard(
            shared(a.file_tokens(), b.file_tokens()),
            a.file_tokens().len(),
            b.file_tokens().len(),
        ),
    }
}

/// Jaccard index of two multisets of these sizes that share `common` elements.
pub(crate) fn jaccard(common: usize, a: usize, b: usize) -> f64 {
    let union = a + b - common;
    if union == 0 { 1.0 } else { common as f64 / union as f64 }
}

/// Size of the intersection of two sorted multisets.
pub(crate) fn shared(a: &[u64], b: &[u64]) -> usize {
    let (mut at_a, mut at_b, mut count) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(at_a), b.get(at_b)) {
        // Without branches: equal elements move both ends.
        at_a += usize::from(x <= y);
        at_b += usize::from(y <= x);
        count += usize::from(x == y);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(new: &str) -> Digest {
        Digest::of_text(&format!("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+{new}\n"))
    }

    #[test]
    fn formula() {
        assert_eq!(shared(&[1, 1, 2, 5], &[1, 2, 2, 5]), 3);
        assert_eq!(jaccard(3, 4, 4), 0.6);
        assert_eq!(jaccard(0, 0, 0), 1.0);
        let (a, b) = (digest("a = 2"), digest("a = 3"));
        assert_eq!(similarity(&a, &a), Similarity::SAME);
        // Lines: one removed is shared, of three. Tokens: removed `a = 1` and added `a =`, of seven.
        assert_eq!(similarity(&a, &b), Similarity { lines: 1.0 / 3.0, tokens: 5.0 / 7.0 });
        assert_eq!(similarity(&a, &b), similarity(&b, &a));
    }

    #[test]
    fn empty_patches() {
        let (empty, full) = (Digest::of_text(""), digest("a = 2"));
        assert_eq!(similarity(&empty, &Digest::of_text("nothing")), Similarity::SAME);
        assert_eq!(similarity(&empty, &full), Similarity { lines: 0.0, tokens: 0.0 });
    }
}
