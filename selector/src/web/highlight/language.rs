//! What the colouring needs to know of each language: comments, strings, keywords.

/// The lexical rules of one language.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// Start of a comment that ends with its line.
    pub(super) line_comments: &'static [&'static str],
    /// Comments that span lines: start and end.
    pub(super) block: Option<(&'static str, &'static str)>,
    /// Strings that span lines, by delimiter; longest first.
    pub(super) multi: &'static [&'static str],
    /// Strings that end with their line at the latest.
    pub(super) quotes: &'static [char],
    /// Reserved words, sorted.
    pub(super) keywords: &'static [&'static str],
    /// Characters that begin an annotation or decorator.
    pub(super) sigil: Option<char>,
    /// Whether `'` may start a lifetime or label instead of a character literal.
    pub(super) lifetimes: bool,
}

const PLAIN: Rules = Rules {
    line_comments: &[],
    block: None,
    multi: &[],
    quotes: &[],
    keywords: &[],
    sigil: None,
    lifetimes: false,
};

const C_LIKE: Rules =
    Rules { line_comments: &["//"], block: Some(("/*", "*/")), quotes: &['"', '\''], ..PLAIN };

static PYTHON: Rules = Rules {
    line_comments: &["#"],
    multi: &["\"\"\"", "'''"],
    quotes: &['"', '\''],
    sigil: Some('@'),
    keywords: &[
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "case", "class",
        "continue", "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if",
        "import", "in", "is", "lambda", "match", "nonlocal", "not", "or", "pass", "raise", "return", "try",
        "while", "with", "yield",
    ],
    ..PLAIN
};

static JAVASCRIPT: Rules = Rules {
    multi: &["`"],
    sigil: Some('@'),
    keywords: &[
        "abstract",
        "any",
        "as",
        "async",
        "await",
        "boolean",
        "break",
        "case",
        "catch",
        "class",
        "const",
        "continue",
        "declare",
        "default",
        "delete",
        "do",
        "else",
        "enum",
        "export",
        "extends",
        "false",
        "finally",
        "for",
        "from",
        "function",
        "if",
        "implements",
        "import",
        "in",
        "instanceof",
        "interface",
        "keyof",
        "let",
        "namespace",
        "new",
        "null",
        "number",
        "of",
        "private",
        "protected",
        "public",
        "readonly",
        "return",
        "static",
        "string",
        "super",
        "switch",
        "this",
        "throw",
        "true",
        "try",
        "type",
        "typeof",
        "undefined",
        "var",
        "void",
        "while",
        "yield",
    ],
    ..C_LIKE
};

static JAVA: Rules = Rules {
    multi: &["\"\"\""],
    sigil: Some('@'),
    keywords: &[
        "abstract",
        "assert",
        "boolean",
        "break",
        "byte",
        "case",
        "catch",
        "char",
        "class",
        "companion",
        "const",
        "continue",
        "data",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extends",
        "false",
        "final",
        "finally",
        "float",
        "for",
        "fun",
        "if",
        "implements",
        "import",
        "in",
        "instanceof",
        "int",
        "interface",
        "internal",
        "is",
        "long",
        "native",
        "new",
        "null",
        "object",
        "open",
        "override",
        "package",
        "private",
        "protected",
        "public",
        "record",
        "return",
        "sealed",
        "short",
        "static",
        "super",
        "switch",
        "synchronized",
        "this",
        "throw",
        "throws",
        "transient",
        "true",
        "try",
        "typealias",
        "val",
        "var",
        "void",
        "volatile",
        "when",
        "while",
        "yield",
    ],
    ..C_LIKE
};

static GO: Rules = Rules {
    multi: &["`"],
    keywords: &[
        "any",
        "bool",
        "break",
        "byte",
        "case",
        "chan",
        "const",
        "continue",
        "default",
        "defer",
        "else",
        "error",
        "fallthrough",
        "false",
        "float64",
        "for",
        "func",
        "go",
        "goto",
        "if",
        "import",
        "int",
        "int64",
        "interface",
        "iota",
        "map",
        "nil",
        "package",
        "range",
        "return",
        "rune",
        "select",
        "string",
        "struct",
        "switch",
        "true",
        "type",
        "uint",
        "var",
    ],
    ..C_LIKE
};

static RUST: Rules = Rules {
    quotes: &['"', '\''],
    lifetimes: true,
    keywords: &[
        "Err", "None", "Ok", "Self", "Some", "as", "async", "await", "bool", "break", "char", "const",
        "continue", "crate", "dyn", "else", "enum", "extern", "f64", "false", "fn", "for", "i32", "i64",
        "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self",
        "static", "str", "struct", "super", "trait", "true", "type", "u32", "u64", "u8", "unsafe", "use",
        "usize", "where", "while",
    ],
    ..C_LIKE
};

static C: Rules = Rules {
    sigil: Some('#'),
    keywords: &[
        "NULL",
        "auto",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "class",
        "const",
        "constexpr",
        "continue",
        "default",
        "delete",
        "do",
        "double",
        "else",
        "enum",
        "explicit",
        "extern",
        "false",
        "final",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "internal",
        "long",
        "namespace",
        "new",
        "noexcept",
        "nullptr",
        "operator",
        "override",
        "private",
        "protected",
        "public",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "template",
        "this",
        "throw",
        "true",
        "try",
        "typedef",
        "typename",
        "union",
        "unsigned",
        "using",
        "var",
        "virtual",
        "void",
        "volatile",
        "while",
    ],
    ..C_LIKE
};

static RUBY: Rules = Rules {
    line_comments: &["#"],
    quotes: &['"', '\''],
    keywords: &[
        "alias", "and", "begin", "break", "case", "class", "def", "do", "else", "elsif", "end", "ensure",
        "false", "for", "if", "in", "module", "next", "nil", "not", "or", "raise", "redo", "require",
        "rescue", "retry", "return", "self", "super", "then", "true", "undef", "unless", "until", "when",
        "while", "yield",
    ],
    ..PLAIN
};

static PHP: Rules = Rules {
    line_comments: &["//", "#"],
    keywords: &[
        "abstract",
        "array",
        "as",
        "break",
        "case",
        "catch",
        "class",
        "const",
        "continue",
        "default",
        "do",
        "echo",
        "else",
        "elseif",
        "extends",
        "false",
        "final",
        "finally",
        "fn",
        "for",
        "foreach",
        "function",
        "if",
        "implements",
        "instanceof",
        "interface",
        "match",
        "namespace",
        "new",
        "null",
        "private",
        "protected",
        "public",
        "readonly",
        "return",
        "self",
        "static",
        "switch",
        "throw",
        "trait",
        "true",
        "try",
        "use",
        "while",
        "yield",
    ],
    ..C_LIKE
};

static SHELL: Rules = Rules {
    line_comments: &["#"],
    quotes: &['"', '\''],
    keywords: &[
        "case", "cd", "do", "done", "echo", "elif", "else", "esac", "exit", "export", "fi", "for",
        "function", "if", "in", "local", "return", "set", "then", "while",
    ],
    ..PLAIN
};

static DATA: Rules = Rules {
    line_comments: &["#"],
    quotes: &['"', '\''],
    keywords: &["False", "None", "True", "false", "null", "true"],
    ..PLAIN
};

static JSON: Rules = Rules { quotes: &['"'], keywords: &["false", "null", "true"], ..PLAIN };

static CSS: Rules = Rules { line_comments: &[], block: Some(("/*", "*/")), quotes: &['"', '\''], ..PLAIN };

static MARKUP: Rules = Rules { block: Some(("<!--", "-->")), quotes: &['"'], ..PLAIN };

/// The rules for a file, from its name; `None` for prose and what is not known.
pub(super) fn by_path(path: &str) -> Option<&'static Rules> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    let rules = match extension.as_deref() {
        Some("py" | "pyi" | "pyx" | "bzl") => &PYTHON,
        Some("js" | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "mts" | "cts" | "vue" | "svelte") => &JAVASCRIPT,
        Some("java" | "kt" | "kts" | "scala" | "groovy" | "gradle" | "swift" | "dart") => &JAVA,
        Some("go") => &GO,
        Some("rs") => &RUST,
        Some("c" | "h" | "cc" | "cpp" | "cxx" | "hh" | "hpp" | "hxx" | "cs" | "m" | "mm") => &C,
        Some("rb" | "rake") => &RUBY,
        Some("php") => &PHP,
        Some("sh" | "bash" | "zsh") => &SHELL,
        Some("yml" | "yaml" | "toml" | "ini" | "cfg" | "conf" | "properties") => &DATA,
        Some("json" | "jsonl" | "json5") => &JSON,
        Some("css" | "scss" | "less") => &CSS,
        Some("html" | "htm" | "xml" | "svg") => &MARKUP,
        _ if matches!(name, "Dockerfile" | "Makefile") => &SHELL,
        _ => return None,
    };
    Some(rules)
}

/// The rules for a command line.
pub(super) fn shell() -> &'static Rules {
    &SHELL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted_for_binary_search() {
        for rules in [&PYTHON, &JAVASCRIPT, &JAVA, &GO, &RUST, &C, &RUBY, &PHP, &SHELL, &DATA, &JSON] {
            assert!(rules.keywords.is_sorted(), "{:?}", rules.keywords);
        }
    }

    #[test]
    fn files_by_name() {
        assert_eq!(by_path("a/b.PY"), Some(&PYTHON));
        assert_eq!(by_path("Dockerfile"), Some(&SHELL));
        assert_eq!(by_path("README.rst"), None);
        assert_eq!(by_path(""), None);
    }
}
