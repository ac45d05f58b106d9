//! A candidate's patch as rows of HTML tables: line numbers, signs, syntax colours, changed words.

use std::ops::Range;

use patch::{FileChange, FileClass, FilePatch, Hunk, Line, LineKind};

use super::highlight::Highlighter;
use super::markup::Markup;
use super::text::{clean, clip, count, floor_char_boundary, grouped};

/// How much of a patch a page shows; the rest is behind the link to the raw text.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiffLimits {
    /// Bytes of patch text that are read at all.
    pub(super) bytes: usize,
    /// Files with their lines.
    pub(super) files: usize,
    /// Lines, over all files.
    pub(super) lines: usize,
    /// Lines of one file.
    pub(super) file_lines: usize,
    /// Bytes of one line.
    pub(super) line_bytes: usize,
}

impl Default for DiffLimits {
    fn default() -> Self {
        Self { bytes: 2 << 20, files: 60, lines: 2_000, file_lines: 600, line_bytes: 600 }
    }
}

/// A patch to show.
#[derive(Debug)]
pub(super) struct DiffView {
    pub(super) summary: String,
    /// Where the whole text is.
    pub(super) raw: String,
    /// What is odd, and what was left out.
    pub(super) notes: Vec<String>,
    pub(super) files: Vec<FileView>,
}

/// One file of it.
#[derive(Debug)]
pub(super) struct FileView {
    pub(super) path: String,
    pub(super) old_path: Option<String>,
    pub(super) class: &'static str,
    pub(super) badge: Option<&'static str>,
    pub(super) added: usize,
    pub(super) removed: usize,
    pub(super) notes: Vec<String>,
    pub(super) hunks: Vec<HunkView>,
}

/// One hunk of it.
#[derive(Debug)]
pub(super) struct HunkView {
    pub(super) header: String,
    pub(super) rows: Markup,
}

/// What is left of the limits.
struct Budget {
    files: usize,
    lines: usize,
}

/// Makes the view of a patch. `None`: the candidate has none. Files for which `first` is true come first.
pub(super) fn view(
    text: Option<&str>,
    raw: String,
    limits: DiffLimits,
    first: impl Fn(&str) -> bool,
) -> DiffView {
    let Some(text) = text.filter(|t| !t.trim().is_empty()) else {
        let summary = if text.is_some() { "Empty patch: nothing was changed" } else { "No patch" };
        return DiffView { summary: summary.to_owned(), raw, notes: Vec::new(), files: Vec::new() };
    };
    let read = &text[..floor_char_boundary(text, limits.bytes)];
    let parsed = patch::parse(read);
    let mut notes = Vec::new();
    if read.len() < text.len() {
        notes.push(format!(
            "Only the first {} of {} bytes are shown.",
            grouped(read.len()),
            grouped(text.len())
        ));
    }
    notes.extend(parsed.flags.iter().take(8).map(|f| format!("Line {}: {}.", f.line, clean(&f.message))));
    if parsed.flags.len() > 8 {
        notes.push(format!("{} more remarks on the text are not shown.", parsed.flags.len() - 8));
    }
    let added: usize = parsed.files.iter().map(FilePatch::added).sum();
    let removed: usize = parsed.files.iter().map(FilePatch::removed).sum();
    let mut order: Vec<&FilePatch> = parsed.files.iter().collect();
    // Stable: source first, then the patch's own order.
    order.sort_by_key(|f| (!first(f.path()), class_order(f.class)));
    let mut budget = Budget { files: limits.files, lines: limits.lines };
    let mut files = Vec::new();
    for file in &order {
        if budget.files == 0 {
            notes.push(format!(
                "{} not shown.",
                count(order.len() - files.len(), "more file is", "more files are")
            ));
            break;
        }
        budget.files -= 1;
        files.push(file_view(file, limits, &mut budget));
    }
    if files.is_empty() {
        files.push(unreadable(read, limits));
    }
    DiffView {
        summary: format!(
            "{}, +{} −{}",
            count(parsed.files.len(), "file", "files"),
            grouped(added),
            grouped(removed)
        ),
        raw,
        notes,
        files,
    }
}

/// `+a −b in n files`, for the ranking.
pub(super) fn stat(text: Option<&str>) -> Stat {
    let Some(text) = text.filter(|t| !t.trim().is_empty()) else {
        return Stat {
            words: if text.is_some() { "empty" } else { "no patch" }.to_owned(),
            files: Vec::new(),
        };
    };
    let parsed = patch::parse(&text[..floor_char_boundary(text, DiffLimits::default().bytes)]);
    let added: usize = parsed.files.iter().map(FilePatch::added).sum();
    let removed: usize = parsed.files.iter().map(FilePatch::removed).sum();
    let mut files: Vec<String> = parsed
        .files
        .iter()
        .filter(|f| f.class == FileClass::Source)
        .map(|f| clean(f.path()).into_owned())
        .collect();
    files.sort_unstable();
    files.dedup();
    let of =
        if parsed.files.len() == 1 { String::new() } else { format!(" in {}", grouped(parsed.files.len())) };
    Stat { words: format!("+{} −{}{of}", grouped(added), grouped(removed)), files }
}

/// A patch in a few words.
#[derive(Debug, Clone, Default)]
pub(super) struct Stat {
    pub(super) words: String,
    /// Source files, sorted.
    pub(super) files: Vec<String>,
}

fn class_order(class: FileClass) -> u8 {
    match class {
        FileClass::Source => 0,
        FileClass::Config => 1,
        FileClass::Test => 2,
        FileClass::Docs => 3,
        FileClass::Reproduction => 4,
        FileClass::Generated => 5,
    }
}

fn class_word(class: FileClass) -> &'static str {
    match class {
        FileClass::Source => "source",
        FileClass::Config => "config",
        FileClass::Test => "test",
        FileClass::Docs => "docs",
        FileClass::Reproduction => "reproduction",
        FileClass::Generated => "generated",
    }
}

fn file_view(file: &FilePatch, limits: DiffLimits, budget: &mut Budget) -> FileView {
    let badge = match file.change {
        FileChange::Added => Some("new"),
        FileChange::Deleted => Some("deleted"),
        FileChange::Renamed => Some("renamed"),
        FileChange::Copied => Some("copied"),
        FileChange::Modified => None,
    };
    let mut notes = Vec::new();
    if file.binary {
        notes.push("Binary content.".to_owned());
    }
    if let (Some(old), Some(new)) = (&file.old_mode, &file.new_mode)
        && old != new
    {
        notes.push(format!("Mode {} → {}.", clean(old), clean(new)));
    }
    let total: usize = file.hunks.iter().map(|h| h.lines.len()).sum();
    let mut left = limits.file_lines.min(budget.lines);
    let mut hunks = Vec::new();
    for hunk in &file.hunks {
        if left == 0 {
            break;
        }
        let take = hunk.lines.len().min(left);
        left -= take;
        budget.lines -= take;
        hunks.push(hunk_view(file, hunk, take, limits.line_bytes));
    }
    let shown: usize = file.hunks.iter().zip(&hunks).map(|(h, v)| h.lines.len().min(v.lines)).sum();
    if shown < total {
        let rest = count(total - shown, "more line is", "more lines are");
        notes.push(format!("{rest} not shown; the raw patch has them."));
    }
    let both = matches!(file.change, FileChange::Renamed | FileChange::Copied);
    FileView {
        path: clean(file.path()).into_owned(),
        old_path: file.old_path.as_deref().filter(|_| both).map(|p| clean(p).into_owned()),
        class: class_word(file.class),
        badge,
        added: file.added(),
        removed: file.removed(),
        notes,
        hunks: hunks.into_iter().map(|h| h.view).collect(),
    }
}

struct Built {
    view: HunkView,
    lines: usize,
}

fn hunk_view(file: &FilePatch, hunk: &Hunk, take: usize, line_bytes: usize) -> Built {
    let lines = &hunk.lines[..take];
    let side = |not: LineKind| lines.iter().filter(move |l| l.kind != not).map(|l| l.text.as_str());
    let mut old_side = Highlighter::new(file.path(), &side(LineKind::Added));
    let mut new_side = Highlighter::new(file.path(), &side(LineKind::Removed));
    let changed = changed_words(lines);
    let (mut old_no, mut new_no) = (hunk.old_start as usize, hunk.new_start as usize);
    let mut rows = Markup::default();
    for (line, words) in lines.iter().zip(changed) {
        let text = clean(line.text.trim_end_matches('\r'));
        let shown = clip(&text, 1, line_bytes);
        // Offsets of the words are into the raw text: they hold only where cleaning and cutting changed nothing.
        let words = words.filter(|w| text.len() == line.text.len() && w.end <= shown.shown.len());
        let (class, sign, code) = match line.kind {
            LineKind::Context => {
                old_side.skip(shown.shown);
                ("x", " ", new_side.line(shown.shown, None))
            }
            LineKind::Added => ("a", "+", new_side.line(shown.shown, words)),
            LineKind::Removed => ("r", "−", old_side.line(shown.shown, words)),
        };
        rows.tag("<tr class=\"");
        rows.tag(class);
        rows.tag("\"><td class=\"n\">");
        if line.kind != LineKind::Added && hunk.old_start > 0 {
            rows.number(old_no);
        }
        rows.tag("</td><td class=\"n\">");
        if line.kind != LineKind::Removed && hunk.new_start > 0 {
            rows.number(new_no);
        }
        rows.tag("</td><td class=\"s\">");
        rows.tag(sign);
        rows.tag("</td><td class=\"c\">");
        rows.push(&code);
        if shown.hidden_bytes > 0 {
            rows.span("more", &format!(" … {}", count(shown.hidden_bytes, "more byte", "more bytes")));
        }
        if line.no_newline {
            rows.tag("<span class=\"more\"> no newline at end of file</span>");
        }
        rows.tag("</td></tr>\n");
        old_no += usize::from(line.kind != LineKind::Added);
        new_no += usize::from(line.kind != LineKind::Removed);
    }
    let section = clean(&hunk.section);
    let header = format!(
        "@@ −{},{} +{},{} @@ {}",
        hunk.old_start,
        hunk.old_len,
        hunk.new_start,
        hunk.new_len,
        clip(&section, 1, 200).shown
    );
    Built { view: HunkView { header, rows }, lines: take }
}

/// For each line the bytes that differ from its counterpart: lines are paired where a run of removals is followed by
/// as many additions.
fn changed_words(lines: &[Line]) -> Vec<Option<Range<usize>>> {
    let mut out = vec![None; lines.len()];
    let mut at = 0;
    while at < lines.len() {
        let removed = run(lines, at, LineKind::Removed);
        let added = run(lines, at + removed, LineKind::Added);
        if removed > 0 && removed == added {
            for i in at..at + removed {
                if let Some((a, b)) = differing(&lines[i].text, &lines[i + removed].text) {
                    out[i] = Some(a);
                    out[i + removed] = Some(b);
                }
            }
        }
        at += (removed + added).max(1);
    }
    out
}

fn run(lines: &[Line], at: usize, kind: LineKind) -> usize {
    lines[at..].iter().take_while(|l| l.kind == kind).count()
}

/// What is left of two lines without their common beginning and end; `None` when they share too little to be one
/// line edited.
fn differing(a: &str, b: &str) -> Option<(Range<usize>, Range<usize>)> {
    let head: usize = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(x, _)| x.len_utf8()).sum();
    let tail: usize = a[head..]
        .chars()
        .rev()
        .zip(b[head..].chars().rev())
        .take_while(|(x, y)| x == y)
        .map(|(x, _)| x.len_utf8())
        .sum();
    let indent = a.len() - a.trim_start().len();
    let shared = (head + tail).saturating_sub(indent.min(head));
    let longest = a.trim().len().max(b.trim().len());
    (shared * 3 >= longest && longest > 0).then_some((head..a.len() - tail, head..b.len() - tail))
}

/// Text in which no file was found, line by line.
fn unreadable(text: &str, limits: DiffLimits) -> FileView {
    let cleaned = clean(text);
    let shown = clip(&cleaned, limits.file_lines, limits.line_bytes * limits.file_lines);
    let mut rows = Markup::default();
    for line in shown.shown.lines() {
        let cut = clip(line, 1, limits.line_bytes);
        rows.tag(
            "<tr class=\"x\"><td class=\"n\"></td><td class=\"n\"></td><td class=\"s\"></td><td class=\"c\">",
        );
        rows.text(cut.shown);
        rows.tag("</td></tr>\n");
    }
    let mut notes = vec!["No file's change could be read from this text.".to_owned()];
    if shown.hidden_lines > 0 {
        notes.push(format!("{} not shown.", count(shown.hidden_lines, "more line is", "more lines are")));
    }
    FileView {
        path: "patch text".to_owned(),
        old_path: None,
        class: "unreadable",
        badge: None,
        added: 0,
        removed: 0,
        notes,
        hunks: vec![HunkView { header: String::new(), rows }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "diff --git a/src/calc.py b/src/calc.py
--- a/src/calc.py
+++ b/src/calc.py
@@ -1,3 +1,3 @@ class Calc:
 def area(w, h):
-    return w + h  # <b>wrong</b>
+    return w * h  # <b>wrong</b>
 x = 1
";

    fn show(text: &str, limits: DiffLimits) -> DiffView {
        view(Some(text), "/raw".to_owned(), limits, |_| false)
    }

    #[test]
    fn rows_have_numbers_signs_colours_and_changed_words() {
        let v = show(PATCH, DiffLimits::default());
        assert_eq!(v.summary, "1 file, +1 −1");
        let rows = v.files[0].hunks[0].rows.to_string();
        assert!(rows.contains("<td class=\"n\">2</td><td class=\"n\"></td><td class=\"s\">−</td>"), "{rows}");
        assert!(rows.contains("w <b>*</b> h"), "{rows}");
        assert!(rows.contains("<span class=\"hk\">return</span>"));
        assert!(!rows.contains("<b>wrong"), "agent's markup must be escaped: {rows}");
    }

    #[test]
    fn large_patches_are_cut_and_the_cut_is_said() {
        let line = format!("+x = '{}'\n", "y".repeat(100));
        let text = String::from("--- a/a.py\n+++ b/a.py\n@@ -0,0 +1,50 @@\n") + &line.repeat(50);
        let limits = DiffLimits { file_lines: 10, line_bytes: 20, ..DiffLimits::default() };
        let v = show(&text, limits);
        let rows = v.files[0].hunks[0].rows.to_string();
        assert_eq!(rows.matches("<tr").count(), 10);
        assert!(rows.contains("more bytes"));
        assert!(v.files[0].notes.iter().any(|n| n == "40 more lines are not shown; the raw patch has them."));
        let v = show(&text, DiffLimits { bytes: 200, ..limits });
        assert!(v.notes[0].starts_with("Only the first 200 of"));
    }

    #[test]
    fn empty_missing_and_unreadable() {
        assert_eq!(show("  \n", DiffLimits::default()).summary, "Empty patch: nothing was changed");
        assert_eq!(view(None, String::new(), DiffLimits::default(), |_| false).summary, "No patch");
        let v = show("I fixed it <script>alert(1)</script>", DiffLimits::default());
        assert!(v.files[0].hunks[0].rows.to_string().contains("&lt;script&gt;"));
        assert_eq!(stat(Some("")).words, "empty");
        assert_eq!(stat(Some(PATCH)).files, ["src/calc.py"]);
    }

    #[test]
    fn words_are_marked_only_in_an_edited_line() {
        assert_eq!(differing("    a = foo(1)", "    a = foo(2)"), Some((12..13, 12..13)));
        assert_eq!(differing("    completely", "    different!"), None);
        assert_eq!(differing("é = 1", "é = 12"), Some((6..6, 6..7)));
    }
}
