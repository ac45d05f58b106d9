//! Cuts the code of a fragment into tokens, line by line, without its comments and docstrings.

use super::prose::looks_like_prose;
use super::scan::{Span, SpanKind};
use super::syntax::Syntax;
use crate::Language;
use crate::fingerprint::{combine, hash_bytes};

/// What a token means for joining lines and for similarity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier, keyword or number.
    Word,
    /// A string, or the part of one on this line.
    Text,
    /// `( [ {`
    Open,
    /// `) ] }`
    Close,
    Comma,
    Semicolon,
    Colon,
    /// An operator that wants a right-hand side, or `and`, `or`: the statement goes on after it.
    Joiner,
    /// `.` and the like at the beginning of a line continue the statement before.
    Operator,
    /// A backslash at the end of a line.
    Backslash,
}

/// One token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) hash: u64,
    pub(super) kind: Kind,
    /// The bracket or the like, for [`Kind::Open`] and [`Kind::Close`].
    pub(super) byte: u8,
}

/// The tokens of one line of the fragment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LexedLine {
    pub(super) first: usize,
    pub(super) end: usize,
    /// Column of the first token; tabs go to the next multiple of 8.
    pub(super) indent: u32,
    /// The line cannot be code, so it is taken to be inside a docstring that the hunk does not show the start of.
    pub(super) guessed: bool,
}

/// A fragment in tokens.
#[derive(Debug, Default)]
pub(super) struct Lexed {
    pub(super) tokens: Vec<Token>,
    pub(super) lines: Vec<LexedLine>,
}

const OPERATORS: &[&str] = &[
    "===", "!==", "**=", "//=", "<<=", "...", "..=", "&&=", "||=", "??=", "<=>", "->*", "==", "!=", "<=",
    "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "->", "=>", "::", "++", "--", "&&", "||", "**", "//",
    "?.", "??", ":=", "<-", "..", "<<", "!~", "=~", "@=",
];

/// Cuts `text` into tokens; `spans` are its comments and strings in order, without overlap.
pub(super) fn tokenise(text: &str, spans: &[Span], language: Option<Language>, syntax: &Syntax) -> Lexed {
    let mut cutter = Cutter {
        text,
        python: language == Some(Language::Python),
        plain: language.is_none(),
        drops_semicolon: matches!(
            language,
            Some(
                Language::JavaScript
                    | Language::TypeScript
                    | Language::Tsx
                    | Language::Kotlin
                    | Language::Python
            )
        ),
        rust: syntax.rust,
        out: Lexed::default(),
        depth: 0,
        statement_begins: true,
        header: false,
        line_start: 0,
    };
    cutter.begin_line(0);
    let mut at = 0;
    for span in spans {
        cutter.code(at, span.start);
        match span.kind {
            SpanKind::Comment | SpanKind::Docstring => cutter.skip(span.start, span.end),
            SpanKind::Text if cutter.python && cutter.is_docstring(span) => cutter.skip(span.start, span.end),
            SpanKind::Text | SpanKind::Data => cutter.text_token(span.start, span.end),
        }
        at = span.end;
    }
    cutter.code(at, text.len());
    cutter.end_line();
    cutter.out
}

#[expect(clippy::struct_excessive_bools, reason = "facts of a language and of the place read, not states")]
struct Cutter<'a> {
    text: &'a str,
    python: bool,
    /// No language: words between blanks.
    plain: bool,
    drops_semicolon: bool,
    rust: bool,
    out: Lexed,
    depth: usize,
    /// Nothing of the current statement was seen yet.
    statement_begins: bool,
    /// The statement is a `def` or `class` line.
    header: bool,
    line_start: usize,
}

impl Cutter<'_> {
    fn begin_line(&mut self, at: usize) {
        self.line_start = at;
        let first = self.out.tokens.len();
        self.out.lines.push(LexedLine { first, end: first, ..LexedLine::default() });
    }

    fn end_line(&mut self) {
        let Some(line) = self.out.lines.last_mut() else { return };
        let tokens = &mut self.out.tokens;
        if self.drops_semicolon
            && tokens.len() > line.first
            && tokens.last().is_some_and(|token| token.kind == Kind::Semicolon)
        {
            tokens.pop();
        }
        line.end = tokens.len();
        let Some(last) = tokens[line.first..].last() else { return };
        let joins = matches!(last.kind, Kind::Comma | Kind::Joiner | Kind::Backslash | Kind::Open);
        if self.depth == 0 && !joins {
            if !self.statement_begins && last.kind != Kind::Colon {
                self.header = false;
            }
            self.statement_begins = true;
        } else {
            self.statement_begins = false;
        }
    }

    fn newline(&mut self, at: usize) {
        self.end_line();
        self.begin_line(at + 1);
    }

    /// Passes over a comment or docstring.
    fn skip(&mut self, start: usize, end: usize) {
        for (at, _) in self.text[start..end].match_indices('\n') {
            self.newline(start + at);
        }
    }

    fn push(&mut self, start: usize, hash: u64, kind: Kind, byte: u8) {
        let first = self.out.lines.last().is_some_and(|line| line.first == self.out.tokens.len());
        if first {
            let indent = column(&self.text[self.line_start..start]);
            if let Some(line) = self.out.lines.last_mut() {
                line.indent = indent;
            }
        }
        self.statement_begins = false;
        self.out.tokens.push(Token { hash, kind, byte });
    }

    /// A string: its contents count as they are, line by line.
    fn text_token(&mut self, start: usize, end: usize) {
        let text = &self.text[start..end];
        if !text.contains('\n') {
            self.push(start, string_hash(text, self.python), Kind::Text, 0);
            return;
        }
        let mut at = start;
        for (number, piece) in text.split('\n').enumerate() {
            if number > 0 {
                self.newline(at - 1);
            }
            let content = piece.strip_suffix('\r').unwrap_or(piece);
            self.push(at, hash_bytes(content.as_bytes()), Kind::Text, 0);
            at += piece.len() + 1;
        }
    }

    /// Whether a string stands alone as a statement: nothing before it in its statement, nothing after it on its
    /// line. Single quotes count only right below a `def` or `class`, for anywhere else such a line is most often a
    /// part of a longer string in a call that the hunk does not show.
    fn is_docstring(&self, span: &Span) -> bool {
        let text = &self.text[span.start..span.end];
        let quotes = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let prefix = &text[..text.len() - quotes.len()];
        // An f-string calls code, bytes are data.
        if prefix.contains(['f', 'F', 'b', 'B', 't', 'T']) && span.start > 0 {
            return false;
        }
        let triple = quotes.starts_with("\"\"\"") || quotes.starts_with("'''");
        let continues = span.start == 0 && !quotes.starts_with(['"', '\'']) || triple;
        let alone_before = self.text[self.line_start..span.start].trim().is_empty() && self.depth == 0;
        let rest = self.text[span.end..].split('\n').next().unwrap_or("").trim();
        let alone_after = rest.is_empty() || rest.starts_with('#');
        let next = self.text[span.end..].trim_start();
        let goes_on = !rest.starts_with('#') && next.starts_with([')', ']', '}', ',', '.', '%']);
        let begins = self.statement_begins || span.start == 0;
        alone_before && alone_after && !goes_on && begins && (continues || self.header)
    }

    fn code(&mut self, start: usize, end: usize) {
        if self.plain {
            self.plain_words(start, end);
            return;
        }
        let mut at = start;
        let bytes = self.text.as_bytes();
        while at < end {
            let byte = bytes[at];
            if byte == b'\n' {
                self.newline(at);
                at += 1;
            } else if byte.is_ascii_whitespace() || byte == 0x0c {
                at += 1;
            } else {
                if self.python && self.prose_line(at) {
                    // The line is one opaque token, so that nothing in it opens a bracket.
                    let stop = self.text[at..end].find('\n').map_or(end, |len| at + len);
                    self.push(at, hash_bytes(self.text[at..stop].trim_end().as_bytes()), Kind::Text, 0);
                    if let Some(line) = self.out.lines.last_mut() {
                        line.guessed = true;
                    }
                    at = stop;
                    continue;
                }
                at = self.token(at, end);
            }
        }
    }

    /// Whether the line whose first token is at `at` cannot be code.
    fn prose_line(&self, at: usize) -> bool {
        let line = self.out.lines.last().is_some_and(|line| line.first == self.out.tokens.len());
        line && looks_like_prose(self.text[at..].split('\n').next().unwrap_or(""))
    }

    /// Reads one token at `at`; returns where it ends.
    fn token(&mut self, at: usize, end: usize) -> usize {
        let text = &self.text[at..end];
        let byte = text.as_bytes()[0];
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let first = text.chars().next().unwrap_or(' ');
        if word(first) || first as u32 >= 0x80 {
            let mut len = text.find(|c: char| !word(c) && (c as u32) < 0x80).unwrap_or(text.len());
            if byte.is_ascii_digit() {
                let more = |c: char| word(c) || c == '.' || self.rust_digit(c);
                len = text.find(|c: char| !more(c)).unwrap_or(text.len());
            }
            let name = &text[..len];
            if self.statement_begins && self.python {
                self.header = matches!(name, "def" | "class" | "async");
            }
            let joiner = self.python && matches!(name, "and" | "or" | "not" | "in" | "is");
            let kind = if joiner { Kind::Joiner } else { Kind::Word };
            // `not` may begin a statement, the others only go on with one.
            let goes_on = joiner && name != "not";
            self.push(at, hash_bytes(name.as_bytes()), kind, if goes_on { b'a' } else { 0 });
            return at + len;
        }
        let operator = OPERATORS
            .iter()
            .find(|operator| text.starts_with(**operator))
            .map_or(1, |operator| operator.len());
        let name = &text[..operator];
        let kind = match name {
            "(" | "[" | "{" => {
                self.depth += 1;
                Kind::Open
            }
            ")" | "]" | "}" => {
                self.depth = self.depth.saturating_sub(1);
                Kind::Close
            }
            "," => Kind::Comma,
            ";" => Kind::Semicolon,
            ":" => Kind::Colon,
            "\\" if text[1..].trim_start_matches([' ', '\t', '\r']).starts_with('\n') || text.len() == 1 => {
                Kind::Backslash
            }
            "." | "..." | "++" | "--" | "!" | "~" | "@" | "?" | "*" => Kind::Operator,
            _ => Kind::Joiner,
        };
        self.push(at, hash_bytes(name.as_bytes()), kind, byte);
        at + operator
    }

    fn rust_digit(&self, c: char) -> bool {
        self.rust && c == '_'
    }

    fn plain_words(&mut self, start: usize, end: usize) {
        let mut at = start;
        for (number, line) in self.text[start..end].split('\n').enumerate() {
            if number > 0 {
                self.newline(at - 1);
            }
            let mut from = 0;
            for word in line.split_ascii_whitespace() {
                let offset = line[from..].find(word).map_or(from, |found| from + found);
                self.push(at + offset, hash_bytes(word.as_bytes()), Kind::Word, 0);
                from = offset + word.len();
            }
            at += line.len() + 1;
        }
    }
}

/// Hash of a string literal. `'a'` and `"a"` are the same in Python unless an escape or a quote is inside.
fn string_hash(text: &str, python: bool) -> u64 {
    let body = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let content = ["'", "\""].iter().find_map(|quote| body.strip_prefix(quote)?.strip_suffix(quote));
    match content.filter(|content| python && !content.contains(['\\', '"', '\''])) {
        Some(content) => {
            let prefix = text[..text.len() - body.len()].to_ascii_lowercase();
            combine(hash_bytes(prefix.as_bytes()), hash_bytes(content.as_bytes()))
        }
        None => hash_bytes(text.as_bytes()),
    }
}

/// Width of the blanks `text`, with tabs to the next multiple of 8.
fn column(text: &str) -> u32 {
    text.chars().fold(0, |column, c| if c == '\t' { (column / 8 + 1) * 8 } else { column + 1 })
}
