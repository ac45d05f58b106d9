//! One line at a time: tokens worth a colour, in time linear in the line's length.
//!
//! A lexer and not a parser, because a hunk is seldom a whole program: there is nothing to fail, and what a hunk
//! leaves open (a comment, a long string) is carried from line to line in [`State`].

use super::language::Rules;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Comment,
    String,
    Keyword,
    Number,
    Function,
    Type,
    Sigil,
}

/// A token: byte range of the line and class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) class: Class,
}

/// What the last line left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// Nothing.
    #[default]
    Code,
    /// A comment that ends with this.
    Comment(&'static str),
    /// A string that ends with this.
    String(&'static str),
}

/// The tokens of one line, in order and without overlap; `state` is carried to the next line.
pub(super) fn line(rules: &Rules, state: &mut State, text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let (len, class) = match *state {
            State::Comment(end) => (until(rest, end, false, state), Some(Class::Comment)),
            State::String(end) => (until(rest, end, true, state), Some(Class::String)),
            State::Code => code(rules, rest, state),
        };
        debug_assert!(len > 0, "every step moves on");
        if let Some(class) = class {
            tokens.push(Token { start: at, end: at + len, class });
        }
        at += len;
    }
    tokens
}

/// Length up to and including `end`, or the rest of the line with the state kept.
fn until(rest: &str, end: &'static str, escapes: bool, state: &mut State) -> usize {
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(end) {
            *state = State::Code;
            return at + end.len();
        }
        let mut chars = rest[at..].chars();
        let c = chars.next().unwrap_or_default();
        at += c.len_utf8();
        if escapes && c == '\\' {
            at += chars.next().map_or(0, char::len_utf8);
        }
    }
    rest.len()
}

fn code(rules: &Rules, rest: &str, state: &mut State) -> (usize, Option<Class>) {
    if rules.line_comments.iter().any(|c| rest.starts_with(c)) {
        return (rest.len(), Some(Class::Comment));
    }
    if let Some((start, end)) = rules.block
        && rest.starts_with(start)
    {
        *state = State::Comment(end);
        return (start.len() + until(&rest[start.len()..], end, false, state), Some(Class::Comment));
    }
    if let Some(delimiter) = rules.multi.iter().find(|d| rest.starts_with(**d)) {
        *state = State::String(delimiter);
        let len = delimiter.len();
        return (len + until(&rest[len..], delimiter, true, state), Some(Class::String));
    }
    let c = rest.chars().next().unwrap_or_default();
    if rules.lifetimes && c == '\'' && lifetime(rest) {
        return (1 + word_len(&rest[1..]), Some(Class::Type));
    }
    if rules.quotes.contains(&c) {
        return (quoted(rest, c), Some(Class::String));
    }
    if Some(c) == rules.sigil {
        let len = word_len(&rest[1..]);
        return (1 + len, (len > 0).then_some(Class::Sigil));
    }
    if c.is_ascii_digit() {
        let len =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_')).unwrap_or(rest.len());
        return (len, Some(Class::Number));
    }
    if is_word(c) {
        let len = word_len(rest);
        return (len, word_class(rules, &rest[..len], &rest[len..]));
    }
    (c.len_utf8(), None)
}

fn word_class(rules: &Rules, word: &str, after: &str) -> Option<Class> {
    if rules.keywords.binary_search(&word).is_ok() {
        Some(Class::Keyword)
    } else if after.starts_with('(') {
        Some(Class::Function)
    } else if word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.contains(|c: char| c.is_ascii_lowercase())
    {
        Some(Class::Type)
    } else {
        None
    }
}

/// `'a` but not `'a'` nor `'\n'`.
fn lifetime(rest: &str) -> bool {
    let len = word_len(&rest[1..]);
    len > 0 && !rest[1 + len..].starts_with('\'')
}

/// Length of a string that ends with its line at the latest.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return i + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn word_len(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::language::by_path;
    use super::*;

    fn lex(path: &str, lines: &[&str]) -> Vec<(String, Class)> {
        let rules = by_path(path).unwrap();
        let mut state = State::default();
        let mut out = Vec::new();
        for text in lines {
            out.extend(
                line(rules, &mut state, text).into_iter().map(|t| (text[t.start..t.end].to_owned(), t.class)),
            );
        }
        out
    }

    #[test]
    fn python() {
        use Class::{Comment, Function, Keyword, Number, Sigil, String, Type};
        let got = lex("a.py", &["@cached", "def f(x: Path):  # é", "    return 'it\\'s' + g(1.5)"]);
        let want = [
            ("@cached", Sigil),
            ("def", Keyword),
            ("f", Function),
            ("Path", Type),
            ("# é", Comment),
            ("return", Keyword),
            ("'it\\'s'", String),
            ("g", Function),
            ("1.5", Number),
        ];
        assert_eq!(got, want.map(|(s, c)| (s.to_owned(), c)));
    }

    #[test]
    fn what_spans_lines_is_carried() {
        let got = lex("a.py", &["x = \"\"\"one", "two # no comment", "end\"\"\" + y  # c"]);
        assert_eq!(got.iter().filter(|(_, c)| *c == Class::String).count(), 3);
        assert_eq!(got.last().unwrap(), &("# c".to_owned(), Class::Comment));
        let got = lex("a.c", &["a /* b", "c */ return"]);
        assert_eq!(got.last().unwrap(), &("return".to_owned(), Class::Keyword));
    }

    #[test]
    fn rust_lifetimes_are_no_strings() {
        let got = lex("a.rs", &["fn f<'a>(x: &'a str) -> char { 'x' }"]);
        assert!(got.contains(&("'a".to_owned(), Class::Type)));
        assert!(got.contains(&("'x'".to_owned(), Class::String)));
        assert_eq!(got.last().unwrap(), &("'x'".to_owned(), Class::String));
    }

    proptest! {
        #[test]
        fn tokens_are_ordered_char_ranges(text in "\\PC{0,80}|[\"'`/*#\\\\@ a1é]{0,40}", pick in 0usize..6) {
            let rules = by_path(["a.py", "a.ts", "a.rs", "a.c", "a.html", "a.go"][pick]).unwrap();
            let mut state = State::default();
            let mut last = 0;
            for t in line(rules, &mut state, &text) {
                prop_assert!(t.start >= last && t.end > t.start);
                prop_assert!(text.is_char_boundary(t.start) && text.is_char_boundary(t.end));
                last = t.end;
            }
            prop_assert!(last <= text.len());
        }
    }
}
