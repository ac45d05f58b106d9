//! Finds comments and strings by the lexical rules of a language alone. It needs no complete program, so it is what
//! decides where a fragment does not parse.

use super::syntax::Syntax;

/// A comment or string in a fragment, by byte range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: SpanKind,
}

/// What a [`Span`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpanKind {
    Comment,
    /// A string; whether it is a docstring is not decided yet.
    Text,
    /// A string that is data, by the syntax tree.
    Data,
    /// A string that stands alone as a statement, by the syntax tree.
    Docstring,
}

/// All comments and strings of `text`, which begins inside what `inside` closes.
pub(super) fn scan(text: &str, syntax: &Syntax, inside: Option<&'static str>) -> Vec<Span> {
    Scanner { text, bytes: text.as_bytes(), syntax, at: 0, spans: Vec::new() }.run(inside)
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    syntax: &'a Syntax,
    at: usize,
    spans: Vec<Span>,
}

impl Scanner<'_> {
    fn run(mut self, inside: Option<&'static str>) -> Vec<Span> {
        if let Some(close) = inside {
            let end = self.text.find(close).map_or(self.bytes.len(), |at| at + close.len());
            let kind = if close.starts_with(['"', '\'']) { SpanKind::Text } else { SpanKind::Comment };
            self.push(0, end, kind);
        }
        while self.at < self.bytes.len() {
            self.step();
        }
        self.spans
    }

    fn push(&mut self, start: usize, end: usize, kind: SpanKind) {
        self.spans.push(Span { start, end, kind });
        self.at = end;
    }

    fn step(&mut self) {
        let byte = self.bytes[self.at];
        let rest = &self.bytes[self.at..];
        if byte == b'\n' || self.at == 0 {
            let start = if byte == b'\n' { self.at + 1 } else { 0 };
            if byte == b'\n' {
                self.at += 1;
            }
            if self.star_line(start) {
                let end = self.line_end(start);
                self.push(start, end, SpanKind::Comment);
                return;
            }
            if byte == b'\n' {
                return;
            }
        }
        if self.syntax.line.iter().any(|mark| rest.starts_with(mark.as_bytes())) && self.comment_may_start() {
            let (start, end) = (self.at, self.line_end(self.at));
            self.push(start, end, SpanKind::Comment);
            return;
        }
        if let Some((open, close)) = self.syntax.block
            && rest.starts_with(open.as_bytes())
        {
            let (start, end) = (self.at, self.block_end(open, close));
            self.push(start, end, SpanKind::Comment);
            return;
        }
        if byte == b'"' || byte == b'\'' || byte == b'`' || byte == b'/' {
            self.quote(byte);
            return;
        }
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
            self.word();
            return;
        }
        self.at += 1;
    }

    /// Skips an identifier, so that its last letters are not read as the prefix of a string; handles raw strings.
    fn word(&mut self) {
        let start = self.at;
        while self.at < self.bytes.len()
            && (self.bytes[self.at].is_ascii_alphanumeric()
                || self.bytes[self.at] == b'_'
                || self.bytes[self.at] >= 0x80)
        {
            self.at += 1;
        }
        // `1'000'000`: a quote between the digits of a C++ number opens nothing.
        if self.syntax.cpp && self.bytes[start].is_ascii_digit() {
            let digits = self.bytes[self.at..]
                .iter()
                .take_while(|byte| **byte == b'\'' || byte.is_ascii_alphanumeric());
            self.at += digits.count();
        }
        let word = &self.text[start..self.at];
        if self.syntax.rust && matches!(word, "r" | "br" | "cr") {
            let hashes = self.bytes[self.at..].iter().take_while(|byte| **byte == b'#').count();
            if self.bytes.get(self.at + hashes) == Some(&b'"') {
                let close = format!("\"{}", "#".repeat(hashes));
                let from = self.at + hashes + 1;
                let end =
                    self.text[from..].find(&close).map_or(self.bytes.len(), |at| from + at + close.len());
                self.push(start, end, SpanKind::Text);
            }
        } else if self.syntax.cpp
            && matches!(word, "R" | "LR" | "uR" | "UR" | "u8R")
            && self.bytes.get(self.at) == Some(&b'"')
        {
            let from = self.at + 1;
            if let Some(open) = self.text[from..].find('(').filter(|len| *len <= 16) {
                let close = format!("){}\"", &self.text[from..from + open]);
                let end =
                    self.text[from..].find(&close).map_or(self.bytes.len(), |at| from + at + close.len());
                self.push(start, end, SpanKind::Text);
            }
        } else if self.syntax.triple
            && word.len() <= 2
            && word.bytes().all(|byte| b"rRbBuUfFtT".contains(&byte))
        {
            // A prefix belongs to its string.
            if let Some(&quote) = self.bytes.get(self.at).filter(|byte| self.syntax.quotes.contains(byte)) {
                self.quote(quote);
                if let Some(last) = self.spans.last_mut() {
                    last.start = start;
                }
            }
        }
    }

    fn quote(&mut self, byte: u8) {
        let start = self.at;
        let rest = &self.bytes[start..];
        let known = self.syntax.quotes.contains(&byte);
        if known && self.syntax.triple && rest.starts_with(&[byte; 3]) {
            let close = if byte == b'"' { "\"\"\"" } else { "'''" };
            let end = self.escaped_end(start + 3, close.as_bytes(), true);
            self.push(start, end, SpanKind::Text);
        } else if known {
            // Rust strings run over lines; elsewhere a missing quote must not swallow the rest.
            let end = self.escaped_end(start + 1, &[byte], self.syntax.rust);
            self.push(start, end, SpanKind::Text);
        } else if byte == b'\'' && self.syntax.block.is_some() && !self.syntax.line.is_empty() {
            // Character literals where `'` is no quote: Rust, with its lifetimes, and Java.
            let end = self.char_end(start);
            if end > start {
                self.push(start, end, SpanKind::Text);
            } else {
                self.at += 1;
            }
        } else if byte == b'`' && self.syntax.backtick {
            let end = if self.syntax.raw_backtick {
                self.text[start + 1..].find('`').map_or(self.bytes.len(), |at| start + 2 + at)
            } else {
                self.escaped_end(start + 1, b"`", true)
            };
            self.push(start, end, SpanKind::Text);
        } else if byte == b'/' && self.syntax.regex && self.regex_may_start() {
            match self.regex_end(start) {
                Some(end) => self.push(start, end, SpanKind::Text),
                None => self.at += 1,
            }
        } else {
            self.at += 1;
        }
    }

    /// End of a string whose content begins at `from`: after `close`, or at the end of the line unless `multiline`.
    fn escaped_end(&self, from: usize, close: &[u8], multiline: bool) -> usize {
        let mut at = from;
        while at < self.bytes.len() {
            if self.bytes[at] == b'\\' {
                at += 2;
            } else if self.bytes[at..].starts_with(close) {
                return at + close.len();
            } else if self.bytes[at] == b'\n' && !multiline {
                return at;
            } else {
                at += 1;
            }
        }
        self.bytes.len()
    }

    fn char_end(&self, start: usize) -> usize {
        let mut chars = self.text[start + 1..].char_indices();
        match chars.next() {
            Some((_, '\\')) => self.escaped_end(start + 1, b"'", false),
            Some((_, c)) if c != '\'' && c != '\n' => match chars.next() {
                Some((at, '\'')) => start + 1 + at + 1,
                _ => start,
            },
            _ => start,
        }
    }

    fn regex_may_start(&self) -> bool {
        let before = self.text[..self.at].trim_end_matches([' ', '\t']);
        before.ends_with(['(', ',', '=', ':', '[', '!', '&', '|', '?', '{', '}', ';', '\n'])
            || before.is_empty()
            || before.ends_with("return")
    }

    fn regex_end(&self, start: usize) -> Option<usize> {
        let mut at = start + 1;
        let mut class = false;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'\n' => return None,
                b'\\' => at += 1,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => return Some(at + 1),
                _ => {}
            }
            at += 1;
        }
        None
    }

    fn block_end(&self, open: &str, close: &str) -> usize {
        let mut depth = 0_usize;
        let mut at = self.at;
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            if rest.starts_with(close.as_bytes()) && depth > 0 {
                depth -= 1;
                at += close.len();
                if depth == 0 {
                    return at;
                }
            } else if rest.starts_with(open.as_bytes()) && (depth == 0 || self.syntax.nested) {
                depth += 1;
                at += open.len();
            } else {
                at += 1;
            }
        }
        self.bytes.len()
    }

    /// `#` inside a shell word, as in `$#` or `a#b`, begins no comment.
    fn comment_may_start(&self) -> bool {
        let hash = self.bytes[self.at] == b'#' && !self.syntax.triple;
        !hash
            || self.at == 0
            || self.bytes[self.at - 1].is_ascii_whitespace()
            || self.bytes[self.at - 1] == b';'
    }

    fn line_end(&self, from: usize) -> usize {
        self.text[from..].find('\n').map_or(self.bytes.len(), |len| from + len)
    }

    /// A line such as ` * text`: the inside of a block comment whose beginning the hunk does not show. After an
    /// unfinished expression it is a product, and so it is when it ends a statement.
    fn star_line(&self, start: usize) -> bool {
        if self.syntax.block.is_none_or(|(open, _)| open != "/*") {
            return false;
        }
        let line = self.text[start..self.line_end(start)].trim();
        let star = line == "*" || line.starts_with("* ") || line.starts_with("*\t");
        if !star || line.ends_with(';') {
            return false;
        }
        let before = self.text[..start].trim_end();
        let after_comment =
            self.spans.last().is_some_and(|span| span.kind == SpanKind::Comment && span.end >= before.len());
        before.is_empty() || after_comment || before.ends_with([';', '{', '}'])
    }
}
