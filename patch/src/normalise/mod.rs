//! Reduces the hunks of one file to what they change: without comments, docstrings, blank lines and formatting.
//!
//! A change run is a stretch of `+` and `-` lines. Context serves to tell what the changed lines are (inside a string,
//! a docstring, a comment) and counts for nothing else, so its width does not matter.

mod cancel;
mod fragment;
mod prose;
mod scan;
mod syntax;
mod tokens;
mod tree;
mod units;

use crate::fingerprint::combine;
use crate::{FilePatch, Hunk, LineKind};
use cancel::matches;
use fragment::{Side, side};
use units::{Style, Unit, units};

/// More changed lines than this in one file, and its fragments are not parsed: the scanner alone decides.
/// Such files are nearly always generated, and the time goes where it is worth it.
const MAX_PARSED_LINES: usize = 4_000;

/// The normalised change of one file.
#[derive(Debug, Default)]
pub(crate) struct Normal {
    /// Tokens of the removed statements, in order, with the marks between statements that carry meaning.
    pub(crate) removed: Vec<u64>,
    /// The same for the added ones.
    pub(crate) added: Vec<u64>,
    /// One hash per normalised removed line.
    pub(crate) removed_lines: Vec<u64>,
    /// One hash per normalised added line.
    pub(crate) added_lines: Vec<u64>,
    /// Hashes of the removed identifiers, literals and operators.
    pub(crate) removed_tokens: Vec<u64>,
    /// Hashes of the added ones.
    pub(crate) added_tokens: Vec<u64>,
    /// Lines `[start, end)` of the old file that the runs replace; empty for an insertion.
    pub(crate) touched: Vec<(u32, u32)>,
    /// Sections (the text after `@@`) of the hunks that change anything.
    pub(crate) sections: Vec<String>,
    /// Lines that were left out on the guess that they are inside a docstring.
    pub(crate) guessed: usize,
}

impl Normal {
    /// Whether nothing is left of the change.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// A changed line of a run: its place on its side, with the hash that says whether two are the same.
#[derive(Debug, Clone, Copy)]
struct Changed {
    line: usize,
    hash: u64,
}

/// Normalises `file`. With `keep_guessed`, lines that look like the inside of a docstring stay.
pub(crate) fn normalise(file: &FilePatch, keep_guessed: bool) -> Normal {
    let mut out = Normal::default();
    let parse = file.added() + file.removed() <= MAX_PARSED_LINES;
    for hunk in &file.hunks {
        let before = (out.removed.len(), out.added.len());
        normalise_hunk(hunk, file, parse, keep_guessed, &mut out);
        if before != (out.removed.len(), out.added.len()) && !hunk.section.is_empty() {
            out.sections.push(hunk.section.clone());
        }
    }
    out
}

fn normalise_hunk(hunk: &Hunk, file: &FilePatch, parse: bool, keep_guessed: bool, out: &mut Normal) {
    let style = Style::of(file.language);
    let old = side(hunk, LineKind::Removed, file.language, parse);
    let new = side(hunk, LineKind::Added, file.language, parse);
    let (mut old_at, mut new_at) = (0, 0);
    let mut at = 0;
    while at < hunk.lines.len() {
        if hunk.lines[at].kind == LineKind::Context {
            (at, old_at, new_at) = (at + 1, old_at + 1, new_at + 1);
            continue;
        }
        let start = old_at;
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        while let Some(line) = hunk.lines.get(at).filter(|line| line.kind != LineKind::Context) {
            let (side, place, list) = match line.kind {
                LineKind::Removed => (&old, &mut old_at, &mut removed),
                _ => (&new, &mut new_at, &mut added),
            };
            push_line(side, *place, style, keep_guessed, list, &mut out.guessed);
            *place += 1;
            at += 1;
        }
        if run(&old, &new, &removed, &added, style, out) {
            let line = |at: usize| hunk.old_start.saturating_add(at as u32);
            out.touched.push((line(start), line(old_at)));
        }
    }
}

fn push_line(
    side: &Side,
    at: usize,
    style: Style,
    keep_guessed: bool,
    list: &mut Vec<Changed>,
    guessed: &mut usize,
) {
    let Some(line) = side.lexed.lines.get(at) else { return };
    if line.first == line.end {
        return;
    }
    if line.guessed && !keep_guessed {
        *guessed += 1;
        return;
    }
    let tokens = &side.lexed.tokens[line.first..line.end];
    let hash = tokens.iter().fold(0, |state, token| combine(state, token.hash));
    let hash = if style.indented { combine(hash, u64::from(line.indent)) } else { hash };
    list.push(Changed { line: at, hash });
}

/// Normalises one change run; true when something is left of it.
fn run(
    old: &Side,
    new: &Side,
    removed: &[Changed],
    added: &[Changed],
    style: Style,
    out: &mut Normal,
) -> bool {
    // A line that is removed and added again, as it is when its comment changes, did not change.
    let pairs = matches(removed, added, |line| line.hash);
    let (mut old_from, mut new_from) = (0, 0);
    let mut changed = false;
    for (old_to, new_to) in pairs.into_iter().chain([(removed.len(), added.len())]) {
        let removed_units = units(&old.lexed, &removed[old_from..old_to], style);
        let added_units = units(&new.lexed, &added[new_from..new_to], style);
        // Nor did a statement that only wraps its lines differently.
        let same = matches(&removed_units, &added_units, |unit| unit.hash);
        let mut gone = same.iter().map(|pair| pair.0).peekable();
        for (place, unit) in removed_units.iter().enumerate() {
            if gone.next_if_eq(&place).is_none() {
                keep(unit, style, &mut out.removed, &mut out.removed_lines, &mut out.removed_tokens);
                changed = true;
            }
        }
        let mut gone = same.iter().map(|pair| pair.1).peekable();
        for (place, unit) in added_units.iter().enumerate() {
            if gone.next_if_eq(&place).is_none() {
                keep(unit, style, &mut out.added, &mut out.added_lines, &mut out.added_tokens);
                changed = true;
            }
        }
        (old_from, new_from) = (old_to + 1, new_to + 1);
    }
    changed
}

fn keep(unit: &Unit, style: Style, stream: &mut Vec<u64>, lines: &mut Vec<u64>, tokens: &mut Vec<u64>) {
    if style.newlines {
        stream.push(unit.mark);
    }
    stream.extend_from_slice(&unit.tokens);
    lines.extend_from_slice(&unit.lines);
    tokens.extend_from_slice(&unit.content);
}

#[cfg(test)]
mod tests;
