//! Tells text from code where a hunk does not show how a comment or string began.

use super::syntax::Syntax;

/// The delimiter that closes what a fragment begins inside of, if it seems to begin inside a comment or string.
///
/// A hunk may start in the middle of a docstring or block comment. The first delimiter tells: a comment that is
/// closed before any is opened, or triple quotes that look like the end of a string and not like its beginning.
pub(super) fn starts_inside(text: &str, syntax: &Syntax) -> Option<&'static str> {
    if let Some((open, close)) = syntax.block
        && let Some(at) = text.find(close)
    {
        let line = line_around(text, at).trim();
        let opened = text[..at].contains(open);
        // `*/` in the middle of a line may be part of a glob or a regular expression.
        if !opened && (line.starts_with(close) || line.ends_with(close)) {
            return Some(close);
        }
    }
    if syntax.triple {
        let double = text.find("\"\"\"");
        let single = if syntax.quotes.contains(&b'\'') { text.find("'''") } else { None };
        let (at, quote) = match (double, single) {
            (Some(double), Some(single)) if single < double => (single, "'''"),
            (Some(double), _) => (double, "\"\"\""),
            (None, Some(single)) => (single, "'''"),
            (None, None) => return None,
        };
        return closes(text, at).then_some(quote);
    }
    None
}

fn line_around(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let end = text[at..].find('\n').map_or(text.len(), |len| at + len);
    &text[start..end]
}

/// Whether the first triple quotes of a fragment, at `at`, end a string that began before it.
fn closes(text: &str, at: usize) -> bool {
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let before = text[start..at].trim_start();
    let after = line_around(text, at)[at - start + 3..].trim();
    // Code before the quotes opens a string, a sentence before them ends one. Prefixes as in `r"""` are code.
    if !before.is_empty() {
        let prefix = before.len() <= 2 && before.bytes().all(|byte| b"rRbBuUfF".contains(&byte));
        let code = before.ends_with(['=', '(', ',', '[', '{', ':', '%', '+']) || before.ends_with("return ");
        let spaced = before.trim_end().ends_with(['=', '(', ',', '[', '{', ':', '%', '+']);
        return !(prefix
            || code
            || spaced
            || before.contains('#')
            || before.ends_with(['r', 'f', 'b', 'u']) && before.contains(['=', '(']));
    }
    if !after.is_empty() && !after.starts_with([')', ',', '.', '%', ']', '}', '#', ';']) {
        return false;
    }
    // Quotes alone on a line. What they could open follows a block header or an unfinished expression.
    let previous = text[..start].trim_end().rsplit('\n').next().unwrap_or("").trim();
    if opens_block(previous) || previous.ends_with(['(', '=', '[', '\\']) {
        return false;
    }
    // What cannot be code is inside the string.
    let rest = &text[at + 3..];
    let below = rest.trim_start().split('\n').next().unwrap_or("");
    below.starts_with(&text[at..at + 3]) || !looks_like_prose(below) || looks_like_prose(previous)
}

/// Whether a line is a `def` or `class` line, or the end of one that wraps.
fn opens_block(line: &str) -> bool {
    let word = line.split([' ', '(']).next().unwrap_or("");
    let header = matches!(word, "def" | "class" | "async" | "cdef")
        && !looks_like_prose(line.trim_start_matches("async "));
    line.ends_with(':') && (header || line.starts_with(')') || line.ends_with("):") || line.contains(") ->"))
}

/// Whether a line cannot be Python code: plain words follow one another, or it is markup that only docstrings hold.
pub(super) fn looks_like_prose(line: &str) -> bool {
    const KEYWORDS: &[&str] = &[
        "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
        "except", "exec", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "match",
        "case", "nonlocal", "not", "or", "pass", "print", "raise", "return", "try", "type", "while", "with",
        "yield", "cdef", "cpdef", "cimport", "ctypedef", "cinline", "inline", "const", "unsigned", "int",
        "long", "double", "float",
    ];
    let line = line.trim();
    if line.starts_with(">>>")
        || line.starts_with(".. ")
        || line.starts_with(":param ")
        || line.starts_with(":return")
    {
        return true;
    }
    // Only what stands before any quote, bracket or operator can tell: words inside a string are no prose.
    let mut before_was_word = false;
    let mut pairs = 0;
    for word in line[..first_code_mark(line)].split(' ') {
        let bare = word.trim_end_matches(['.', ',', ';', ':']);
        let is_word = bare.starts_with(char::is_alphabetic)
            && bare.chars().all(|c| c.is_alphabetic() || c == '\'' || c == '-')
            && !KEYWORDS.contains(&bare);
        pairs += usize::from(is_word && before_was_word);
        before_was_word = is_word && bare.len() == word.len();
    }
    // Two plain words in a row, twice: no statement reads so.
    pairs >= 2
}

/// Whether what stands before a quote is the prefix of a string, as in `rb'a'`; no English word is one.
fn ends_in_prefix(text: &str) -> bool {
    let word = text.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    word.len() <= 2 && word.bytes().all(|byte| b"rRbBuUfFtT".contains(&byte))
}

/// Where a line first has a character that says that it is code, or its end. An apostrophe inside a word is none.
fn first_code_mark(line: &str) -> usize {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        let after = line[at + c.len_utf8()..].chars().next().unwrap_or(' ');
        let apostrophe =
            c == '\'' && before.is_alphabetic() && after.is_alphabetic() && !ends_in_prefix(&line[..at]);
        if "\"'=()[]{}<>+*/%@\\|&#`~^!".contains(c) && !apostrophe {
            return at;
        }
        before = c;
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_and_code() {
        for text in [
            "Return the value of x.",
            "the first one (or none), don't ask",
            ">>> f(a)",
            ":param x: a value",
            ".. note:: a",
            "It isn't what you think it is.",
        ] {
            assert!(looks_like_prose(text), "{text}");
        }
        for code in [
            "msg = _('Hold down the key to select more than one.')",
            "raise ValueError(\"this is not what we want here\")",
            "raise Error from error",
            "assert x, 'words in a string are not prose'",
            "for key in values if not other else another:",
            "\"a string that stands alone on its line\"",
            "print \"words in a string\"",
            "f'words in a string'",
            "rb'words in a string of bytes'",
            "x = y  # and a comment that says why",
            "import a as b",
            "from a import b as c",
            "lambda x: not x and y",
            "return not a or b is not c",
            "cdef unsigned int x",
            "async def f(a): pass",
        ] {
            assert!(!looks_like_prose(code), "{code}");
        }
    }
}
