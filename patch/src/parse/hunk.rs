//! Reads one hunk, by its counts where they hold and by its markers where they do not.

use super::Parser;
use crate::{FlagKind, Hunk, Line, LineKind};

/// The ranges of an `@@` line.
struct Ranges {
    old: (u32, u32),
    new: (u32, u32),
    /// Marker columns: 1, or the number of parents in a combined diff.
    columns: usize,
    section: String,
}

impl<'a> Parser<'a> {
    /// Reads the hunk whose header is the current line, and moves past it.
    pub(super) fn read_hunk(&mut self, header: &'a str) -> Hunk {
        let header_at = self.at;
        let ranges = Ranges::read(header);
        match &ranges {
            None => self.flag(FlagKind::BadHunkHeader, header_at, "the ranges of this hunk cannot be read"),
            Some(ranges) if ranges.columns > 1 => {
                self.flag(
                    FlagKind::Combined,
                    header_at,
                    "a combined diff: changes against all parents were merged",
                );
            }
            Some(_) => {}
        }
        let counted = ranges.is_some();
        let ranges = ranges.unwrap_or_else(|| Ranges {
            old: (0, 0),
            new: (0, 0),
            columns: 1,
            section: header.trim_start_matches('@').trim().to_owned(),
        });
        self.at += 1;
        let mut hunk = Hunk {
            old_start: ranges.old.0,
            old_len: 0,
            new_start: ranges.new.0,
            new_len: 0,
            section: ranges.section,
            lines: Vec::new(),
        };
        let (old_len, new_len) = (ranges.old.1, ranges.new.1);
        while let Some(line) = self.line(0) {
            let left = (old_len.saturating_sub(hunk.old_len), new_len.saturating_sub(hunk.new_len));
            if self.ends_hunk(line, counted, left) {
                break;
            }
            if line.starts_with('\\') {
                if let Some(last) = hunk.lines.last_mut() {
                    last.no_newline = true;
                }
                self.at += 1;
                continue;
            }
            let (kind, text) = self.body_line(line, ranges.columns);
            hunk.old_len += u32::from(kind != LineKind::Added);
            hunk.new_len += u32::from(kind != LineKind::Removed);
            hunk.lines.push(Line { kind, text: text.to_owned(), no_newline: false });
            self.at += 1;
        }
        if counted && ranges.columns == 1 && (hunk.old_len, hunk.new_len) != (old_len, new_len) {
            let short = hunk.old_len < old_len || hunk.new_len < new_len;
            let truncated = short && self.at >= self.lines.len();
            let kind = if truncated { FlagKind::Truncated } else { FlagKind::WrongCount };
            let message = format!(
                "the header counts {old_len} old and {new_len} new lines, the hunk has {} and {}",
                hunk.old_len, hunk.new_len
            );
            self.flag(kind, header_at, message);
        }
        hunk
    }

    /// Whether `line` is no part of the hunk; `left` are the old and new lines that the header still promises.
    fn ends_hunk(&self, line: &str, counted: bool, left: (u32, u32)) -> bool {
        let done = counted && left == (0, 0);
        if line.starts_with("diff --git ") || line.starts_with("@@") || line.starts_with("Index: ") {
            return true;
        }
        if self.file_pair(0) {
            // `--- x` and `+++ y` may also be a removed `-- x` and an added `++ y`: when the counts have room for
            // exactly that and a hunk header or the end follows, the counts are right.
            let content = counted && left == (1, 1) && self.line(2).is_none_or(|line| line.starts_with("@@"));
            let roomy = counted
                && left.0 >= 1
                && left.1 >= 1
                && self.line(2).is_some_and(|line| !line.starts_with("@@"));
            return !(content || roomy);
        }
        match line.as_bytes().first() {
            Some(b'+' | b' ' | b'\\') => false,
            // `git format-patch` ends a patch with `-- ` and the version of git.
            Some(b'-') => {
                done && matches!(line, "-- " | "--") && self.line(2).is_none_or(|line| line.trim().is_empty())
            }
            // An empty line is a context line whose blank some editor took off, if the hunk still wants one.
            None | Some(b'\r') => {
                let more =
                    self.line(1).is_some_and(|next| next.starts_with(['+', '-', ' ']) && !self.file_pair(1));
                // After the promised lines, a list in prose may follow.
                let bullet =
                    self.line(1).is_some_and(|next| next.starts_with("- ") || next.starts_with("+ "));
                !more && (done || !counted || left.0 == 0 || left.1 == 0) || done && bullet
            }
            Some(_) => {
                // A line that lost its marker, if the hunk goes on after it; else text that follows the diff.
                let more =
                    self.line(1).is_some_and(|next| next.starts_with(['+', '-', ' ']) && !self.file_pair(1));
                done || !counted || line.starts_with("```") || line.starts_with("diff ") || !more
            }
        }
    }

    /// Splits a line of a hunk into its kind and text.
    fn body_line(&mut self, line: &'a str, columns: usize) -> (LineKind, &'a str) {
        let marks = line.bytes().take(columns).take_while(|byte| matches!(byte, b'+' | b'-' | b' ')).count();
        let (marks, text) = line.split_at(marks);
        if marks.len() < columns && !line.trim_end().is_empty() {
            self.flag(
                FlagKind::BadLine,
                self.at,
                "a line without a marker inside a hunk was taken as context",
            );
        }
        let kind = if marks.contains('+') {
            LineKind::Added
        } else if marks.contains('-') {
            LineKind::Removed
        } else {
            LineKind::Context
        };
        (kind, text)
    }
}

impl Ranges {
    /// Reads `@@ -1,3 +1,4 @@ section`, with missing counts (1), and `@@@ -1,3 -1,3 +1,4 @@@` of a combined diff.
    fn read(header: &str) -> Option<Self> {
        let ats = header.bytes().take_while(|byte| *byte == b'@').count();
        let rest = header[ats..].strip_prefix(' ')?;
        let close = rest.find("@@")?;
        let mut olds = Vec::new();
        let mut new = None;
        for word in rest[..close].split_whitespace() {
            if let Some(range) = word.strip_prefix('-') {
                olds.push(range_of(range)?);
            } else if let Some(range) = word.strip_prefix('+') {
                new = Some(range_of(range)?);
            } else {
                return None;
            }
        }
        let section = rest[close..].trim_start_matches('@').trim().to_owned();
        Some(Self { old: *olds.first()?, new: new?, columns: olds.len(), section })
    }
}

fn range_of(text: &str) -> Option<(u32, u32)> {
    match text.split_once(',') {
        Some((start, len)) => Some((start.parse().ok()?, len.parse().ok()?)),
        None => Some((text.parse().ok()?, 1)),
    }
}
