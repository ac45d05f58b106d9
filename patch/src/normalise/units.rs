//! Joins the changed lines of one side into statements, so that where a statement wraps does not matter.

use super::Changed;
use super::tokens::{Kind, Lexed, Token};
use crate::Language;
use crate::fingerprint::combine;

/// How far to look for the end of a bracket that opened before the change.
const MAX_HIDDEN_LINES: usize = 256;

/// How a language ends statements.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a language")]
pub(super) struct Style {
    /// Indentation carries meaning.
    pub(super) indented: bool,
    /// A line feed ends a statement, and so belongs to the change.
    pub(super) newlines: bool,
    /// A statement ends only with `;` or a brace.
    braces: bool,
    /// Every line stands for itself.
    lines: bool,
    /// `(a,)` is a tuple, so not every trailing comma is formatting.
    tuples: bool,
}

impl Style {
    pub(super) fn of(language: Option<Language>) -> Self {
        let python = language == Some(Language::Python);
        let plain = language.is_none();
        let lines = plain
            || matches!(language, Some(Language::Shell | Language::Markup | Language::Ruby | Language::Sql));
        let braces = matches!(
            language,
            Some(
                Language::Java
                    | Language::Rust
                    | Language::C
                    | Language::Cpp
                    | Language::CSharp
                    | Language::Php
                    | Language::Css
            )
        );
        Self { indented: python || plain, newlines: python || lines, braces, lines, tuples: python }
    }
}

/// One statement, or a piece of one where the change begins or ends inside it.
#[derive(Debug)]
pub(super) struct Unit {
    /// Same statement, same hash.
    pub(super) hash: u64,
    /// Stands before the statement in the stream: the line feed, and the indentation where it carries meaning.
    pub(super) mark: u64,
    /// All tokens.
    pub(super) tokens: Vec<u64>,
    /// A hash per line.
    pub(super) lines: Vec<u64>,
    /// The tokens that say something: no brackets, commas and the like.
    pub(super) content: Vec<u64>,
}

/// The statements of `changed`, a stretch of lines of `lexed`.
pub(super) fn units(lexed: &Lexed, changed: &[Changed], style: Style) -> Vec<Unit> {
    let mut indents = Indents::default();
    let mut out = Vec::new();
    let mut from = 0;
    while from < changed.len() {
        let to = statement_end(lexed, changed, from, style);
        // A statement that closes more than it opens begins before the change: its indentation is that of a
        // continuation line and says nothing.
        let inner = depth_of(lexed, &changed[from..to]) < 0 && !style.braces;
        out.push(unit(lexed, &changed[from..to], style, inner, &mut indents));
        from = to;
    }
    out
}

fn tokens_of<'a>(lexed: &'a Lexed, changed: &Changed) -> &'a [Token] {
    let line = &lexed.lines[changed.line];
    &lexed.tokens[line.first..line.end]
}

/// Lowest bracket depth over `lines`, if it starts at 0.
fn depth_of(lexed: &Lexed, lines: &[Changed]) -> i64 {
    let (mut depth, mut least) = (0_i64, 0);
    for token in lines.iter().flat_map(|line| tokens_of(lexed, line)) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            _ => {}
        }
        least = least.min(depth);
    }
    least
}

/// Where the statement that begins at `from` ends.
fn statement_end(lexed: &Lexed, changed: &[Changed], from: usize, style: Style) -> usize {
    if style.lines {
        return from + 1;
    }
    if !style.braces
        && let Some(to) = hidden_bracket(lexed, changed, from)
    {
        return to;
    }
    let mut depth = 0_i64;
    for at in from..changed.len() {
        let tokens = tokens_of(lexed, &changed[at]);
        for token in tokens {
            // Braces hold statements, except in Python, where they hold values.
            let counts = style.tuples || !matches!(token.byte, b'{' | b'}');
            match token.kind {
                Kind::Open if counts => depth += 1,
                Kind::Close if counts => depth = (depth - 1).max(0),
                _ => {}
            }
        }
        let Some(last) = tokens.last() else { continue };
        let brace = matches!(last.byte, b'{' | b'}')
            && matches!(last.kind, Kind::Open | Kind::Close)
            && !style.tuples;
        let ended = if style.braces {
            brace || last.kind == Kind::Semicolon && depth == 0
        } else {
            let open = matches!(last.kind, Kind::Comma | Kind::Joiner | Kind::Backslash);
            let next = changed.get(at + 1).and_then(|line| tokens_of(lexed, line).first());
            let goes_on = next.is_some_and(|token| continues(token, style));
            brace || depth == 0 && !open && !goes_on
        };
        if ended {
            return at + 1;
        }
    }
    changed.len()
}

/// Whether a line that begins with `token` goes on with the statement of the line before.
fn continues(token: &Token, style: Style) -> bool {
    match token.kind {
        Kind::Close => style.tuples || token.byte != b'}',
        Kind::Joiner => !matches!(token.byte, b'-' | b'+' | b'&' | b'<') && token.byte != 0,
        Kind::Operator => token.byte == b'.' || token.byte == b'?' && !style.tuples,
        Kind::Comma => true,
        _ => false,
    }
}

/// When the lines from `from` on close a bracket that they do not open, they are all inside it up to there.
fn hidden_bracket(lexed: &Lexed, changed: &[Changed], from: usize) -> Option<usize> {
    let mut depth = 0_i64;
    let mut end = None;
    for (at, line) in changed.iter().enumerate().skip(from).take(MAX_HIDDEN_LINES) {
        for token in tokens_of(lexed, line) {
            // In languages with blocks a closing brace ends a block, not an expression.
            match (token.kind, token.byte) {
                (_, b'{' | b'}') => {}
                (Kind::Open, _) => depth += 1,
                (Kind::Close, _) => depth -= 1,
                _ => {}
            }
        }
        if depth < 0 {
            (depth, end) = (0, Some(at + 1));
        } else if end.is_none() && depth == 0 && starts_statement(lexed, line) {
            return None;
        }
    }
    end.filter(|end| *end > from)
}

/// A line that ends like a block header cannot be inside a bracket.
fn starts_statement(lexed: &Lexed, line: &Changed) -> bool {
    tokens_of(lexed, line)
        .last()
        .is_some_and(|token| matches!(token.kind, Kind::Colon | Kind::Semicolon) || token.byte == b'{')
}

fn unit(lexed: &Lexed, lines: &[Changed], style: Style, inner: bool, indents: &mut Indents) -> Unit {
    let all: Vec<Token> = lines.iter().flat_map(|line| tokens_of(lexed, line)).copied().collect();
    let mut tokens = Vec::with_capacity(all.len());
    for (at, token) in all.iter().enumerate() {
        let closes = all.get(at + 1).filter(|next| next.kind == Kind::Close);
        let trailing =
            token.kind == Kind::Comma && closes.is_some_and(|close| !makes_tuple(&all[..at], *close, style));
        if token.kind != Kind::Backslash && !trailing {
            tokens.push(token.hash);
        }
    }
    let indent = match lines.first() {
        Some(first) if style.indented && !inner => {
            indents.place(lexed.lines[first.line].indent, opens_block(&all))
        }
        _ => 0,
    };
    let line_hash = |(place, line): (usize, &Changed)| {
        let hash = tokens_of(lexed, line).iter().fold(0, |state, token| combine(state, token.hash));
        combine(hash, if place == 0 { indent } else { 0 })
    };
    let content = all.iter().filter(|token| {
        !matches!(
            token.kind,
            Kind::Open | Kind::Close | Kind::Comma | Kind::Semicolon | Kind::Colon | Kind::Backslash
        )
    });
    let mark = combine(1, indent);
    Unit {
        hash: tokens.iter().fold(mark, |state, token| combine(state, *token)),
        mark,
        lines: lines.iter().enumerate().map(line_hash).collect(),
        content: content.map(|token| token.hash).collect(),
        tokens,
    }
}

fn opens_block(tokens: &[Token]) -> bool {
    tokens.last().is_some_and(|token| token.kind == Kind::Colon)
}

/// Whether the comma after `before` is the only one in round brackets that are not a call: `(a,)`.
fn makes_tuple(before: &[Token], close: Token, style: Style) -> bool {
    if !style.tuples || close.byte != b')' {
        return false;
    }
    let mut depth = 0;
    for (at, token) in before.iter().enumerate().rev() {
        match token.kind {
            Kind::Close => depth += 1,
            Kind::Open if depth > 0 => depth -= 1,
            Kind::Open => {
                let callee = at.checked_sub(1).map(|at| before[at].kind);
                return !matches!(callee, Some(Kind::Word | Kind::Close));
            }
            Kind::Comma if depth == 0 => return false,
            _ => {}
        }
    }
    false
}

/// Indentation within a run: the column of its first line counts as it is, for it says which block of the file the
/// line is in; a block that the run itself opens counts as one level, however wide it is.
#[derive(Debug, Default)]
struct Indents {
    stack: Vec<u32>,
    opened: bool,
}

impl Indents {
    fn place(&mut self, column: u32, opens: bool) -> u64 {
        while self.stack.last().is_some_and(|top| *top > column) {
            self.stack.pop();
        }
        if self.stack.last() != Some(&column) {
            if !self.opened {
                self.stack.clear();
            }
            self.stack.push(column);
        }
        self.opened = opens;
        let base = self.stack.first().copied().unwrap_or(column);
        (u64::from(base) << 16) | self.stack.len() as u64
    }
}
