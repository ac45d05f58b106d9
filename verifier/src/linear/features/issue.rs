//! What an issue names: files, places in them, identifiers, messages.

use super::text::{self, Words};

/// An issue's text, taken apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Issue {
    /// Words of the prose and the code.
    pub(super) words: Words,
    /// Identifiers that look like code.
    pub(super) code: Words,
    /// All identifiers as written.
    pub(super) identifiers: Words,
    /// Files named: paths, and modules as paths without an ending.
    pub(super) paths: Vec<String>,
    /// Frames of tracebacks in order: file, line, function.
    pub(super) frames: Vec<(String, u32, String)>,
    /// Classes of errors and warnings.
    pub(super) errors: Words,
    /// Quoted texts of several words: messages.
    pub(super) quoted: Vec<String>,
    /// Length in bytes.
    pub(super) length: usize,
    /// Blocks of code.
    pub(super) blocks: usize,
}

impl Issue {
    /// Takes a text apart.
    pub(super) fn of(text: &str) -> Self {
        // Logs of megabytes say no more than their first part.
        let text = clip(text, 1 << 16);
        let mut issue =
            Self { length: text.len(), blocks: text.matches("```").count() / 2, ..Self::default() };
        text::add_words(&mut issue.words, text);
        text::add_identifiers(&mut issue.identifiers, text);
        for identifier in text::identifiers(text) {
            if text::is_code(identifier) {
                issue.code.insert(text::hash(identifier.as_bytes()));
            }
            if identifier.len() > 7
                && ["Error", "Exception", "Warning"].iter().any(|end| identifier.ends_with(end))
            {
                issue.errors.insert(text::hash(identifier.as_bytes()));
            }
        }
        for line in text.lines() {
            issue.read_frame(line);
            issue.read_quoted(line);
        }
        // What stands in back quotes is code, whatever it looks like.
        for inline in text.split('`').skip(1).step_by(2).filter(|inline| inline.len() < 60) {
            let names = text::identifiers(inline).filter(|name| name.len() >= 3);
            issue.code.extend(names.map(|name| text::hash(name.as_bytes())));
        }
        issue.read_paths(text);
        issue
    }

    /// `  File "a/b.py", line 12, in f`
    fn read_frame(&mut self, line: &str) {
        let Some(rest) = line.trim_start().strip_prefix("File \"") else { return };
        let Some((path, rest)) = rest.split_once("\", line ") else { return };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let function = rest.split_once(" in ").map_or("", |(_, name)| name.trim());
        self.frames.push((path.to_owned(), digits.parse().unwrap_or(0), function.to_owned()));
    }

    fn read_quoted(&mut self, line: &str) {
        for quote in ['"', '\''] {
            let inner = line.split(quote).skip(1).step_by(2);
            let messages = inner.filter(|text| text.len() >= 12 && text.contains(' ') && text.len() < 200);
            self.quoted.extend(messages.map(str::to_owned));
        }
    }

    fn read_paths(&mut self, text: &str) {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-');
        for token in text.split(|c| !is_part(c)) {
            let token = token.trim_matches(['.', '/', '-']);
            let token = token.rsplit_once("/blob/").map_or(token, |(_, rest)| rest);
            let name = token.rsplit('/').next().unwrap_or(token);
            let Some((stem, ending)) = name.rsplit_once('.') else { continue };
            if !stem.bytes().any(|byte| byte.is_ascii_alphabetic()) {
                continue;
            }
            if ENDINGS.contains(&ending) {
                self.paths.push(token.to_owned());
            } else if !token.contains('/') && token.len() > 6 {
                // `package.module.Class.method`: its beginnings may be modules.
                self.paths.push(token.replace('.', "/"));
            }
        }
        self.paths.sort();
        self.paths.dedup();
    }

    /// Whether the issue names this file: 1 by its path or module, 0.5 by its name alone.
    pub(super) fn names(&self, path: &str) -> f64 {
        let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
        let mut best: f64 = 0.0;
        for named in &self.paths {
            let is_file = named.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending));
            let parts = named.matches('/').count();
            best = best.max(if is_file && (ends_with_path(named, path) || ends_with_path(path, named)) {
                if parts > 0 { 1.0 } else { 0.5 }
            } else if !is_file && parts > 0 && within_module(named, stem) {
                0.75
            } else {
                0.0
            });
        }
        best
    }

    /// Position from the end, from 1, of the last frame of a traceback in this file, and its line; `None` without one.
    pub(super) fn frame_in(&self, path: &str) -> Option<(usize, u32)> {
        let at = self
            .frames
            .iter()
            .rev()
            .position(|(file, _, _)| ends_with_path(&file.replace('\\', "/"), path))?;
        Some((at + 1, self.frames[self.frames.len() - 1 - at].1))
    }
}

/// `a/b/c.py` ends with `b/c.py`, not with `/c.py` of another name.
fn ends_with_path(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// Whether a dotted name (as a path) lies in the module of this stem: `pkg/mod/Class` in `src/pkg/mod`.
fn within_module(named: &str, stem: &str) -> bool {
    let mut prefix = named;
    loop {
        if prefix.contains('/') && ends_with_path(stem, prefix) {
            return true;
        }
        let Some((shorter, _)) = prefix.rsplit_once('/') else { return false };
        prefix = shorter;
    }
}

/// The beginning of a text, of at most so many bytes.
pub(super) fn clip(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The end of a text, of at most so many bytes.
pub(super) fn tail(text: &str, bytes: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..]
}

/// Endings of files that a fix changes.
const ENDINGS: [&str; 30] = [
    "py", "pyx", "pyi", "js", "jsx", "ts", "tsx", "java", "kt", "go", "rs", "c", "cc", "cpp", "h", "hpp",
    "cs", "rb", "php", "scala", "swift", "html", "css", "cfg", "toml", "yaml", "yml", "rst", "txt", "sh",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_in_several_ways() {
        let issue = Issue::of(
            "See `django/db/models/query.py`, utils.py and pkg.mod.Class.method at 1.2.3:\n  File \"/usr/lib/a/b.py\", line 12, in run\n",
        );
        for (path, wanted) in [
            ("django/db/models/query.py", 1.0),
            ("src/django/db/models/query.py", 1.0),
            ("lib/utils.py", 0.5),
            ("lib/myutils.py", 0.0),
            ("src/pkg/mod.py", 0.75),
            ("a/b.py", 1.0),
        ] {
            assert_eq!(issue.names(path), wanted, "{path}");
        }
        assert_eq!(issue.frame_in("a/b.py"), Some((1, 12)));
        assert_eq!(issue.frame_in("c/b.py"), None);
    }

    #[test]
    fn messages_and_errors() {
        let issue = Issue::of("It says ValueError: \"cannot convert float NaN\" in `fit`.");
        assert_eq!(issue.quoted, ["cannot convert float NaN"]);
        assert_eq!(issue.errors.len(), 1);
        assert!(issue.code.contains(&text::hash(b"fit")));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!((clip("aé", 2), tail("éa", 2), clip("a", 9)), ("a", "a", "a"));
    }
}
