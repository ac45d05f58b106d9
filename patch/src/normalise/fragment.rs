//! One side of a hunk (context and removed, or context and added lines) as a fragment of a program.

use super::prose::starts_inside;
use super::scan::{Span, SpanKind, scan};
use super::syntax::Syntax;
use super::tokens::{Kind, Lexed, tokenise};
use super::tree;
use crate::{Hunk, Language, LineKind};

/// Fragments longer than this many bytes are not parsed.
const MAX_PARSED_BYTES: usize = 64 * 1024;

/// One side of a hunk, in tokens; line n of it is the nth line of the side.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) lexed: Lexed,
}

/// The side of `hunk` that holds lines of `kind`.
pub(super) fn side(hunk: &Hunk, kind: LineKind, language: Option<Language>, parse: bool) -> Side {
    if !hunk.lines.iter().any(|line| line.kind == kind) {
        return Side { lexed: Lexed::default() };
    }
    let mut text = String::new();
    let mut changed = Vec::new();
    for line in hunk.lines.iter().filter(|line| line.kind == kind || line.kind == LineKind::Context) {
        if line.kind == kind {
            changed.push((text.len(), text.len() + line.text.len()));
        }
        text.push_str(&line.text);
        text.push('\n');
    }
    text.pop();
    Side { lexed: lex(&text, &changed, language, parse) }
}

fn lex(text: &str, changed: &[(usize, usize)], language: Option<Language>, parse: bool) -> Lexed {
    let syntax = Syntax::of(language);
    let inside = starts_inside(text, &syntax);
    let spans = scan(text, &syntax, inside);
    let lexed = tokenise(text, &spans, language, &syntax);
    let Some(language) = language.filter(|_| parse && text.len() <= MAX_PARSED_BYTES) else { return lexed };
    if !tree::has_grammar(language) || !worth_parsing(text, &spans, changed, language) {
        return lexed;
    }
    let (prefix, suffix) = frame(text, &spans, &lexed, inside, language);
    match tree::spans(text, &prefix, &suffix, language, &syntax) {
        Some(spans) => tokenise(text, &spans, Some(language), &syntax),
        None => lexed,
    }
}

/// Whether the tree could say anything that the scanner does not know: only about comments and strings on changed
/// lines, and in Python, where those two cannot be confused, only about strings that stand alone.
fn worth_parsing(text: &str, spans: &[Span], changed: &[(usize, usize)], language: Language) -> bool {
    spans.iter().any(|span| {
        // The changed lines are in order: find the first that ends at or behind the span's start.
        let at = changed.partition_point(|line| line.1 < span.start);
        let touches = changed.get(at).is_some_and(|line| line.0 < span.end);
        if !touches {
            return false;
        }
        if language != Language::Python {
            return true;
        }
        let line = text[..span.start].rsplit('\n').next().unwrap_or("");
        span.kind != SpanKind::Comment && line.trim().is_empty()
    })
}

/// What to put before and after a fragment so that it is whole: open blocks, closing braces, quotes.
fn frame(
    text: &str,
    spans: &[Span],
    lexed: &Lexed,
    inside: Option<&str>,
    language: Language,
) -> (String, String) {
    let unclosed =
        spans.last().filter(|span| span.end == text.len()).and_then(|span| unclosed(&text[span.start..]));
    if language == Language::Python {
        let mut prefix = blocks(lexed);
        if let Some(quote) = inside {
            prefix.push_str(quote);
        }
        let suffix = unclosed.map_or_else(String::new, |quote| format!("\n{quote}\n"));
        return (prefix, suffix);
    }
    let (mut open, mut missing) = (0_usize, 0_usize);
    for token in &lexed.tokens {
        match (token.kind, token.byte) {
            (Kind::Open, b'{') => open += 1,
            (Kind::Close, b'}') if open > 0 => open -= 1,
            (Kind::Close, b'}') => missing += 1,
            _ => {}
        }
    }
    let mut prefix = String::new();
    if missing > 0 {
        prefix.push_str(match language {
            Language::C | Language::Cpp => "void f() ",
            Language::Rust => "fn f() ",
            Language::Go => "func f() ",
            _ => "",
        });
        prefix.push_str(&"{".repeat(missing));
    }
    if inside == Some("*/") {
        prefix.push_str("/*");
    } else if let Some(quote) = inside {
        prefix.push_str(quote);
    }
    let mut suffix = match unclosed {
        Some(close) => format!("\n{close}\n"),
        None => "\n".to_owned(),
    };
    suffix.push_str(&"}".repeat(open));
    (prefix, suffix)
}

/// What closes the comment or string `text`, when it is still open at its end.
fn unclosed(text: &str) -> Option<&'static str> {
    let body = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    for (open, close) in [("\"\"\"", "\"\"\""), ("'''", "'''"), ("/*", "*/"), ("`", "`")] {
        if let Some(rest) = body.strip_prefix(open) {
            return (!rest.ends_with(close)).then_some(close);
        }
    }
    None
}

/// Python block headers for every level that the fragment falls back to: an indented first line needs a block
/// around it, and each later line that is further left than all before it ends one.
fn blocks(lexed: &Lexed) -> String {
    let mut levels = Vec::new();
    let mut least = None;
    for line in lexed.lines.iter().filter(|line| line.first < line.end) {
        if least.is_none_or(|least| line.indent < least) {
            if least.is_some() {
                levels.push(line.indent);
            }
            least = Some(line.indent);
        }
    }
    if levels.last().copied().or(least).is_some_and(|least| least > 0) {
        levels.push(0);
    }
    let mut prefix = String::new();
    for level in levels.into_iter().rev() {
        prefix.push_str(&" ".repeat(level as usize));
        prefix.push_str("if 1:\n");
    }
    prefix
}
