//! Words and identifiers of prose and code, as hashes.

use rustc_hash::FxHashSet;

/// A set of hashed words.
pub(super) type Words = FxHashSet<u64>;

/// FNV-1a, the same on every machine.
pub(super) fn hash(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Hash of a word in lower case.
pub(super) fn fold(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Runs of ASCII letters, digits and `_` that begin with no digit.
pub(super) fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    runs(text).filter(|run| !run.as_bytes()[0].is_ascii_digit())
}

/// Runs of ASCII letters, digits and `_`.
pub(super) fn runs(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !is_word(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && is_word(bytes[at]) {
            at += 1;
        }
        (at > start).then(|| &text[start..at])
    })
}

/// The words that an identifier is made of: `getFooBar_2` → `get`, `Foo`, `Bar`; those of three letters and more.
pub(super) fn parts(identifier: &str) -> impl Iterator<Item = &str> {
    let bytes = identifier.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            at += 1;
            if !bytes[start].is_ascii_alphabetic() {
                continue;
            }
            while at < bytes.len() && bytes[at].is_ascii_alphabetic() {
                let (before, after) = (bytes[at - 1], bytes.get(at + 1));
                let starts_word = bytes[at].is_ascii_uppercase()
                    && (before.is_ascii_lowercase() || after.is_some_and(u8::is_ascii_lowercase));
                if starts_word {
                    break;
                }
                at += 1;
            }
            if at - start >= 3 {
                return Some(&identifier[start..at]);
            }
        }
        None
    })
}

/// Whether an identifier looks like code rather than prose: `_` or a digit within, or a capital behind a small letter.
pub(super) fn is_code(identifier: &str) -> bool {
    let bytes = identifier.as_bytes();
    bytes.len() >= 3
        && bytes.iter().any(u8::is_ascii_alphabetic)
        && (bytes.contains(&b'_')
            || bytes.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()))
}

/// Adds the words of a text, in lower case, without the most frequent ones.
pub(super) fn add_words(words: &mut Words, text: &str) {
    for identifier in identifiers(text) {
        for part in parts(identifier) {
            if !STOP.iter().any(|stop| part.eq_ignore_ascii_case(stop)) {
                words.insert(fold(part));
            }
        }
    }
}

/// Adds the identifiers of a text as they are written.
pub(super) fn add_identifiers(words: &mut Words, text: &str) {
    words.extend(identifiers(text).filter(|word| word.len() >= 3).map(|word| hash(word.as_bytes())));
}

/// Share of `of` that is also in `among`; `None` when `of` is empty.
pub(super) fn share(of: &Words, among: &Words) -> Option<f64> {
    (!of.is_empty()).then(|| of.intersection(among).count() as f64 / of.len() as f64)
}

/// Words that say nothing in prose or code.
const STOP: [&str; 48] = [
    "the", "and", "for", "that", "this", "with", "not", "are", "was", "but", "from", "have", "has", "when",
    "which", "you", "can", "would", "should", "there", "use", "using", "used", "self", "def", "return",
    "import", "class", "none", "true", "false", "else", "elif", "will", "does", "its", "then", "than",
    "been", "com", "https", "http", "www", "github", "any", "all", "get", "also",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_identifiers() {
        let split = |text| parts(text).collect::<Vec<_>>();
        assert_eq!(split("getFooBar_2"), ["get", "Foo", "Bar"]);
        assert_eq!(split("HTTPError"), ["HTTP", "Error"]);
        assert_eq!(split("snake_case_id"), ["snake", "case"]);
        assert_eq!(runs("a.b_1(2x)é").collect::<Vec<_>>(), ["a", "b_1", "2x"]);
        assert_eq!(identifiers("a.b_1(2x)").collect::<Vec<_>>(), ["a", "b_1"]);
    }

    #[test]
    fn code_looks_like_code() {
        assert!(
            is_code("get_x") && is_code("fooBar") && !is_code("Hello") && !is_code("__") && !is_code("if")
        );
    }
}
