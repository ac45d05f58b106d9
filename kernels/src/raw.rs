//! Vectors that are filled without being zeroed first.

#![expect(unsafe_code, reason = "fresh buffers of megabytes are not worth zeroing")]

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// A part of a new vector, filled from front to back.
#[derive(Debug)]
pub(crate) struct Filler<'a> {
    out: &'a mut [MaybeUninit<f32>],
    filled: usize,
}

impl Filler<'_> {
    /// Appends `value(0)`, …, `value(count − 1)`.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "must be compiled with the vector instructions of its caller")]
    pub(crate) fn fill(&mut self, count: usize, value: impl Fn(usize) -> f32) {
        let out = &mut self.out[self.filled..self.filled + count];
        for (index, slot) in out.iter_mut().enumerate() {
            slot.write(value(index));
        }
        self.filled += count;
    }

    /// Appends a copy.
    pub(crate) fn copy(&mut self, values: &[f32]) {
        self.fill(values.len(), |index| values[index]);
    }
}

/// A new vector made of consecutive parts of these lengths, which `fill` fills in parallel; it must fill each whole.
pub(crate) fn filled(lengths: &[usize], fill: impl Fn(usize, &mut Filler<'_>) + Sync) -> Vec<f32> {
    let len = lengths.iter().sum();
    let mut out: Vec<f32> = Vec::with_capacity(len);
    let mut rest = &mut out.spare_capacity_mut()[..len];
    let mut parts = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let (part, tail) = rest.split_at_mut(length);
        parts.push(part);
        rest = tail;
    }
    parts.into_par_iter().with_max_len(1).enumerate().for_each(|(index, part)| {
        let mut filler = Filler { out: part, filled: 0 };
        fill(index, &mut filler);
        assert_eq!(filler.filled, filler.out.len(), "every part is filled");
    });
    // SAFETY: the parts cover the first `len` elements, and each was asserted to be written whole.
    unsafe { out.set_len(len) };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_filled_in_place() {
        let out = filled(&[2, 0, 3], |index, part| part.fill([2, 0, 3][index], |i| (index * 10 + i) as f32));
        assert_eq!(out, [0.0, 1.0, 20.0, 21.0, 22.0]);
    }

    #[test]
    #[should_panic(expected = "every part is filled")]
    fn a_part_that_is_not_filled_is_found_out() {
        filled(&[2], |_, part| part.fill(1, |_| 0.0));
    }
}
