//! A patch as the ranker sees it: counts of what its lines look like, and hashed sets to compare it with others by.
//!
//! Unlike [`patch::Digest`], which normalises so that equal changes become equal, a sketch keeps how the change is
//! written: half-finished work shows in scratch files, comments and debugging output.

mod counts;
mod paths;
mod words;

use patch::{FileChange, FlagKind, LineKind, Patch};
use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) use self::counts::Counts;
use self::{
    paths::Kind,
    words::{CommentState, Mark, has},
};
use crate::eval::{mix, stable_hash};

/// Changed lines that are looked at; the rest of a longer patch only counts as changed.
const MAX_LINES: usize = 3000;
/// Lines around a changed one that count as near.
const NEAR: i64 = 3;

/// What is kept of a patch. All sets are sorted.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    pub(crate) counts: Counts,
    /// Whether no file could be read.
    pub(crate) unreadable: bool,
    /// The change with its files and indentation.
    pub(crate) key: u64,
    /// The change without white space and order.
    pub(crate) loose_key: u64,
    /// Runs of up to three tokens of added lines, and of removed ones.
    pub(crate) added_grams: Vec<u64>,
    pub(crate) removed_grams: Vec<u64>,
    /// Identifiers of added lines.
    pub(crate) identifiers: Vec<u64>,
    /// Tokens of context and removed lines.
    pub(crate) vocabulary: Vec<u64>,
    /// Changed lines with their files.
    pub(crate) added_lines: Vec<u64>,
    pub(crate) removed_lines: Vec<u64>,
    /// Changed old line numbers with their files, and those nearby.
    pub(crate) places: Vec<u64>,
    pub(crate) near: Vec<u64>,
    /// Changed files.
    pub(crate) files: Vec<u64>,
    /// What it takes the unpatched code to be: old line numbers with their files, and the text there.
    pub(crate) base: Vec<(u64, u64)>,
}

/// A changed line as it is, and with single spaces.
type Changed<'a> = (&'a str, String);

/// Lines of the part of a patch that decides, while it is read.
#[derive(Default)]
struct Reader<'a> {
    counts: Counts,
    added: Vec<(&'a str, String)>,
    removed: Vec<(&'a str, String)>,
    keys: Vec<String>,
    context: FxHashSet<u64>,
    places: FxHashSet<(u64, i64)>,
    seen: FxHashSet<u64>,
    least_indent: Option<usize>,
    base: Vec<(u64, u64)>,
}

impl Sketch {
    /// Sketches a patch.
    pub fn of(patch: &Patch) -> Self {
        let kinds: Vec<Kind> = patch
            .files
            .iter()
            .map(|file| paths::kind(file.path(), file.change == FileChange::Added))
            .collect();
        // What decides is the source; a patch without any is compared by the best it has.
        let core = kinds.iter().copied().min().unwrap_or(Kind::Source);
        let mut reader = Reader::default();
        let mut names: FxHashSet<&str> = FxHashSet::default();
        let mut files = Vec::new();
        let mut budget = MAX_LINES;
        for (file, &kind) in patch.files.iter().zip(&kinds) {
            let path = file.path();
            if names.insert(path) {
                reader.counts.count_file(kind);
            }
            let (is_new, is_gone) = (file.change == FileChange::Added, file.change == FileChange::Deleted);
            reader.counts.deleted += f64::from(u8::from(is_gone));
            reader.counts.newtest += f64::from(u8::from(kind == Kind::Test && is_new));
            if kind == core {
                files.push(stable_hash(path));
                reader.counts.newsrc += f64::from(u8::from(is_new));
            }
            for hunk in &file.hunks {
                reader.hunk(path, hunk, kind, kind == core, &mut budget);
                if kind == core && !is_new {
                    reader.base(path, hunk);
                }
            }
        }
        reader.counts.files = names.len() as f64;
        // A truncated end is often only context that a tool trimmed; wrong counts elsewhere are not.
        let broken = [FlagKind::WrongCount, FlagKind::BadHunkHeader].iter().any(|flag| patch.has_flag(*flag));
        reader.counts.broken = f64::from(u8::from(broken));
        let mut sketch = reader.finish();
        sketch.files = sorted(files);
        sketch.unreadable = patch.files.is_empty();
        sketch
    }
}

impl<'a> Reader<'a> {
    /// Notes the lines of the unpatched code that a hunk shows.
    fn base(&mut self, path: &str, hunk: &patch::Hunk) {
        let file = stable_hash(path);
        let old = hunk.lines.iter().filter(|line| line.kind != LineKind::Added);
        for (line, number) in old.zip(i64::from(hunk.old_start)..) {
            self.base.push((mix(file ^ mix(number as u64)), stable_hash(line.text.trim_end())));
        }
    }

    fn hunk(&mut self, path: &'a str, hunk: &'a patch::Hunk, kind: Kind, core: bool, budget: &mut usize) {
        let extension =
            path.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default();
        let file = stable_hash(path);
        let (mut in_added, mut in_removed) = (CommentState::default(), CommentState::default());
        let (mut added, mut removed): (Vec<Changed<'a>>, Vec<Changed<'a>>) = Default::default();
        let mut old = i64::from(hunk.old_start);
        let mut run = 0_u32;
        if core {
            self.counts.hunks += 1.0;
        }
        for line in &hunk.lines {
            if line.kind != LineKind::Context {
                if *budget == 0 {
                    break;
                }
                *budget -= 1;
            }
            let text = line.text.strip_suffix('\r').unwrap_or(&line.text);
            let here = old;
            if line.kind != LineKind::Added {
                old += 1;
            }
            if line.kind == LineKind::Added && kind == Kind::Test {
                let marks = words::marks(text);
                self.counts.asserts += f64::from(u8::from(has(marks, Mark::Assertion)));
                self.counts.testdefs += f64::from(u8::from(has(marks, Mark::Definition)));
            }
            self.counts.count_line(kind, line.kind);
            if line.kind == LineKind::Context {
                run = 0;
            }
            if !core {
                continue;
            }
            let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
            match line.kind {
                LineKind::Context => self.context.extend(words::tokens(&plain).map(stable_hash)),
                LineKind::Added if plain.is_empty() => {
                    self.counts.blank += 1.0;
                    self.counts.wsblank += f64::from(u8::from(!text.is_empty()));
                }
                LineKind::Added => {
                    self.counts.trail += f64::from(u8::from(text.ends_with(char::is_whitespace)));
                    self.counts.longl += f64::from(u8::from(text.chars().count() > 100));
                    self.places.insert((file, here));
                    if in_added.is_comment(&plain, &extension) {
                        self.counts.com_add += 1.0;
                        self.counts.comwords += plain.split(' ').count() as f64;
                        let marked = ["#", "//", "*", "/*"].iter().any(|start| plain.starts_with(start));
                        self.counts.docl += f64::from(u8::from(!marked));
                    } else {
                        run += 1;
                        self.counts.run = self.counts.run.max(f64::from(run));
                        added.push((text, plain));
                    }
                }
                LineKind::Removed if plain.is_empty() => {}
                LineKind::Removed => {
                    self.places.insert((file, here));
                    if in_removed.is_comment(&plain, &extension) {
                        self.counts.com_rem += 1.0;
                    } else {
                        removed.push((text, plain));
                    }
                }
            }
        }
        if core {
            self.changed(path, added, removed);
        }
    }

    /// Counts a hunk's changed lines of code; lines that are removed and added again cancel out.
    fn changed(&mut self, path: &'a str, added: Vec<Changed<'a>>, removed: Vec<Changed<'a>>) {
        let both =
            common(added.iter().map(|line| line.0.trim_end()), removed.iter().map(|line| line.0.trim_end()));
        let bare = |line: &(&str, String)| line.1.replace(' ', "");
        let (bare_added, bare_removed): (Vec<String>, Vec<String>) =
            (added.iter().map(bare).collect(), removed.iter().map(bare).collect());
        let indented = common(bare_added.iter().map(String::as_str), bare_removed.iter().map(String::as_str));
        let total = |counts: &FxHashMap<&str, u32>| f64::from(counts.values().sum::<u32>());
        self.counts.reind += total(&indented) - total(&both);
        self.counts.comhunks += f64::from(u8::from(added.is_empty() && removed.is_empty()));
        for (text, _) in &removed {
            self.counts.remdefs += f64::from(u8::from(has(words::marks(text), Mark::Definition)));
        }
        for (text, plain) in &added {
            if plain.chars().count() > 15 && !self.seen.insert(stable_hash(plain)) {
                self.counts.dupl += 1.0;
            }
            let indent = text.chars().take_while(|c| c.is_whitespace()).count();
            self.least_indent = Some(self.least_indent.map_or(indent, |least| least.min(indent)));
            self.counts.maxind = self.counts.maxind.max(indent as f64);
            self.counts.addchars += plain.chars().count() as f64;
            self.counts.count_marks(words::marks(plain));
        }
        let mut left = both.clone();
        for (text, plain) in added {
            if !cancels(&mut left, text) {
                self.keys.push(format!("+{path}|{}", text.trim_end().replace('\t', "    ")));
                self.added.push((path, plain));
            }
        }
        let mut left = both;
        for (text, plain) in removed {
            if !cancels(&mut left, text) {
                self.keys.push(format!("-{path}|{}", text.trim_end().replace('\t', "    ")));
                self.removed.push((path, plain));
            }
        }
    }

    fn finish(mut self) -> Sketch {
        let (mut added_grams, mut removed_grams) = (FxHashSet::default(), FxHashSet::default());
        let (mut identifiers, mut removed_tokens) = (FxHashSet::default(), FxHashSet::default());
        for (_, line) in &self.added {
            let tokens: Vec<&str> = words::tokens(line).collect();
            self.counts.ntok += tokens.len() as f64;
            for token in &tokens {
                if token.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                    identifiers.insert(stable_hash(token));
                }
            }
            added_grams.extend(grams(&tokens));
        }
        for (_, line) in &self.removed {
            let tokens: Vec<&str> = words::tokens(line).collect();
            removed_tokens.extend(tokens.iter().map(|token| stable_hash(token)));
            removed_grams.extend(grams(&tokens));
        }
        let is_novel = |hash: &&u64| !removed_tokens.contains(*hash) && !self.context.contains(*hash);
        let novel = identifiers.iter().filter(is_novel).count();
        let lines = |lines: &[(&str, String)]| {
            sorted(lines.iter().map(|(path, line)| mix(stable_hash(path) ^ mix(stable_hash(line)))).collect())
        };
        let mut loose: Vec<String> =
            self.keys.iter().map(|key| key.chars().filter(|c| !c.is_whitespace()).collect()).collect();
        loose.sort_unstable();
        let counts = &mut self.counts;
        counts.added = self.added.len() as f64;
        counts.removed = self.removed.len() as f64;
        counts.nid = identifiers.len() as f64;
        counts.nnovel = novel as f64;
        counts.nest = match self.least_indent {
            Some(least) if counts.added > 0.0 => (counts.maxind - least as f64).max(0.0),
            _ => 0.0,
        };
        let place = |&(file, line): &(u64, i64)| mix(file ^ mix(line as u64));
        Sketch {
            key: stable_hash(&self.keys.join("\n")),
            loose_key: stable_hash(&loose.join("\n")),
            added_grams: sorted(added_grams.into_iter().collect()),
            removed_grams: sorted(removed_grams.into_iter().collect()),
            vocabulary: sorted(self.context.union(&removed_tokens).copied().collect()),
            identifiers: sorted(identifiers.into_iter().collect()),
            added_lines: lines(&self.added),
            removed_lines: lines(&self.removed),
            near: sorted(
                self.places
                    .iter()
                    .flat_map(|&(file, line)| (-NEAR..=NEAR).map(move |by| place(&(file, line + by))))
                    .collect(),
            ),
            places: sorted(self.places.iter().map(place).collect()),
            counts: self.counts,
            base: sorted(self.base),
            ..Sketch::default()
        }
    }
}

/// Runs of three tokens from each position, shorter at the end.
fn grams(tokens: &[&str]) -> impl Iterator<Item = u64> {
    (0..tokens.len()).map(|at| stable_hash(&tokens[at..tokens.len().min(at + 3)].join(" ")))
}

/// How often each text is on both sides.
fn common<'t>(a: impl Iterator<Item = &'t str>, b: impl Iterator<Item = &'t str>) -> FxHashMap<&'t str, u32> {
    let count = |texts: &mut dyn Iterator<Item = &'t str>| {
        let mut counts: FxHashMap<&str, u32> = FxHashMap::default();
        for text in texts {
            *counts.entry(text).or_default() += 1;
        }
        counts
    };
    let (mut a, mut b) = (a, b);
    let b = count(&mut b);
    let mut both = count(&mut a);
    both.retain(|text, count| {
        *count = (*count).min(b.get(text).copied().unwrap_or(0));
        *count > 0
    });
    both
}

fn cancels(left: &mut FxHashMap<&str, u32>, text: &str) -> bool {
    match left.get_mut(text.trim_end()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

/// Sorted, each once.
fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}
