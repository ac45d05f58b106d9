//! Finds comments, strings and docstrings with tree-sitter, where a fragment parses without an error.

use std::cell::RefCell;

use rustc_hash::FxHashMap;
use tree_sitter::{Node, Parser};

use super::scan::{Span, SpanKind, scan};
use super::syntax::Syntax;
use crate::Language;

thread_local! {
    /// Parsers are costly to make and cheap to reuse; each thread has its own.
    static PARSERS: RefCell<FxHashMap<Language, Parser>> = RefCell::new(FxHashMap::default());
}

/// Whether there is a grammar for `language`.
pub(super) fn has_grammar(language: Language) -> bool {
    grammar(language).is_some()
}

fn grammar(language: Language) -> Option<tree_sitter::Language> {
    Some(match language {
        Language::Python => tree_sitter_python::LANGUAGE.into(),
        Language::Java => tree_sitter_java::LANGUAGE.into(),
        Language::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
        Language::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        Language::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
        Language::Go => tree_sitter_go::LANGUAGE.into(),
        Language::Rust => tree_sitter_rust::LANGUAGE.into(),
        Language::C => tree_sitter_c::LANGUAGE.into(),
        Language::Cpp => tree_sitter_cpp::LANGUAGE.into(),
        _ => return None,
    })
}

/// The comments and strings of a fragment, which lies between `prefix` and `suffix` that make it whole.
/// `None` when there is no grammar or the result does not parse.
pub(super) fn spans(
    text: &str,
    prefix: &str,
    suffix: &str,
    language: Language,
    syntax: &Syntax,
) -> Option<Vec<Span>> {
    let whole = [prefix, text, suffix].concat();
    let tree = PARSERS.with_borrow_mut(|parsers| {
        let parser = match parsers.entry(language) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let mut parser = Parser::new();
                parser.set_language(&grammar(language)?).ok()?;
                entry.insert(parser)
            }
        };
        parser.parse(&whole, None)
    })?;
    let root = tree.root_node();
    if root.has_error() {
        return None;
    }
    let mut found = Vec::new();
    collect(root, &whole, syntax, &mut found);
    // Back from the whole to the fragment.
    let (from, to) = (prefix.len(), prefix.len() + text.len());
    found.retain_mut(|span| {
        span.start = span.start.clamp(from, to) - from;
        span.end = span.end.clamp(from, to) - from;
        span.start < span.end
    });
    Some(found)
}

fn collect(root: Node<'_>, text: &str, syntax: &Syntax, found: &mut Vec<Span>) {
    let mut cursor = root.walk();
    loop {
        let node = cursor.node();
        let leaf = match classify(&node) {
            Leaf::Span(kind) => {
                let mut end = node.end_byte();
                // Rust's doc comments take their line feed with them.
                if kind == SpanKind::Comment && text[..end].ends_with('\n') {
                    end -= 1;
                }
                found.push(Span { start: node.start_byte(), end, kind });
                true
            }
            // The body of a C macro is one opaque node.
            Leaf::Opaque => {
                let start = node.start_byte();
                found.extend(scan(&text[start..node.end_byte()], syntax, None).into_iter().map(|span| {
                    Span {
                        start: span.start + start,
                        end: span.end + start,
                        kind: if span.kind == SpanKind::Text { SpanKind::Data } else { span.kind },
                    }
                }));
                true
            }
            Leaf::No => false,
        };
        if !leaf && cursor.goto_first_child() {
            continue;
        }
        loop {
            if cursor.goto_next_sibling() {
                break;
            }
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

enum Leaf {
    Span(SpanKind),
    Opaque,
    No,
}

fn classify(node: &Node<'_>) -> Leaf {
    match node.kind() {
        "comment" | "line_comment" | "block_comment" => Leaf::Span(SpanKind::Comment),
        // `comment` is named in every grammar; an anonymous `string` is the keyword of TypeScript.
        "string" if node.is_named() => {
            Leaf::Span(if is_docstring(node) { SpanKind::Docstring } else { SpanKind::Data })
        }
        "string_literal"
        | "char_literal"
        | "character_literal"
        | "template_string"
        | "regex"
        | "raw_string_literal"
        | "interpreted_string_literal"
        | "rune_literal"
        | "system_lib_string" => Leaf::Span(SpanKind::Data),
        "preproc_arg" => Leaf::Opaque,
        _ => Leaf::No,
    }
}

/// A Python string that is a statement of its own, and not an f-string, which runs code, or a byte string.
/// Single quotes count only at the head of a block (see `Cutter::is_docstring`); JavaScript's directives such as
/// `'use strict'` always stand alone but mean something.
fn is_docstring(node: &Node<'_>) -> bool {
    let Some(statement) = node.parent().filter(|parent| parent.kind() == "expression_statement") else {
        return false;
    };
    let Some(start) = node.child(0).filter(|start| start.kind() == "string_start") else { return false };
    let width = start.end_byte() - start.start_byte();
    let interpolated =
        (0..node.child_count()).any(|at| node.child(at).is_some_and(|child| child.kind() == "interpolation"));
    let heads_body = || {
        let first = statement.prev_named_sibling().is_none();
        let owner =
            statement.parent().filter(|block| block.kind() == "block").and_then(|block| block.parent());
        first && owner.is_some_and(|owner| matches!(owner.kind(), "function_definition" | "class_definition"))
    };
    statement.named_child_count() == 1
        && statement.child_count() == 1
        && !interpolated
        && (width >= 3 || heads_body())
}
