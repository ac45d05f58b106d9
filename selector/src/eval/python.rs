//! The few pieces of Python that the reference scorer's figures depend on, bit for bit.

/// Python's `str.isspace` for one character: what `strip` and `rstrip` take off.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// Python's `str.splitlines`.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = rest.find(is_break) else { return Some(std::mem::take(&mut rest)) };
        let line = &rest[..end];
        let width = rest[end..].chars().next().map_or(0, char::len_utf8);
        rest = if rest[end..].starts_with("\r\n") { &rest[end + 2..] } else { &rest[end + width..] };
        Some(line)
    })
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

const N: usize = 624;

/// CPython's `random.Random`: the Mersenne Twister, seeded by an integer below 2³².
pub(super) struct Random {
    state: [u32; N],
    next: usize,
}

impl Random {
    /// `random.Random(seed)`.
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [0_u32; N];
        state[0] = 19_650_218;
        for at in 1..N {
            let before = state[at - 1];
            state[at] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(at as u32);
        }
        let mut at = 1;
        for _ in 0..N {
            let before = state[at - 1];
            state[at] = (state[at] ^ (before ^ (before >> 30)).wrapping_mul(1_664_525)).wrapping_add(seed);
            at += 1;
            if at >= N {
                state[0] = state[N - 1];
                at = 1;
            }
        }
        for _ in 0..N - 1 {
            let before = state[at - 1];
            state[at] =
                (state[at] ^ (before ^ (before >> 30)).wrapping_mul(1_566_083_941)).wrapping_sub(at as u32);
            at += 1;
            if at >= N {
                state[0] = state[N - 1];
                at = 1;
            }
        }
        state[0] = 0x8000_0000;
        Self { state, next: N }
    }

    fn word(&mut self) -> u32 {
        if self.next >= N {
            for at in 0..N {
                let joined = (self.state[at] & 0x8000_0000) | (self.state[(at + 1) % N] & 0x7fff_ffff);
                let odd = if joined & 1 == 0 { 0 } else { 0x9908_b0df };
                self.state[at] = self.state[(at + 397) % N] ^ (joined >> 1) ^ odd;
            }
            self.next = 0;
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// `randrange(below)` for a positive `below` under 2³².
    pub(super) fn below(&mut self, below: u32) -> u32 {
        let bits = u32::BITS - below.leading_zeros();
        loop {
            let drawn = self.word() >> (u32::BITS - bits);
            if drawn < below {
                return drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_what_python_draws() {
        // random.Random(0): [r.randrange(296) for _ in range(8)]
        let mut random = Random::new(0);
        let drawn: Vec<u32> = (0..8).map(|_| random.below(296)).collect();
        assert_eq!(drawn, PYTHON);
    }

    #[test]
    fn splits_as_python_splits() {
        let split: Vec<&str> = lines("a\r\nb\rc\n\nd\u{2028}e\u{c}").collect();
        assert_eq!(split, ["a", "b", "c", "", "d", "e"]);
        assert_eq!(lines("").count(), 0);
    }

    const PYTHON: [u32; 8] = [197, 215, 20, 132, 261, 248, 207, 155];
}
