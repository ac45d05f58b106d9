//! A patch reduced to hashes: cheap to keep, and all that comparing needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fingerprint::{combine, hash_bytes};
use crate::normalise::{Normal, normalise};
use crate::{FileChange, FileClass, FilePatch, Fingerprint, Flag, Patch};

/// What a patch changes, normalised and hashed. Two digests are all it takes to compare two patches: nothing is
/// parsed again.
///
/// Fingerprints, lines and tokens describe the *source* files of the patch. Tests, reproduction scripts,
/// configuration, documents and generated files count only when there is no source change at all
/// ([`Digest::scope`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    exact: Fingerprint,
    file_set: Fingerprint,
    scope: Scope,
    empty: bool,
    lines: Vec<u64>,
    added_lines: Vec<u64>,
    removed_lines: Vec<u64>,
    file_tokens: Vec<u64>,
    added_tokens: Vec<u64>,
    removed_tokens: Vec<u64>,
    files: Vec<u64>,
    touched: Vec<Touched>,
    sections: Vec<u64>,
    counts: Counts,
}

/// Which files of a patch its fingerprints describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Its source files.
    Source,
    /// All files, since no source file changes.
    Everything,
    /// None: after normalisation nothing is left.
    Nothing,
}

/// A place in an old file that the patch changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Touched {
    /// Hash of the path; the same in every digest.
    pub file: u64,
    /// First old line, from 1.
    pub start: u32,
    /// The line after the last; equal to `start` for an insertion before it.
    pub end: u32,
}

impl Touched {
    /// Whether two places overlap or are next to each other.
    pub fn meets(&self, other: &Self) -> bool {
        self.file == other.file && self.start <= other.end && other.start <= self.end
    }
}

/// Sizes of a patch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Length of the text, in bytes.
    pub bytes: usize,
    /// Changed bytes: the text of added and removed lines.
    pub changed_bytes: usize,
    /// Per file class, by [`FileClass::index`].
    pub classes: [ClassCounts; 6],
    /// Normalised removed lines, over the files in scope.
    pub normal_removed: usize,
    /// Normalised added lines, over the files in scope.
    pub normal_added: usize,
    /// Change runs that survive normalisation, over the files in scope.
    pub runs: usize,
    /// Things in the text that could not be taken at their word.
    pub flags: usize,
}

impl Counts {
    /// The counts of one class.
    pub fn class(&self, class: FileClass) -> &ClassCounts {
        &self.classes[class.index()]
    }

    /// The counts over all classes.
    pub fn total(&self) -> ClassCounts {
        self.classes.iter().fold(ClassCounts::default(), |sum, class| ClassCounts {
            files: sum.files + class.files,
            new_files: sum.new_files + class.new_files,
            deleted_files: sum.deleted_files + class.deleted_files,
            binary_files: sum.binary_files + class.binary_files,
            hunks: sum.hunks + class.hunks,
            added: sum.added + class.added,
            removed: sum.removed + class.removed,
        })
    }
}

/// Sizes of the part of a patch that is in files of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClassCounts {
    /// Files with an effect; a file patched twice counts once.
    pub files: usize,
    /// Of them, new ones.
    pub new_files: usize,
    /// Of them, deleted ones.
    pub deleted_files: usize,
    /// Of them, binary ones.
    pub binary_files: usize,
    /// Hunks.
    pub hunks: usize,
    /// Added lines, as they are.
    pub added: usize,
    /// Removed lines, as they are.
    pub removed: usize,
}

impl Digest {
    /// Parses nothing twice: normalises each file of `patch` once and keeps only hashes.
    pub fn of(patch: &Patch) -> Self {
        let mut files: BTreeMap<&str, Vec<&FilePatch>> = BTreeMap::new();
        for file in patch.files.iter().filter(|file| file.has_effect()) {
            files.entry(file.path()).or_default().push(file);
        }
        let counts = counts(patch, &files);
        let source = |file: &FilePatch| file.class == FileClass::Source;
        // Lines that are left out on a guess come back when nothing else is left: what they say may be data.
        for (scope, keep_guessed) in [
            (Scope::Source, false),
            (Scope::Source, true),
            (Scope::Everything, false),
            (Scope::Everything, true),
        ] {
            let mut builder = Builder::default();
            for (path, patches) in &files {
                if scope == Scope::Everything || patches.iter().any(|file| source(file)) {
                    builder.file(path, patches, keep_guessed);
                }
            }
            if builder.exact_files > 0 {
                return builder.finish(scope, patch.is_empty(), counts);
            }
        }
        Builder::default().finish(Scope::Nothing, patch.is_empty(), counts)
    }

    /// The digest of the text of a patch.
    pub fn of_text(text: &str) -> Self {
        Self::of(&crate::parse(text))
    }

    /// Fingerprint of the normalised change: equal for patches that do the same, up to comments and formatting.
    pub fn exact(&self) -> Fingerprint {
        self.exact
    }

    /// Fingerprint of the set of changed paths.
    pub fn file_set(&self) -> Fingerprint {
        self.file_set
    }

    /// Which files the fingerprints describe.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether the patch changes nothing at all. A patch of comments alone is not empty, but its scope is
    /// [`Scope::Nothing`].
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Normalised changed lines as a sorted multiset, keyed by file and side.
    pub fn lines(&self) -> &[u64] {
        &self.lines
    }

    /// Normalised added lines as a sorted multiset, keyed by file.
    pub fn added_lines(&self) -> &[u64] {
        &self.added_lines
    }

    /// Normalised removed lines as a sorted multiset, keyed by file.
    pub fn removed_lines(&self) -> &[u64] {
        &self.removed_lines
    }

    /// Identifiers, literals and operators of changed lines as a sorted multiset, keyed by file and side.
    pub fn file_tokens(&self) -> &[u64] {
        &self.file_tokens
    }

    /// Identifiers, literals and operators of added lines as a sorted multiset, without their files.
    pub fn added_tokens(&self) -> &[u64] {
        &self.added_tokens
    }

    /// Identifiers, literals and operators of removed lines as a sorted multiset, without their files.
    pub fn removed_tokens(&self) -> &[u64] {
        &self.removed_tokens
    }

    /// Hashes of the changed paths, sorted.
    pub fn files(&self) -> &[u64] {
        &self.files
    }

    /// Places in the old files that are changed, sorted. They follow the hunk headers, and so do not enter any
    /// fingerprint or similarity.
    pub fn touched(&self) -> &[Touched] {
        &self.touched
    }

    /// Hashes of file and hunk section (the enclosing function, as git names it), sorted, each once.
    pub fn sections(&self) -> &[u64] {
        &self.sections
    }

    /// Sizes.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

fn counts(patch: &Patch, files: &BTreeMap<&str, Vec<&FilePatch>>) -> Counts {
    let mut counts = Counts {
        bytes: patch.bytes,
        flags: patch.flags.iter().filter(|flag| notable(flag)).count(),
        ..Counts::default()
    };
    for patches in files.values() {
        let class = &mut counts.classes[patches[0].class.index()];
        class.files += 1;
        class.new_files += usize::from(patches[0].change == FileChange::Added);
        class.deleted_files += usize::from(patches[0].change == FileChange::Deleted);
        class.binary_files += usize::from(patches[0].binary);
        for file in patches {
            class.hunks += file.hunks.len();
            class.added += file.added();
            class.removed += file.removed();
            let changed = file.hunks.iter().flat_map(|hunk| &hunk.lines);
            let changed = changed.filter(|line| line.kind != crate::LineKind::Context);
            counts.changed_bytes += changed.map(|line| line.text.len()).sum::<usize>();
        }
    }
    counts
}

/// Whether a flag says something about the patch, and not only about how it was stored: pools and prediction files
/// often lose the last line feed.
fn notable(flag: &Flag) -> bool {
    !matches!(flag.kind, crate::FlagKind::NoFinalNewline | crate::FlagKind::Crlf)
}

#[derive(Default)]
struct Builder {
    exact: blake3::Hasher,
    file_set: blake3::Hasher,
    exact_files: usize,
    added_lines: Vec<u64>,
    removed_lines: Vec<u64>,
    file_tokens: Vec<u64>,
    added_tokens: Vec<u64>,
    removed_tokens: Vec<u64>,
    files: Vec<u64>,
    touched: Vec<Touched>,
    sections: Vec<u64>,
}

/// Marks the side in keys that hold both.
const REMOVED: u64 = 1;
const ADDED: u64 = 2;

impl Builder {
    /// Adds the change of one file, in one or several pieces.
    fn file(&mut self, path: &str, patches: &[&FilePatch], keep_guessed: bool) {
        let normals: Vec<Normal> = patches.iter().map(|file| normalise(file, keep_guessed)).collect();
        // A file that is new, gone, moved, binary or has a new mode changes whatever its lines say.
        let act = patches
            .iter()
            .find(|file| file.binary || file.change != FileChange::Modified || file.mode_changed());
        if act.is_none() && normals.iter().all(Normal::is_empty) {
            return;
        }
        self.exact_files += 1;
        let key = hash_bytes(path.as_bytes());
        self.files.push(key);
        text(&mut self.file_set, path);
        text(&mut self.exact, path);
        if let Some(file) = act {
            self.act(file);
        }
        numbers(&mut self.exact, normals.iter().flat_map(|normal| &normal.removed));
        numbers(&mut self.exact, normals.iter().flat_map(|normal| &normal.added));
        for normal in normals {
            let keyed = |side: u64| move |hash: &u64| combine(combine(key, side), *hash);
            self.removed_lines.extend(normal.removed_lines.iter().map(keyed(REMOVED)));
            self.added_lines.extend(normal.added_lines.iter().map(keyed(ADDED)));
            self.file_tokens.extend(normal.removed_tokens.iter().map(keyed(REMOVED)));
            self.file_tokens.extend(normal.added_tokens.iter().map(keyed(ADDED)));
            self.removed_tokens.extend(normal.removed_tokens);
            self.added_tokens.extend(normal.added_tokens);
            self.touched.extend(normal.touched.iter().map(|&(start, end)| Touched { file: key, start, end }));
            self.sections
                .extend(normal.sections.iter().map(|section| combine(key, hash_bytes(section.as_bytes()))));
        }
    }

    fn act(&mut self, file: &FilePatch) {
        let change = match file.change {
            FileChange::Added => "added",
            FileChange::Deleted => "deleted",
            FileChange::Modified => "modified",
            FileChange::Renamed => "renamed",
            FileChange::Copied => "copied",
        };
        text(&mut self.exact, change);
        if matches!(file.change, FileChange::Renamed | FileChange::Copied) {
            text(&mut self.exact, file.old_path.as_deref().unwrap_or(""));
        }
        if file.binary {
            text(&mut self.exact, "binary");
        }
        if file.mode_changed() {
            text(&mut self.exact, file.new_mode.as_deref().unwrap_or(""));
        }
        // Similarity must see it too: two patches that each only delete another file have no line in common.
        let mark = combine(hash_bytes(file.path().as_bytes()), hash_bytes(change.as_bytes()));
        self.added_lines.push(mark);
        self.file_tokens.push(mark);
    }

    fn finish(mut self, scope: Scope, empty: bool, mut counts: Counts) -> Digest {
        for list in [
            &mut self.added_lines,
            &mut self.removed_lines,
            &mut self.file_tokens,
            &mut self.added_tokens,
            &mut self.removed_tokens,
            &mut self.files,
            &mut self.sections,
        ] {
            list.sort_unstable();
            list.shrink_to_fit();
        }
        self.sections.dedup();
        self.touched.sort_unstable();
        counts.normal_added = self.added_lines.len();
        counts.normal_removed = self.removed_lines.len();
        counts.runs = self.touched.len();
        let mut lines = [self.added_lines.as_slice(), &self.removed_lines].concat();
        lines.sort_unstable();
        Digest {
            exact: Fingerprint::of(&self.exact),
            file_set: Fingerprint::of(&self.file_set),
            scope,
            empty,
            lines,
            added_lines: self.added_lines,
            removed_lines: self.removed_lines,
            file_tokens: self.file_tokens,
            added_tokens: self.added_tokens,
            removed_tokens: self.removed_tokens,
            files: self.files,
            touched: self.touched,
            sections: self.sections,
            counts,
        }
    }
}

/// Feeds text with its length, so that no two sequences of parts read the same.
fn text(hasher: &mut blake3::Hasher, part: &str) {
    hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
}

fn numbers<'a>(hasher: &mut blake3::Hasher, values: impl Iterator<Item = &'a u64>) {
    let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
    hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
}
