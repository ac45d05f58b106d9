//! What agents and their terminals wrote, made fit to be looked at: escape sequences go, characters that hide or
//! reorder text become visible, long texts are cut and the cut is said.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Removes terminal escape sequences, reads CR LF and CR as a line end, and makes control characters, bidirectional
/// overrides ("Trojan Source", CVE-2021-42574), zero-width characters and Unicode tags visible.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(needs_cleaning) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\u{1b}' => skip_escape(after),
            '\u{9b}' => skip_csi(after),
            '\r' => {
                out.push('\n');
                after.strip_prefix('\n').unwrap_or(after)
            }
            c if needs_cleaning(c) => {
                push_visible(&mut out, c);
                after
            }
            c => {
                out.push(c);
                after
            }
        };
    }
    Cow::Owned(out)
}

fn needs_cleaning(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' => true,
        c => c.is_control() || c == '\u{feff}' || ('\u{e0000}'..='\u{e007f}').contains(&c),
    }
}

fn push_visible(out: &mut String, c: char) {
    match u32::from(c) {
        // Unicode has a picture for each C0 control.
        code @ 0..0x20 => out.extend(char::from_u32(0x2400 + code)),
        0x7f => out.push('\u{2421}'),
        code => write!(out, "[U+{code:04X}]").expect("writing to a string cannot fail"),
    }
}

/// What follows an ESC: CSI `[`, a string command (`]`, `P`, `X`, `^`, `_`), a charset choice or one letter.
fn skip_escape(after: &str) -> &str {
    let mut chars = after.chars();
    match chars.next() {
        Some('[') => skip_csi(chars.as_str()),
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(chars.as_str()),
        Some('(' | ')' | '*' | '+' | '#' | '%') => {
            chars.next();
            chars.as_str()
        }
        Some(c) if c.is_ascii_graphic() => chars.as_str(),
        _ => after,
    }
}

/// Parameters and intermediates, then one final byte. A malformed sequence ends where it stops looking like one.
fn skip_csi(after: &str) -> &str {
    let end = after.find(|c: char| !('\u{20}'..='\u{3f}').contains(&c)).unwrap_or(after.len());
    let rest = &after[end..];
    match rest.chars().next() {
        Some('\u{40}'..='\u{7e}') => &rest[1..],
        _ => rest,
    }
}

/// A string command ends at BEL or `ESC \`. One without an end on its line is taken to be its introducer only, so
/// that a stray one cannot hide the rest of a log.
fn skip_string(after: &str) -> &str {
    let line = after.split('\n').next().unwrap_or_default();
    let bell = line.find('\u{7}').map(|at| at + 1);
    let st = line.find("\u{1b}\\").map(|at| at + 2);
    match (bell, st) {
        (Some(a), Some(b)) => &after[a.min(b)..],
        (Some(end), None) | (None, Some(end)) => &after[end..],
        (None, None) => after,
    }
}

/// The part of a text that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clip<'a> {
    /// The beginning, whole characters and where possible whole lines.
    pub(super) shown: &'a str,
    /// Lines that are not shown, a partly shown one included.
    pub(super) hidden_lines: usize,
    /// Bytes that are not shown.
    pub(super) hidden_bytes: usize,
}

/// Cuts a text after `max_lines` lines or `max_bytes` bytes, whichever comes first.
pub(super) fn clip(text: &str, max_lines: usize, max_bytes: usize) -> Clip<'_> {
    let mut end = floor_char_boundary(text, max_bytes);
    if end < text.len()
        && let Some(line_end) = text[..end].rfind('\n')
        && line_end > end / 2
    {
        end = line_end;
    }
    if let Some((at, _)) = text[..end].match_indices('\n').nth(max_lines.saturating_sub(1)) {
        end = at;
    }
    let hidden = &text[end..];
    let tail = hidden.strip_prefix('\n').unwrap_or(hidden);
    Clip {
        shown: &text[..end],
        hidden_lines: if tail.is_empty() { 0 } else { tail.lines().count() },
        hidden_bytes: tail.len(),
    }
}

/// The largest index of a character boundary that is not beyond `at`.
pub(super) fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// A whole number with thin groups of three, as `12,345`.
pub(super) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A probability as a percentage, `–` where there is none.
pub(super) fn percent(p: Option<f64>) -> String {
    match p {
        Some(p) if p.is_finite() => format!("{:.0} %", (p * 100.0).clamp(0.0, 100.0)),
        _ => "–".to_owned(),
    }
}

/// A count with its noun.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {many}", grouped(n)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_go() {
        assert_eq!(clean("\u{1b}[31;1mred\u{1b}[0m plain"), "red plain");
        assert_eq!(clean("\u{1b}]0;title\u{7}after"), "after");
        assert_eq!(clean("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\"), "link");
        assert_eq!(clean("\u{9b}1mx"), "x");
        assert_eq!(clean("\u{1b}(Bx"), "x");
        assert_eq!(clean("\u{1b}]no end\nnext line"), "no end\nnext line");
        assert_eq!(clean("\u{1b}[31"), "");
        assert_eq!(clean("\u{1b}"), "");
    }

    #[test]
    fn line_ends_and_controls() {
        assert_eq!(clean("a\r\nb\rc"), "a\nb\nc");
        assert_eq!(clean("nul\0 bell\u{7}"), "nul\u{2400} bell\u{2407}");
        assert_eq!(clean("\u{202e}evil\u{2066}"), "[U+202E]evil[U+2066]");
        assert_eq!(clean("tag\u{e0041}"), "tag[U+E0041]");
        assert!(matches!(clean("plain\ttext\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn clips_on_lines_and_says_what_is_hidden() {
        let c = clip("a\nb\nc\nd\n", 2, 1000);
        assert_eq!((c.shown, c.hidden_lines, c.hidden_bytes), ("a\nb", 2, 4));
        let c = clip("short", 2, 1000);
        assert_eq!((c.shown, c.hidden_lines, c.hidden_bytes), ("short", 0, 0));
        let c = clip("ééé", 9, 3);
        assert_eq!((c.shown, c.hidden_bytes), ("é", 4));
    }

    #[test]
    fn numbers_and_probabilities() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!(percent(Some(0.826)), "83 %");
        assert_eq!(percent(Some(f64::NAN)), "–");
        assert_eq!(percent(None), "–");
        assert_eq!(count(1, "line", "lines"), "1 line");
    }

    proptest! {
        #[test]
        fn cleaning_leaves_nothing_hidden_and_is_idempotent(text in "\\PC*|[\\x00-\\x1f\\[\\]0-9a-z;\u{9b}\u{202e}]{0,40}") {
            let once = clean(&text).into_owned();
            prop_assert!(!once.chars().any(needs_cleaning));
            let twice = clean(&once);
            prop_assert_eq!(twice.as_ref(), once.as_str());
        }

        #[test]
        fn clip_never_panics_and_loses_nothing(text in "\\PC{0,60}", lines in 0usize..5, bytes in 0usize..50) {
            let c = clip(&text, lines, bytes);
            prop_assert!(text.starts_with(c.shown));
            prop_assert!(c.shown.len() + c.hidden_bytes <= text.len());
            prop_assert!(c.shown.len() + c.hidden_bytes + 1 >= text.len());
        }
    }
}
