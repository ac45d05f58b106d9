//! File names as git writes them.

/// The names of a `--- ` or `+++ ` line (without the marker): C-quoted, or up to a tab (a time stamp follows).
pub(super) fn header_path(rest: &str) -> String {
    let rest = rest.trim_start();
    if rest.starts_with('"')
        && let Some((path, _)) = unquote(rest)
    {
        return path;
    }
    let name = rest.split('\t').next().unwrap_or(rest).trim_end();
    // Subversion and some tools separate with spaces: `--- x.py  (revision 12)`.
    let name = name.split_once("  (").map_or(name, |(name, _)| name);
    name.trim_end().to_owned()
}

/// A name as `rename from`, `copy to` and the like give it: whole line, C-quoted where needed, no prefix.
pub(super) fn plain_path(rest: &str) -> String {
    unquote(rest).map_or_else(|| rest.trim_end_matches(['\t', '\r']).to_owned(), |(path, _)| path)
}

/// The two names of a `diff --git` line, prefixes still on.
pub(super) fn git_paths(rest: &str) -> Option<(String, String)> {
    let rest = rest.trim_end();
    if rest.starts_with('"') {
        let (old, after) = unquote(rest)?;
        let after = after.trim_start();
        let new = unquote(after).map_or_else(|| after.to_owned(), |(path, _)| path);
        return Some((old, new));
    }
    if let Some(at) = rest.find(" \"") {
        let (new, _) = unquote(&rest[at + 1..])?;
        return Some((rest[..at].to_owned(), new));
    }
    // Names may hold spaces. Without a rename both are the same, which finds the middle.
    let mut fallback = None;
    for (at, _) in rest.match_indices(' ') {
        let (old, new) = (&rest[..at], &rest[at + 1..]);
        if strip(old) == strip(new) && !new.is_empty() {
            return Some((old.to_owned(), new.to_owned()));
        }
        if fallback.is_none() && (new.starts_with("b/") || new == "/dev/null") {
            fallback = Some((old.to_owned(), new.to_owned()));
        }
    }
    fallback.or_else(|| rest.split_once(' ').map(|(old, new)| (old.to_owned(), new.to_owned())))
}

fn strip(path: &str) -> &str {
    if prefixed(path) { &path[2..] } else { path }
}

/// Whether the name begins with one of git's prefixes: `a/`, `b/`, and `i/ w/ c/ o/` of `diff.mnemonicPrefix`.
fn prefixed(path: &str) -> bool {
    matches!(path.as_bytes(), [b'a' | b'b' | b'i' | b'w' | b'c' | b'o', b'/', _, ..])
}

/// Both names of a file without git's prefixes, `None` for `/dev/null`. A prefix goes only where both sides have
/// one and they differ, so that `--- a/x` with `+++ a/x` keeps a folder that is really called `a`.
pub(super) fn clean(old: &str, new: &str) -> (Option<String>, Option<String>) {
    let null = |path: &str| path == "/dev/null" || path.is_empty();
    let strip_both = match (null(old), null(new)) {
        (false, false) => prefixed(old) && prefixed(new) && old.as_bytes()[0] != new.as_bytes()[0],
        (true, false) => prefixed(new),
        (false, true) => prefixed(old),
        (true, true) => false,
    };
    let finish = |path: &str| {
        if null(path) {
            return None;
        }
        let path = if strip_both { &path[2..] } else { path };
        Some(path.strip_prefix("./").unwrap_or(path).to_owned())
    };
    (finish(old), finish(new))
}

/// Reads a C-quoted name at the start of `text`; returns it and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let bytes = inner.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Some((String::from_utf8_lossy(&out).into_owned(), &inner[at + 1..])),
            b'\\' => {
                at += 1;
                let byte = *bytes.get(at)?;
                let octal = |byte: u8| (b'0'..=b'7').contains(&byte);
                if octal(byte) {
                    let digits = bytes[at..].iter().take(3).take_while(|byte| octal(**byte)).count();
                    let value = bytes[at..at + digits]
                        .iter()
                        .fold(0_u32, |sum, digit| sum * 8 + u32::from(digit - b'0'));
                    out.push((value & 0xff) as u8);
                    at += digits;
                    continue;
                }
                out.push(match byte {
                    b'a' => 7,
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    other => other,
                });
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_names() {
        assert_eq!(header_path("\"a/\\303\\244.py\""), "a/ä.py");
        assert_eq!(header_path("\"a/tab\\there \\\"q\\\".py\"\t"), "a/tab\there \"q\".py");
        assert_eq!(
            git_paths("\"a/\\303\\244.py\" \"b/\\303\\244.py\""),
            Some(("a/ä.py".into(), "b/ä.py".into()))
        );
        assert_eq!(git_paths("a/x.py \"b/\\303\\244.py\""), Some(("a/x.py".into(), "b/ä.py".into())));
        assert_eq!(header_path("\"a/broken"), "\"a/broken");
        assert_eq!(git_paths("\"a/broken\\"), None);
    }

    #[test]
    fn names_with_spaces_and_time_stamps() {
        assert_eq!(
            git_paths("a/my dir/x y.py b/my dir/x y.py"),
            Some(("a/my dir/x y.py".into(), "b/my dir/x y.py".into()))
        );
        assert_eq!(header_path("a/x y.py\t"), "a/x y.py");
        assert_eq!(header_path("x.py\t2024-01-01 00:00:00.000000000 +0000"), "x.py");
        assert_eq!(header_path("x.py\t(revision 12)"), "x.py");
        assert_eq!(git_paths("x.py x.py"), Some(("x.py".into(), "x.py".into())));
    }

    #[test]
    fn prefixes_go_only_in_pairs() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(clean("a/x.py", "b/x.py"), (some("x.py"), some("x.py")));
        assert_eq!(clean("i/x.py", "w/x.py"), (some("x.py"), some("x.py")));
        assert_eq!(clean("a/x.py", "a/x.py"), (some("a/x.py"), some("a/x.py")));
        assert_eq!(clean("x.py", "./x.py"), (some("x.py"), some("x.py")));
        assert_eq!(clean("/dev/null", "b/x.py"), (None, some("x.py")));
        assert_eq!(clean("a/x.py", "/dev/null"), (some("x.py"), None));
    }
}
