//! What a unified diff says, as plain data.

use serde::{Deserialize, Serialize};

use crate::{FileClass, Language};

/// A parsed patch: what could be read, and a flag for each thing that could not be taken at its word.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Patch {
    /// One entry per file section, in the order of the text; a file patched twice has two.
    pub files: Vec<FilePatch>,
    /// Everything unusual, in the order of the text.
    pub flags: Vec<Flag>,
    /// Length of the text, in bytes.
    pub bytes: usize,
}

impl Patch {
    /// True when applying the patch changes nothing: no file with a changed line, a new mode, a rename, …
    pub fn is_empty(&self) -> bool {
        !self.files.iter().any(FilePatch::has_effect)
    }

    /// Whether a flag of this kind was raised.
    pub fn has_flag(&self, kind: FlagKind) -> bool {
        self.flags.iter().any(|flag| flag.kind == kind)
    }
}

/// The change of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePatch {
    /// Path before the change, without the `a/` prefix; null for an added file.
    pub old_path: Option<String>,
    /// Path after the change, without the `b/` prefix; null for a deleted file.
    pub new_path: Option<String>,
    /// What happens to the file.
    pub change: FileChange,
    /// The content is binary, so there are no hunks to read.
    pub binary: bool,
    /// Mode before, such as `100644`, where the patch states a mode change or a deletion.
    pub old_mode: Option<String>,
    /// Mode after, where the patch states a mode change or a new file.
    pub new_mode: Option<String>,
    /// Similarity in percent that git states for a rename or copy.
    pub similarity: Option<u8>,
    /// The changed places, in the order of the text.
    pub hunks: Vec<Hunk>,
    /// What kind of file it is.
    pub class: FileClass,
    /// Its language, where the name tells.
    pub language: Option<Language>,
    /// Line of the patch text at which the section begins, from 1.
    pub line: usize,
}

impl FilePatch {
    /// The path that names the file: the new one, or the old one of a deleted file.
    pub fn path(&self) -> &str {
        self.new_path.as_deref().or(self.old_path.as_deref()).unwrap_or("")
    }

    /// Number of added lines.
    pub fn added(&self) -> usize {
        self.count(LineKind::Added)
    }

    /// Number of removed lines.
    pub fn removed(&self) -> usize {
        self.count(LineKind::Removed)
    }

    /// Whether the mode changes.
    pub fn mode_changed(&self) -> bool {
        matches!((&self.old_mode, &self.new_mode), (Some(old), Some(new)) if old != new)
    }

    /// Whether applying the section changes anything.
    pub fn has_effect(&self) -> bool {
        self.binary
            || self.change != FileChange::Modified
            || self.mode_changed()
            || self.hunks.iter().any(|hunk| hunk.lines.iter().any(|line| line.kind != LineKind::Context))
    }

    fn count(&self, kind: LineKind) -> usize {
        self.hunks.iter().flat_map(|hunk| &hunk.lines).filter(|line| line.kind == kind).count()
    }
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileChange {
    /// It is new.
    Added,
    /// It goes.
    Deleted,
    /// It stays under its name.
    Modified,
    /// It moves, with or without changes.
    Renamed,
    /// It is copied, with or without changes.
    Copied,
}

/// One `@@` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunk {
    /// First line in the old file, from 1; 0 where there is none or the header does not say.
    pub old_start: u32,
    /// Number of old lines, as read (not as the header claims).
    pub old_len: u32,
    /// First line in the new file, from 1; 0 where there is none or the header does not say.
    pub new_start: u32,
    /// Number of new lines, as read (not as the header claims).
    pub new_len: u32,
    /// The text after the second `@@`: usually the enclosing function.
    pub section: String,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which side it is on.
    pub kind: LineKind,
    /// The text, without the marker and the line feed; the carriage return of a CRLF file stays.
    pub text: String,
    /// The patch says that this is the last line of the file and does not end in a line feed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_newline: bool,
}

/// Which side a line is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// On both.
    Context,
    /// Only in the new file.
    Added,
    /// Only in the old file.
    Removed,
}

/// Something in the text that could not be taken at its word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// Which kind of thing.
    pub kind: FlagKind,
    /// Line of the patch text, from 1.
    pub line: usize,
    /// What it is and what was done, in words.
    pub message: String,
}

/// The kinds of [`Flag`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FlagKind {
    /// Text that is no part of a diff, before or between its files.
    Prose,
    /// Lines end in CRLF, headers too: the carriage returns were taken off.
    Crlf,
    /// The hunk header counts other lines than the hunk has.
    WrongCount,
    /// The hunk header could not be read.
    BadHunkHeader,
    /// A line inside a hunk without a marker.
    BadLine,
    /// A hunk without a file header before it.
    NoFile,
    /// A `diff --git`, `---` or `+++` line whose paths could not be read.
    BadHeader,
    /// A file name with a control character, an absolute path or `..` in it.
    OddPath,
    /// A combined diff (`@@@`): added and removed lines were merged over the parents.
    Combined,
    /// The text ends inside a hunk.
    Truncated,
    /// The last line of the text has no line feed: `git apply` calls such a patch corrupt.
    NoFinalNewline,
    /// The file was patched before in the same text.
    DuplicateFile,
    /// The text is in another format than a unified diff.
    ForeignFormat,
}
