use super::*;
use crate::{FileClass, LineKind};

fn flags(patch: &Patch) -> Vec<FlagKind> {
    patch.flags.iter().map(|flag| flag.kind).collect()
}

const PLAIN: &str = "diff --git a/x.py b/x.py\nindex 1..2 100644\n--- a/x.py\n+++ b/x.py\n@@ -1,3 +1,3 @@ def f():\n a\n-b\n+c\n d\n";

#[test]
fn plain() {
    let patch = parse(PLAIN);
    assert_eq!(patch.flags, []);
    let file = &patch.files[0];
    assert_eq!((file.old_path.as_deref(), file.new_path.as_deref()), (Some("x.py"), Some("x.py")));
    assert_eq!((file.change, file.language), (FileChange::Modified, Some(Language::Python)));
    let hunk = &file.hunks[0];
    assert_eq!((hunk.old_start, hunk.old_len, hunk.new_start, hunk.new_len), (1, 3, 1, 3));
    assert_eq!(hunk.section, "def f():");
    let lines: Vec<_> = hunk.lines.iter().map(|line| (line.kind, line.text.as_str())).collect();
    assert_eq!(
        lines,
        [
            (LineKind::Context, "a"),
            (LineKind::Removed, "b"),
            (LineKind::Added, "c"),
            (LineKind::Context, "d")
        ]
    );
}

#[test]
fn nothing_in_nothing_out() {
    for text in
        ["", "\n", "   \n", "no diff here", "diff --git a/x b/x\n", "diff --git a/x b/x\nindex 1..1 100644\n"]
    {
        assert!(parse(text).is_empty(), "{text:?}");
    }
    let context = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n b\n";
    assert!(parse(context).is_empty());
    assert!(!parse(PLAIN).is_empty());
}

#[test]
fn without_git_header() {
    let patch =
        parse("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n--- a/y.py\n+++ b/y.py\n@@ -1 +1 @@\n-a\n+b\n");
    assert_eq!(patch.files.iter().map(FilePatch::path).collect::<Vec<_>>(), ["x.py", "y.py"]);
    assert_eq!(patch.flags, []);
    assert_eq!((patch.files[0].hunks[0].old_len, patch.files[0].hunks[0].new_len), (1, 1));
}

#[test]
fn new_and_deleted_files() {
    let patch = parse(
        "diff --git a/n.py b/n.py\nnew file mode 100644\nindex 0..1\n--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+a\n\
         diff --git a/d.py b/d.py\ndeleted file mode 100644\nindex 1..0\n--- a/d.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n\
         diff --git a/e.py b/e.py\nnew file mode 100755\nindex 000..e69\n",
    );
    let seen: Vec<_> = patch.files.iter().map(|file| (file.change, file.path())).collect();
    assert_eq!(
        seen,
        [(FileChange::Added, "n.py"), (FileChange::Deleted, "d.py"), (FileChange::Added, "e.py")]
    );
    assert_eq!((patch.files[0].old_path.as_deref(), patch.files[1].new_path.as_deref()), (None, None));
    assert_eq!(patch.files[2].new_mode.as_deref(), Some("100755"));
    assert!(patch.files[2].has_effect());
    assert_eq!(patch.flags, []);
    let bare = parse("--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+a\n");
    assert_eq!((bare.files[0].change, bare.files[0].path()), (FileChange::Added, "n.py"));
}

#[test]
fn renames_copies_and_modes() {
    let patch = parse(
        "diff --git a/a b.py b/c d.py\nsimilarity index 90%\nrename from a b.py\nrename to c d.py\n--- a/a b.py\t\n+++ b/c d.py\t\n@@ -1 +1 @@\n-a\n+b\n\
         diff --git a/x.sh b/y.sh\nsimilarity index 100%\ncopy from x.sh\ncopy to y.sh\n\
         diff --git a/m.sh b/m.sh\nold mode 100644\nnew mode 100755\n",
    );
    let first = &patch.files[0];
    assert_eq!(
        (first.change, first.old_path.as_deref(), first.path()),
        (FileChange::Renamed, Some("a b.py"), "c d.py")
    );
    assert_eq!((first.similarity, first.hunks.len()), (Some(90), 1));
    assert_eq!((patch.files[1].change, patch.files[1].path()), (FileChange::Copied, "y.sh"));
    assert!(patch.files[2].mode_changed() && patch.files[2].has_effect());
    assert_eq!(patch.files.len(), 3);
    assert_eq!(patch.flags, []);
}

#[test]
fn binary_files() {
    let patch = parse(
        "diff --git a/i.png b/i.png\nnew file mode 100644\nindex 0..1\nGIT binary patch\nliteral 10\nzcmZ?wbhEHb\n\nliteral 0\nHcmV?d00001\n\n\
         diff --git a/j.png b/j.png\nindex 1..2 100644\nBinary files a/j.png and b/j.png differ\n\
         Binary files a/k.png and b/k.png differ\n",
    );
    assert_eq!(patch.files.len(), 2);
    assert!(patch.files.iter().all(|file| file.binary && file.has_effect()));
    assert_eq!((patch.files[0].change, patch.files[0].class), (FileChange::Added, FileClass::Generated));
    assert_eq!(patch.files[1].path(), "j.png");
}

#[test]
fn no_newline_at_end() {
    let patch = parse(
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n",
    );
    let lines = &patch.files[0].hunks[0].lines;
    assert!(lines.len() == 2 && lines.iter().all(|line| line.no_newline));
    assert_eq!(patch.flags, []);
    assert_eq!(flags(&parse("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b")), [FlagKind::NoFinalNewline]);
}

#[test]
fn quoted_names() {
    let patch = parse(
        "diff --git \"a/\\303\\244.py\" \"b/\\303\\244.py\"\n--- \"a/\\303\\244.py\"\n+++ \"b/\\303\\244.py\"\n@@ -1 +1 @@\n-a\n+b\n",
    );
    assert_eq!(patch.files[0].path(), "ä.py");
}

#[test]
fn prose_and_fences() {
    let text =
        format!("Here is the fix:\n\n```diff\n{PLAIN}```\n\nIt works because\n- of this\n+ and that\n");
    let patch = parse(&text);
    assert_eq!(patch.files[0].hunks, parse(PLAIN).files[0].hunks);
    assert_eq!(flags(&patch), [FlagKind::Prose, FlagKind::Prose]);
    let bullets = parse(&format!("{PLAIN}\n- a list\n- of words\n"));
    assert_eq!(bullets.files[0].hunks, parse(PLAIN).files[0].hunks);
    let signed = parse(&format!("{PLAIN}-- \n2.39.5\n\n"));
    assert_eq!(signed.files[0].hunks, parse(PLAIN).files[0].hunks);
}

#[test]
fn crlf() {
    let all = parse(&PLAIN.replace('\n', "\r\n"));
    assert_eq!(all.files[0].hunks, parse(PLAIN).files[0].hunks);
    assert_eq!(flags(&all), [FlagKind::Crlf]);
    // A CRLF file: only the content has carriage returns.
    let file = parse("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\r\n+b\r\n");
    assert_eq!(file.files[0].hunks[0].lines[0].text, "a\r");
    assert_eq!(file.flags, []);
}

#[test]
fn wrong_counts() {
    let few = parse(
        "--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n a\n-b\n+c\n d\n@@ -9,9 +9,9 @@\n-e\n+f\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n",
    );
    assert_eq!(few.files.len(), 2);
    let lens: Vec<_> = few.files[0].hunks.iter().map(|hunk| (hunk.old_len, hunk.new_len)).collect();
    assert_eq!(lens, [(3, 3), (1, 1)]);
    assert_eq!(flags(&few), [FlagKind::WrongCount, FlagKind::WrongCount]);
    let stripped = parse("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n");
    assert_eq!((stripped.files[0].hunks[0].old_len, stripped.flags.len()), (3, 0));
    let none = parse("--- a/x\n+++ b/x\n@@\n a\n-b\n+c\n@@ def f():\n-d\n+e\n");
    assert_eq!((none.files[0].hunks.len(), none.files[0].hunks[1].section.as_str()), (2, "def f():"));
    assert_eq!(flags(&none), [FlagKind::BadHunkHeader, FlagKind::BadHunkHeader]);
}

#[test]
fn removed_lines_that_look_like_headers() {
    let patch =
        parse("--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,2 @@\n a\n--- old\n+++ new\n@@ -9 +9 @@\n-a\n+b\n");
    assert_eq!(patch.files.len(), 1);
    assert_eq!(patch.files[0].hunks[0].lines[1].text, "-- old");
    assert_eq!(patch.flags, []);
}

#[test]
fn combined_svn_truncated_and_repeated() {
    let combined = parse(
        "diff --cc x.py\nindex 1,2..3\n--- a/x.py\n+++ b/x.py\n@@@ -1,2 -1,2 +1,3 @@@\n  a\n +b\n+ c\n++d\n- e\n",
    );
    assert_eq!(flags(&combined), [FlagKind::Combined]);
    let file = &combined.files[0];
    assert_eq!(
        (file.path(), file.added(), file.removed(), file.hunks[0].lines[3].text.as_str()),
        ("x.py", 3, 1, "d")
    );
    let svn = parse(
        "Index: x.py\n===================================\n--- x.py\t(revision 1)\n+++ x.py\t(working copy)\n@@ -1 +1 @@\n-a\n+b\n",
    );
    assert_eq!((svn.files.len(), svn.files[0].path(), svn.flags.len()), (1, "x.py", 0));
    let cut = parse("--- a/x\n+++ b/x\n@@ -1,4 +1,4 @@\n a\n-b\n");
    assert_eq!(flags(&cut), [FlagKind::Truncated]);
    let twice = parse(&format!("{PLAIN}{PLAIN}"));
    assert_eq!((twice.files.len(), flags(&twice)), (2, vec![FlagKind::DuplicateFile]));
    let orphan = parse("@@ -1 +1 @@\n-a\n+b\n");
    assert_eq!((orphan.files.len(), flags(&orphan)), (1, vec![FlagKind::NoFile]));
    let outside = parse("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n");
    assert_eq!(flags(&outside), [FlagKind::OddPath]);
}

#[test]
fn other_formats_are_named() {
    let patch = parse("*** Begin Patch\n*** Update File: x.py\n@@\n-a\n+b\n*** End Patch\n");
    assert_eq!(patch.flags[0].kind, FlagKind::ForeignFormat);
}

#[test]
fn an_apply_patch_envelope_is_read_and_stays_flagged() {
    let text = include_str!("../../../fuzz/seeds/patch/envelope.patch");
    for text in [text.to_owned(), format!("Here it is:\n\n{text}\nDone."), text.replace('\n', "\r\n")] {
        let patch = parse(&text);
        assert!(patch.has_flag(FlagKind::ForeignFormat));
        let files: Vec<_> = patch
            .files
            .iter()
            .map(|file| {
                (
                    file.change,
                    file.old_path.as_deref(),
                    file.new_path.as_deref(),
                    file.added(),
                    file.removed(),
                )
            })
            .collect();
        let expected = [
            (FileChange::Added, None, Some("src/new.py"), 2, 0),
            (FileChange::Renamed, Some("src/clock.py"), Some("src/watch.py"), 1, 1),
            (FileChange::Deleted, Some("src/old.py"), None, 0, 0),
        ];
        assert_eq!(files, expected);
        let hunk = patch.files[1].hunks.last().expect("a hunk");
        assert_eq!((hunk.section.as_str(), hunk.old_len, hunk.new_len), ("def tick(self):", 2, 2));
        assert_eq!(hunk.lines[1].text, "tick = 1");
    }
}

#[test]
fn an_envelope_and_a_diff_of_the_same_change_have_the_same_lines() {
    let envelope = "*** Begin Patch\n*** Update File: x.py\n@@ def f():\n a\n-b\n+c\n d\n*** End Patch\n";
    let (diff, envelope) = (parse(PLAIN), parse(envelope));
    assert_eq!(diff.files[0].hunks[0].lines, envelope.files[0].hunks[0].lines);
    assert_eq!(crate::Digest::of(&diff).exact(), crate::Digest::of(&envelope).exact());
    // A diff may follow, and an envelope without an end holds what it holds.
    let mixed = parse(&format!("*** Begin Patch\n*** Delete File: y.py\n{PLAIN}"));
    assert_eq!(mixed.files.iter().map(FilePatch::path).collect::<Vec<_>>(), ["y.py", "x.py"]);
    for text in ["*** Begin Patch\n*** End Patch\n", "*** Begin Patch", "*** Begin Patch\n*** Move to: x\n"] {
        assert!(parse(text).is_empty(), "{text}");
    }
}
