//! Reads any diff an agent emits: keeps what can be read, flags what cannot, never fails.

mod envelope;
mod hunk;
mod path;

use rustc_hash::FxHashSet;

use crate::{FileChange, FilePatch, Flag, FlagKind, Language, Patch, classify};

/// Parses `text`. Never fails and never panics: text without a diff gives a patch without files, and whatever could
/// not be taken at its word is in [`Patch::flags`].
pub fn parse(text: &str) -> Patch {
    let mut parser = Parser::new(text);
    parser.run();
    parser.finish(text.len())
}

/// The file section being read: names as written, resolved at its end.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "git states each of them in a line of its own")]
struct Section {
    line: usize,
    git: Option<(String, String)>,
    minus: Option<String>,
    plus: Option<String>,
    from: Option<String>,
    to: Option<String>,
    renamed: bool,
    copied: bool,
    added: bool,
    deleted: bool,
    binary: bool,
    old_mode: Option<String>,
    new_mode: Option<String>,
    similarity: Option<u8>,
    hunks: Vec<crate::Hunk>,
}

struct Parser<'a> {
    lines: Vec<&'a str>,
    at: usize,
    files: Vec<FilePatch>,
    flags: Vec<Flag>,
    section: Option<Section>,
    /// Stretches of prose are flagged once, not per line.
    in_prose: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut flags = Vec::new();
        let body = text.strip_suffix('\n').unwrap_or(text);
        let mut lines: Vec<&str> = if body.is_empty() { Vec::new() } else { body.split('\n').collect() };
        if !body.is_empty() && body.len() == text.len() {
            flags.push(Flag {
                kind: FlagKind::NoFinalNewline,
                line: lines.len(),
                message: "the last line has no line feed; git apply refuses such a patch".to_owned(),
            });
        }
        // The headers tell whether the diff itself has CRLF ends, or only the file it changes.
        let header =
            |line: &&str| line.starts_with("@@ ") || line.starts_with("+++ ") || line.starts_with("--- ");
        if let Some(at) = lines.iter().position(|line| header(line) && line.ends_with('\r')) {
            for line in &mut lines {
                *line = line.strip_suffix('\r').unwrap_or(line);
            }
            let message = "lines end in CRLF; the carriage returns were taken off".to_owned();
            flags.push(Flag { kind: FlagKind::Crlf, line: at + 1, message });
        }
        Self { lines, at: 0, files: Vec::new(), flags, section: None, in_prose: false }
    }

    fn flag(&mut self, kind: FlagKind, line: usize, message: impl Into<String>) {
        self.flags.push(Flag { kind, line: line + 1, message: message.into() });
    }

    fn line(&self, ahead: usize) -> Option<&'a str> {
        self.lines.get(self.at + ahead).copied()
    }

    /// Whether the line `ahead` of the current one begins a `---`/`+++` pair.
    fn file_pair(&self, ahead: usize) -> bool {
        self.line(ahead).is_some_and(|line| line.starts_with("--- "))
            && self.line(ahead + 1).is_some_and(|line| line.starts_with("+++ "))
    }

    fn run(&mut self) {
        while let Some(line) = self.line(0) {
            let prose = !self.step(line);
            // A blank line between files is no prose.
            if prose && !line.trim().is_empty() {
                if !self.in_prose {
                    let foreign = line.starts_with("<<<<<<< SEARCH");
                    let kind = if foreign { FlagKind::ForeignFormat } else { FlagKind::Prose };
                    self.flag(kind, self.at, "text that is no part of a diff was skipped");
                }
                self.in_prose = true;
            } else if !prose {
                self.in_prose = false;
            }
            if prose {
                self.at += 1;
            }
        }
        self.close();
    }

    /// Reads one header line or one hunk; false when the line is neither.
    fn step(&mut self, line: &'a str) -> bool {
        if self.envelope(line) {
            return true;
        }
        if let Some(rest) = line.strip_prefix("diff --git ") {
            self.open();
            let paths = path::git_paths(rest);
            if paths.is_none() {
                self.flag(FlagKind::BadHeader, self.at, "the paths of this diff --git line cannot be read");
            }
            self.current().git = paths;
        } else if line.starts_with("diff --cc ") || line.starts_with("diff --combined ") {
            self.open();
            let name = path::plain_path(line.splitn(3, ' ').nth(2).unwrap_or_default());
            self.current().git = Some((name.clone(), name));
        } else if let Some(rest) = line.strip_prefix("Index: ") {
            self.open();
            let name = rest.trim().to_owned();
            self.current().git = Some((name.clone(), name));
        } else if self.file_pair(0) {
            let fresh = self
                .section
                .as_ref()
                .is_none_or(|section| section.minus.is_some() || !section.hunks.is_empty());
            if fresh {
                self.open();
            }
            let plus = self.line(1).unwrap_or_default();
            let section = self.current();
            section.minus = Some(path::header_path(&line[4..]));
            section.plus = Some(path::header_path(&plus[4..]));
            self.at += 1;
        } else if line.starts_with("@@") {
            self.hunk(line);
            return true;
        } else if self.section.is_some() {
            return self.extended(line);
        } else {
            return false;
        }
        self.at += 1;
        true
    }

    /// Reads one of git's extended header lines.
    fn extended(&mut self, line: &'a str) -> bool {
        let binary = line == "GIT binary patch";
        let Some(section) = self.section.as_mut() else { return false };
        let before = |prefix: &str| line.strip_prefix(prefix).map(str::trim);
        if binary {
            section.binary = true;
            self.at += 1;
            // The payload is base 85 and has no blanks, so no line of it looks like a header.
            while self
                .line(0)
                .is_some_and(|line| !line.starts_with("diff --") && !line.starts_with("Index: "))
            {
                if self.file_pair(0) {
                    break;
                }
                self.at += 1;
            }
            return true;
        } else if let Some(rest) =
            line.strip_prefix("Binary files ").and_then(|rest| rest.strip_suffix(" differ"))
        {
            section.binary = true;
            if section.git.is_none() && section.minus.is_none() {
                section.git = rest.split_once(" and ").map(|(old, new)| (old.to_owned(), new.to_owned()));
            }
            section.added |= rest.starts_with("/dev/null and ");
            section.deleted |= rest.ends_with(" and /dev/null");
        } else if let Some(mode) = before("new file mode ") {
            section.added = true;
            section.new_mode = Some(mode.to_owned());
        } else if let Some(mode) = before("deleted file mode ") {
            section.deleted = true;
            section.old_mode = Some(mode.to_owned());
        } else if let Some(mode) = before("old mode ") {
            section.old_mode = Some(mode.to_owned());
        } else if let Some(mode) = before("new mode ") {
            section.new_mode = Some(mode.to_owned());
        } else if let Some(percent) = before("similarity index ").or_else(|| before("dissimilarity index ")) {
            section.similarity = percent.trim_end_matches('%').parse().ok();
        } else if let Some(name) = line.strip_prefix("rename from ") {
            (section.renamed, section.from) = (true, Some(path::plain_path(name)));
        } else if let Some(name) = line.strip_prefix("rename to ") {
            (section.renamed, section.to) = (true, Some(path::plain_path(name)));
        } else if let Some(name) = line.strip_prefix("copy from ") {
            (section.copied, section.from) = (true, Some(path::plain_path(name)));
        } else if let Some(name) = line.strip_prefix("copy to ") {
            (section.copied, section.to) = (true, Some(path::plain_path(name)));
        } else if !(line.starts_with("index ") || line.starts_with("=====") || line.starts_with("mode ")) {
            return false;
        }
        self.at += 1;
        true
    }

    fn hunk(&mut self, header: &'a str) {
        if self.section.is_none() {
            self.flag(FlagKind::NoFile, self.at, "a hunk before any file header");
            self.open();
        }
        let hunk = self.read_hunk(header);
        self.current().hunks.push(hunk);
    }

    fn open(&mut self) {
        self.close();
        self.section = Some(Section { line: self.at + 1, ..Section::default() });
    }

    fn current(&mut self) -> &mut Section {
        self.section.get_or_insert_with(Section::default)
    }

    fn close(&mut self) {
        let Some(section) = self.section.take() else { return };
        let line = section.line;
        let file = section.resolve();
        let nameless = file.path().is_empty();
        if nameless && file.hunks.is_empty() {
            return;
        }
        let odd = |path: &str| {
            path.starts_with('/')
                || path.split('/').any(|part| part == "..")
                || path.chars().any(char::is_control)
        };
        if [&file.old_path, &file.new_path].into_iter().flatten().any(|path| odd(path)) {
            let message =
                format!("the path {:?} leaves the repository or holds control characters", file.path());
            self.flag(FlagKind::OddPath, line.saturating_sub(1), message);
        }
        self.files.push(file);
    }

    fn finish(mut self, bytes: usize) -> Patch {
        let mut seen = FxHashSet::default();
        for file in &self.files {
            if !file.path().is_empty() && !seen.insert(file.path()) {
                let message = format!("{:?} is patched more than once", file.path());
                self.flags.push(Flag { kind: FlagKind::DuplicateFile, line: file.line, message });
            }
        }
        self.flags.sort_by_key(|flag| flag.line);
        Patch { files: self.files, flags: self.flags, bytes }
    }
}

impl Section {
    fn resolve(self) -> FilePatch {
        let (old, new) = match (&self.from, &self.to, &self.minus, &self.plus, &self.git) {
            (Some(from), Some(to), ..) => (Some(from.clone()), Some(to.clone())),
            (_, _, Some(minus), Some(plus), _) => path::clean(minus, plus),
            (.., Some((old, new))) => path::clean(old, new),
            _ => (None, None),
        };
        // Without `new file mode`, an added file still shows by /dev/null, or by an old range `-0,0` that is whole.
        let from_nothing = self.minus.is_some() && old.is_none() && new.is_some();
        let to_nothing = self.plus.is_some() && new.is_none() && old.is_some();
        let change = if self.renamed {
            FileChange::Renamed
        } else if self.copied {
            FileChange::Copied
        } else if self.added || from_nothing {
            FileChange::Added
        } else if self.deleted || to_nothing {
            FileChange::Deleted
        } else if old.is_some() && new.is_some() && old != new {
            FileChange::Renamed
        } else {
            FileChange::Modified
        };
        let (old_path, new_path) = match change {
            FileChange::Added => (None, new.or(old)),
            FileChange::Deleted => (old.or(new), None),
            _ => (old, new),
        };
        let path = new_path.as_deref().or(old_path.as_deref()).unwrap_or("");
        let (class, language) = (classify(path, change, self.binary), Language::of(path));
        FilePatch {
            class,
            language,
            old_path,
            new_path,
            change,
            binary: self.binary,
            old_mode: self.old_mode,
            new_mode: self.new_mode,
            similarity: self.similarity,
            hunks: self.hunks,
            line: self.line,
        }
    }
}

#[cfg(test)]
mod tests;
