//! Which language a file is in, by its name.

use serde::{Deserialize, Serialize};

/// The languages that normalisation knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Language {
    /// Python, with a grammar.
    Python,
    /// Java, with a grammar.
    Java,
    /// JavaScript and JSX, with a grammar.
    JavaScript,
    /// TypeScript, with a grammar.
    TypeScript,
    /// TypeScript with JSX, with a grammar.
    Tsx,
    /// Go, with a grammar.
    Go,
    /// Rust, with a grammar.
    Rust,
    /// C, with a grammar.
    C,
    /// C++ and headers that C and C++ share, with a grammar.
    Cpp,
    /// Kotlin, by its comment syntax.
    Kotlin,
    /// Scala, by its comment syntax.
    Scala,
    /// C#, by its comment syntax.
    CSharp,
    /// Swift, by its comment syntax.
    Swift,
    /// Ruby, by its comment syntax.
    Ruby,
    /// PHP, by its comment syntax.
    Php,
    /// Shell scripts, by their comment syntax.
    Shell,
    /// Style sheets, by their comment syntax.
    Css,
    /// HTML, XML and templates, by their comment syntax.
    Markup,
    /// SQL, by its comment syntax.
    Sql,
}

impl Language {
    /// The language of the file at `path`, by its extension.
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let (_, extension) = name.rsplit_once('.')?;
        Some(match extension.to_ascii_lowercase().as_str() {
            "py" | "pyi" | "pyx" | "pxd" | "pyw" => Self::Python,
            "java" => Self::Java,
            "js" | "jsx" | "mjs" | "cjs" => Self::JavaScript,
            "ts" | "mts" | "cts" => Self::TypeScript,
            "tsx" => Self::Tsx,
            "go" => Self::Go,
            "rs" => Self::Rust,
            "c" => Self::C,
            "h" | "cc" | "cpp" | "cxx" | "c++" | "hh" | "hpp" | "hxx" | "inl" | "ipp" | "cu" | "cuh" => {
                Self::Cpp
            }
            "kt" | "kts" => Self::Kotlin,
            "scala" | "sc" | "groovy" | "gradle" => Self::Scala,
            "cs" => Self::CSharp,
            "swift" => Self::Swift,
            "rb" | "rake" | "gemspec" => Self::Ruby,
            "php" => Self::Php,
            "sh" | "bash" | "zsh" => Self::Shell,
            "css" | "scss" | "less" => Self::Css,
            "html" | "htm" | "xml" | "vue" | "svelte" | "svg" | "xhtml" => Self::Markup,
            "sql" => Self::Sql,
            _ => return None,
        })
    }

    /// Whether indentation carries meaning.
    pub fn indented(self) -> bool {
        self == Self::Python
    }
}
