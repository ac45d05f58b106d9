//! Tokens of a line, and patterns that a line may match, in any of the common languages.

use std::sync::LazyLock;

use regex::bytes::RegexSet;

/// Identifiers, numbers and single other characters that are not white space.
pub(super) fn tokens(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let length = if is_word_start(first) {
            rest.find(|c: char| !(is_word_start(c) || c.is_ascii_digit())).unwrap_or(rest.len())
        } else if first.is_ascii_digit() {
            number(rest)
        } else {
            first.len_utf8()
        };
        let (token, tail) = rest.split_at(length);
        rest = tail;
        Some(token)
    })
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

/// Length of `12` or `12.5` at the start of a text.
fn number(text: &str) -> usize {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits(text);
    match text[whole..].strip_prefix('.').map(digits) {
        Some(part) if part > 0 => whole + 1 + part,
        _ => whole,
    }
}

/// What a line of code is about. The order is that of [`PATTERNS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Mark {
    Debug,
    Assertion,
    Todo,
    Broad,
    Definition,
    Condition,
    Raise,
    Return,
    Import,
    Reflection,
    /// The first of the [`KEYWORDS`].
    FirstKeyword,
}

/// Names of the keyword groups, in the order of their patterns.
pub(crate) const KEYWORDS: [&str; 26] = [
    "k_try", "k_none", "k_not", "k_bool", "k_self", "k_super", "k_else", "k_loop", "k_eq", "k_in", "k_str",
    "k_num", "k_true", "k_call", "k_idx", "k_asg", "k_len", "k_get", "k_copy", "k_str2", "k_warn", "k_priv",
    "k_cont", "k_lambda", "k_list", "k_regex",
];

const PATTERNS: [&str; Mark::FirstKeyword as usize + KEYWORDS.len()] = [
    r"\bprint\s*\(|console\.log\(|System\.out\.print|fmt\.Print|println!\(|dbg!\(|\bpdb\b|breakpoint\(\)|printf\s*\(|debugger;",
    r"(?i)\b(assert\w*|expect|should\w*|require)\b|self\.assert|t\.(Error|Fatal)",
    r"\b(TODO|FIXME|XXX|HACK)\b",
    r"except\s*:|except\s+(Base)?Exception\b|catch\s*\(\s*(Exception|Throwable|\.\.\.|_|e|err|error|ex)\b",
    r"^\s*(?:export |pub(?:\([a-z]+\))? |public |private |protected |static |async |abstract |final |override |default )*(?:def|class|fn|func|function|interface|struct|enum|impl|trait)\b",
    r"\b(if|elif|else if|unless|when|case|switch|match)\b",
    r"\b(raise|throw|panic!|panic\(|assert)\b",
    r"\breturn\b",
    r"^\s*(import|from|#include|use|require|using)\b",
    r"\b(getattr|hasattr|isinstance|instanceof|typeof)\b",
    r"\b(try|catch|except|rescue)\b",
    r"\b(None|null|nil|undefined|nullptr|Null)\b",
    r"\bnot\b|!([^=]|$)",
    r"\b(and|or)\b|&&|\|\|",
    r"\b(self|this)\b",
    r"\bsuper\b",
    r"\belse\b|\belif\b",
    r"\b(for|while|forEach|map)\b",
    r"==|!=|\bis\b",
    r"\bin\b|contains|includes",
    r#"["']"#,
    r"\b[0-9]+\b",
    r"\b([Tt]rue|[Ff]alse)\b",
    r"\w\(",
    r"\w\[",
    r"[^=!<>]=[^=]",
    r"\b(len|length|size)\b",
    r"\.get\(|\bget[A-Z]",
    r"copy|clone",
    r"\bstr\(|toString|String\(|format",
    r"warn|log(ger|ging)?\.",
    r"\b_[a-z]",
    r"\b(continue|break|pass)\b",
    r"lambda|=>|->",
    r"\b(list|tuple|set|dict|List|Map|Set|Array|vec)\b",
    r"\bre\.|[Rr]egex",
];

/// The patterns that a line matches, as bits in the order of [`PATTERNS`].
pub(super) fn marks(line: &str) -> u64 {
    static SET: LazyLock<RegexSet> = LazyLock::new(|| {
        RegexSet::new(PATTERNS.map(|pattern| format!("(?-u:{pattern})")))
            .expect("the patterns are constant and tested")
    });
    SET.matches(line.as_bytes()).iter().fold(0, |bits, at| bits | (1 << at))
}

/// Whether a line has a mark.
pub(super) fn has(marks: u64, mark: Mark) -> bool {
    marks & (1 << mark as usize) != 0
}

/// What a line is in the course of a file: code, or a comment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CommentState {
    in_docstring: bool,
}

impl CommentState {
    /// Whether a trimmed line is a comment or part of a docstring.
    pub(super) fn is_comment(&mut self, line: &str, extension: &str) -> bool {
        if matches!(extension, "py" | "pyi" | "pyx") {
            let quotes = line.matches("\"\"\"").count() + line.matches("'''").count();
            if self.in_docstring {
                self.in_docstring = quotes.is_multiple_of(2);
                return true;
            }
            if ["\"\"\"", "'''", "r\"\"\"", "u\"\"\""].iter().any(|quote| line.starts_with(quote)) {
                self.in_docstring = !quotes.is_multiple_of(2);
                return true;
            }
        }
        if HASH_COMMENTS.contains(&extension) {
            return line.starts_with('#') && !line.starts_with("#!");
        }
        line == "*" || ["//", "/*", "*/", "* ", "<!--"].iter().any(|start| line.starts_with(start))
    }
}

/// Extensions of languages whose comments begin with `#`.
const HASH_COMMENTS: [&str; 18] = [
    "py", "pyi", "pyx", "pxd", "rb", "sh", "bash", "zsh", "pl", "pm", "r", "jl", "ex", "exs", "toml", "cfg",
    "yaml", "yml",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_a_line() {
        let split: Vec<&str> = tokens("x_1 = f(2.5, 3.) != 'é'").collect();
        assert_eq!(split, ["x_1", "=", "f", "(", "2.5", ",", "3", ".", ")", "!", "=", "'", "é", "'"]);
    }

    #[test]
    fn marks_of_a_line() {
        let line = marks("if x is None: raise ValueError(\"a\")");
        for mark in [Mark::Condition, Mark::Raise] {
            assert!(has(line, mark), "{mark:?}");
        }
        for mark in [Mark::Debug, Mark::Definition, Mark::Todo] {
            assert!(!has(line, mark), "{mark:?}");
        }
        assert!(has(marks("    async def f(x):"), Mark::Definition));
        assert!(
            has(marks("except Exception as e:"), Mark::Broad) && !has(marks("except KeyError:"), Mark::Broad)
        );
    }

    #[test]
    fn docstrings_are_comments() {
        let mut state = CommentState::default();
        let lines = ["\"\"\"Says", "more.", "\"\"\"", "x = 1", "# note"];
        let comments = lines.map(|line| state.is_comment(line, "py"));
        assert_eq!(comments, [true, true, true, false, true]);
    }
}
