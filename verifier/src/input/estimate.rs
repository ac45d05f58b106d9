//! Tokens of a text whose tokenizer is not known.

/// What a byte is to the estimate.
#[derive(PartialEq, Clone, Copy)]
enum Class {
    Lower,
    Upper,
    Blank,
    Break,
    Other,
}

/// An estimate that is meant to be high: byte-level tokenizers of code models take fewer tokens than this for ordinary
/// text and code.
///
/// A run of letters costs one token for every five letters begun, and a capital after a small letter begins a new run;
/// a single space before a letter is free, any other run of spaces or of line breaks costs one; a digit and any other
/// ASCII character cost one each, and all else as many as it has bytes in UTF-8. Pieces of a text cost together at least
/// what the whole costs.
pub fn estimate_tokens(text: &str) -> usize {
    const LETTERS: usize = 5;
    let mut tokens = 0;
    let mut before = Class::Other;
    let mut run = 0;
    for byte in text.bytes() {
        let class = class(byte);
        let letter = matches!(class, Class::Lower | Class::Upper);
        // A capital begins a word together with the small letters after it.
        let goes_on = class == before || (class == Class::Lower && before == Class::Upper);
        if letter && before == Class::Blank && run == 0 {
            tokens -= 1;
        }
        run = if goes_on { run + 1 } else { 0 };
        tokens += match class {
            Class::Lower | Class::Upper => usize::from(run % LETTERS == 0),
            Class::Blank | Class::Break => usize::from(run == 0),
            Class::Other => 1,
        };
        before = class;
    }
    tokens
}

const fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' => Class::Lower,
        b'A'..=b'Z' => Class::Upper,
        b' ' | b'\t' => Class::Blank,
        b'\n' | b'\r' => Class::Break,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_digits_and_marks_are_counted() {
        let code = "def evaluate(self, *cards: CardSet) -> HandRank:\n    return max(self.ranks(c) for c in cards)\n";
        assert_eq!(estimate_tokens(code), 37);
        for (text, tokens) in
            [("12345", 5), ("über", 3), ("", 0), ("a b", 2), ("a  b", 3), ("HandRank", 2), ("HTTPServer", 2)]
        {
            assert_eq!(estimate_tokens(text), tokens, "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_at_least_the_whole(a in "[ -~\n]{0,40}", b in any::<String>()) {
            let whole = estimate_tokens(&format!("{a}{b}"));
            prop_assert!(whole <= estimate_tokens(&a) + estimate_tokens(&b));
            prop_assert!(whole <= a.len() + b.len());
            prop_assert!(whole >= estimate_tokens(&a).max(estimate_tokens(&b)));
        }
    }
}
