//! What lines of code are about, and which are comments.

use super::text;

/// How many lines are about what.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// In the order of [`Marks::NAMES`].
    pub(super) counts: [f64; Marks::NAMES.len()],
}

impl Marks {
    /// Facts of added lines.
    pub(super) const NAMES: [&'static str; 22] = [
        "a_print",
        "a_todo",
        "a_broad",
        "a_definition",
        "a_condition",
        "a_raise",
        "a_return",
        "a_import",
        "a_reflection",
        "a_try",
        "a_none",
        "a_else",
        "a_loop",
        "a_string",
        "a_number",
        "a_bool",
        "a_call",
        "a_assign",
        "a_warn",
        "a_private",
        "a_lambda",
        "a_super",
    ];
    /// The same of removed lines.
    pub(super) const REMOVED_NAMES: [&'static str; 22] = [
        "d_print",
        "d_todo",
        "d_broad",
        "d_definition",
        "d_condition",
        "d_raise",
        "d_return",
        "d_import",
        "d_reflection",
        "d_try",
        "d_none",
        "d_else",
        "d_loop",
        "d_string",
        "d_number",
        "d_bool",
        "d_call",
        "d_assign",
        "d_warn",
        "d_private",
        "d_lambda",
        "d_super",
    ];

    /// Counts a line in.
    pub(super) fn add(&mut self, line: &str) {
        let mut met = [false; Self::NAMES.len()];
        let mut first = true;
        for word in text::runs(line) {
            if let Some(at) = mark_of(word, first) {
                met[at] = true;
            } else if word.as_bytes()[0].is_ascii_digit() {
                met[14] = true;
            } else if word.len() > 2 && word.starts_with('_') && !word.starts_with("__") {
                met[19] = true;
            }
            first = false;
        }
        let has = |text: &str| line.contains(text);
        met[0] |= has("console.log(") || has("System.out.") || has("fmt.Print");
        met[2] |= met[9]
            && (has("except:") || has("except Exception") || has("catch (Exception") || has("catch ("));
        met[13] |= has("\"") || has("'");
        met[16] |= has("(");
        met[17] |= line.bytes().zip(line.bytes().skip(1)).any(|(a, b)| a == b'=' && b != b'=');
        met[20] |= has("=>") || has("->");
        for (count, met) in self.counts.iter_mut().zip(met) {
            *count += super::flag(met);
        }
    }
}

fn mark_of(word: &str, first: bool) -> Option<usize> {
    Some(match word {
        "print" | "println" | "pdb" | "breakpoint" | "dbg" | "printf" => 0,
        "TODO" | "FIXME" | "XXX" | "HACK" => 1,
        "def" | "class" | "fn" | "func" | "function" | "interface" | "struct" | "enum" | "impl" => 3,
        "if" | "elif" | "unless" | "when" | "case" | "switch" | "match" => 4,
        "raise" | "throw" | "assert" | "panic" => 5,
        "return" => 6,
        "import" | "from" | "include" | "require" | "using" if first => 7,
        "getattr" | "hasattr" | "setattr" | "isinstance" | "issubclass" | "instanceof" | "typeof" => 8,
        "try" | "except" | "catch" | "rescue" | "finally" => 9,
        "None" | "null" | "nil" | "undefined" | "nullptr" => 10,
        "else" => 11,
        "for" | "while" | "forEach" => 12,
        "True" | "False" | "true" | "false" => 15,
        "warn" | "warnings" | "log" | "logger" | "logging" => 18,
        "lambda" => 20,
        "super" => 21,
        _ => return None,
    })
}

/// What a line is in the course of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comment {
    Code,
    Line,
    Docstring,
}

/// Follows docstrings through a hunk.
#[derive(Debug, Default)]
pub(super) struct Comments {
    inside: bool,
}

impl Comments {
    /// What a trimmed line of this file is.
    pub(super) fn is_comment(&mut self, line: &str, path: &str) -> Comment {
        let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
        if matches!(ending, "py" | "pyi" | "pyx") {
            let quotes = line.matches("\"\"\"").count() + line.matches("'''").count();
            if self.inside {
                self.inside = quotes.is_multiple_of(2);
                return Comment::Docstring;
            }
            if ["\"\"\"", "'''", "r\"\"\""].iter().any(|quote| line.starts_with(quote)) {
                self.inside = !quotes.is_multiple_of(2);
                return Comment::Docstring;
            }
        }
        let hash = matches!(
            ending,
            "py" | "pyi" | "pyx" | "rb" | "sh" | "yaml" | "yml" | "toml" | "cfg" | "r" | "pl"
        );
        let starts = |mark: &&str| line.starts_with(*mark);
        if (hash && line.starts_with('#'))
            || (!hash && (line == "*" || ["//", "/*", "*/", "* ", "<!--"].iter().any(starts)))
        {
            Comment::Line
        } else {
            Comment::Code
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_a_line() {
        let mut marks = Marks::default();
        marks.add("if getattr(x, 'y') is None: raise ValueError(12)");
        let names: Vec<&str> = Marks::NAMES
            .into_iter()
            .zip(marks.counts)
            .filter(|(_, count)| *count > 0.0)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            ["a_condition", "a_raise", "a_reflection", "a_none", "a_string", "a_number", "a_call"]
        );
    }
}
