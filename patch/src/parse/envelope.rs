//! The envelope of `apply_patch`, which some agents hand in as it is: `*** Begin Patch`, sections of files, hunks without
//! positions. It is not what `git apply` takes, so it stays flagged; what it changes is read all the same.

use super::{Parser, Section};
use crate::{FlagKind, Hunk, Line, LineKind};

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";

impl<'a> Parser<'a> {
    /// Reads an envelope whose first line is the current one, and moves past its end; false when there is none.
    pub(super) fn envelope(&mut self, line: &'a str) -> bool {
        if line.trim_end() != BEGIN {
            return false;
        }
        self.flag(
            FlagKind::ForeignFormat,
            self.at,
            "an `apply_patch` envelope: its hunks were read, but it is no diff that git applies",
        );
        self.close();
        self.at += 1;
        while let Some(line) = self.line(0) {
            let line = line.trim_end_matches('\r');
            if line.trim_end() == END {
                self.at += 1;
                break;
            }
            if line.starts_with("diff --git ") {
                break;
            }
            self.envelope_line(line);
            self.at += 1;
        }
        self.close();
        true
    }

    fn envelope_line(&mut self, line: &'a str) {
        let header = line.strip_prefix("*** ");
        let named = |word: &str| header.and_then(|header| header.strip_prefix(word)).map(str::trim);
        if let Some(path) = named("Add File: ") {
            self.open_envelope_file(path).added = true;
        } else if let Some(path) = named("Delete File: ") {
            self.open_envelope_file(path).deleted = true;
        } else if let Some(path) = named("Update File: ") {
            self.open_envelope_file(path);
        } else if let Some(path) = named("Move to: ") {
            let section = self.current();
            section.from = section.git.as_ref().map(|(name, _)| name.clone());
            (section.renamed, section.to) = (section.from.is_some(), Some(path.to_owned()));
        } else if header.is_some_and(|header| header.trim() == "End of File") {
            // Says where the hunk is, which nothing here asks.
        } else if self.section.is_none() {
            if !line.trim().is_empty() {
                self.flag(FlagKind::Prose, self.at, "text before the first file of the envelope was skipped");
            }
        } else if let Some(anchor) = line.strip_prefix("@@") {
            self.current().hunks.push(unplaced(anchor.trim_matches(['@', ' '])));
        } else {
            self.envelope_body(line);
        }
    }

    fn open_envelope_file(&mut self, path: &str) -> &mut Section {
        self.open();
        let section = self.current();
        section.git = Some((path.to_owned(), path.to_owned()));
        section
    }

    fn envelope_body(&mut self, line: &'a str) {
        let (kind, text) = match line.as_bytes().first() {
            Some(b'+') => (LineKind::Added, &line[1..]),
            Some(b'-') => (LineKind::Removed, &line[1..]),
            Some(b' ') => (LineKind::Context, &line[1..]),
            None => (LineKind::Context, line),
            Some(_) => {
                let message = "a line without a marker inside a hunk was taken as context";
                self.flag(FlagKind::BadLine, self.at, message);
                (LineKind::Context, line)
            }
        };
        let hunks = &mut self.current().hunks;
        if hunks.is_empty() {
            hunks.push(unplaced(""));
        }
        if let Some(hunk) = hunks.last_mut() {
            hunk.old_len += u32::from(kind != LineKind::Added);
            hunk.new_len += u32::from(kind != LineKind::Removed);
            hunk.lines.push(Line { kind, text: text.to_owned(), no_newline: false });
        }
    }
}

/// A hunk that is found by its context, below the line that the anchor names.
fn unplaced(anchor: &str) -> Hunk {
    Hunk { old_start: 0, old_len: 0, new_start: 0, new_len: 0, section: anchor.to_owned(), lines: Vec::new() }
}
