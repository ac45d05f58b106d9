//! How each language writes comments and strings.

use crate::Language;

/// The lexical rules of a language, as far as comments and strings need them.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a language")]
pub(super) struct Syntax {
    /// What begins a comment that runs to the end of the line.
    pub(super) line: &'static [&'static str],
    /// What begins and ends a block comment.
    pub(super) block: Option<(&'static str, &'static str)>,
    /// Block comments nest.
    pub(super) nested: bool,
    /// Quote characters of strings that end with the line.
    pub(super) quotes: &'static [u8],
    /// `"""` strings (and `'''` where `'` is a quote).
    pub(super) triple: bool,
    /// Strings in backticks over several lines.
    pub(super) backtick: bool,
    /// A backslash has no meaning inside backticks.
    pub(super) raw_backtick: bool,
    /// `'a` is a lifetime, `r#"…"#` a raw string.
    pub(super) rust: bool,
    /// `R"x(…)x"` is a raw string.
    pub(super) cpp: bool,
    /// `/…/` may be a regular expression.
    pub(super) regex: bool,
}

const NONE: Syntax = Syntax {
    line: &[],
    block: None,
    nested: false,
    quotes: b"",
    triple: false,
    backtick: false,
    raw_backtick: false,
    rust: false,
    cpp: false,
    regex: false,
};
const C: Syntax = Syntax { line: &["//"], block: Some(("/*", "*/")), quotes: b"\"'", ..NONE };
const PYTHON: Syntax = Syntax { line: &["#"], quotes: b"\"'", triple: true, ..NONE };
const SHELL: Syntax = Syntax { line: &["#"], quotes: b"\"'", ..NONE };

impl Syntax {
    /// The rules of `language`; of an unknown one nothing is known, so everything in it counts.
    pub(super) fn of(language: Option<Language>) -> Self {
        match language {
            None => NONE,
            Some(Language::Python) => PYTHON,
            Some(Language::C | Language::CSharp) => C,
            Some(Language::Cpp) => Syntax { cpp: true, ..C },
            Some(Language::Java | Language::Kotlin | Language::Scala | Language::Swift) => {
                Syntax { triple: true, quotes: b"\"", ..C }
            }
            Some(Language::JavaScript | Language::TypeScript | Language::Tsx) => {
                Syntax { backtick: true, regex: true, ..C }
            }
            Some(Language::Go) => Syntax { backtick: true, raw_backtick: true, ..C },
            Some(Language::Rust) => Syntax { nested: true, rust: true, quotes: b"\"", ..C },
            Some(Language::Php) => Syntax { line: &["//", "#"], ..C },
            Some(Language::Ruby | Language::Shell) => SHELL,
            Some(Language::Css) => Syntax { line: &[], ..C },
            Some(Language::Markup) => Syntax { block: Some(("<!--", "-->")), ..NONE },
            Some(Language::Sql) => {
                Syntax { line: &["--"], block: Some(("/*", "*/")), quotes: b"'\"", ..NONE }
            }
        }
    }
}
