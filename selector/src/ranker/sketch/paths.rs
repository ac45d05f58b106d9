//! What a file is to the ranker.

/// The kinds of files that sketches count apart, by what agents do with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(super) enum Kind {
    Source,
    Config,
    Other,
    Doc,
    Test,
    /// A file that the agent made to try something, and left behind.
    Scratch,
}

const SOURCE: &str = " py pyi pyx pxd java kt kts scala groovy js jsx mjs cjs ts tsx mts vue svelte go rs c h cc cpp cxx hpp hh hxx cs rb php swift m mm lua pl pm r jl ex exs erl hs ml mli clj dart sh bash zsh sql f f90 sol zig nim v vb fs proto tmpl html htm css scss sass less xml jinja j2 g4 y l ";
const DOC: &str = " md rst txt adoc mdx changes po pot tex ";
const CONFIG: &str =
    " toml cfg ini json yaml yml lock conf properties gradle cmake mk in env editorconfig gitignore ";
const LEFTOVER: &str = " log patch diff orig rej bak pyc swp db sqlite3 out ";
const TEST_FOLDERS: &str = " test tests testing __tests__ spec specs testdata fixtures e2e test_data ";
const DOC_FOLDERS: &str = " doc docs changelog changelogs changes newsfragments news ";
const SCRATCH_FOLDERS: &str = " tmp testbed scratch ";

const SCRATCH_STARTS: [&str; 33] = [
    "repro",
    "reproduc",
    "debug",
    "demo",
    "verify",
    "tmp",
    "temp",
    "scratch",
    "example",
    "try",
    "check",
    "validate",
    "minimal",
    "simple",
    "final",
    "comprehensive",
    "quick",
    "issue",
    "bug",
    "edge",
    "patch",
    "fix",
    "run_test",
    "my_",
    "test_",
    "output",
    "result",
    "solution",
    "summary",
    "implementation",
    "sandbox",
    "playground",
    "experiment",
];
const DOC_STARTS: [&str; 8] =
    ["changelog", "changes", "readme", "authors", "contributors", "history", "license", "news"];

fn among(list: &str, word: &str) -> bool {
    !word.is_empty() && list.split(' ').any(|known| known == word)
}

/// The kind of a file.
pub(super) fn kind(path: &str, is_new: bool) -> Kind {
    let mut folders: Vec<&str> = path.split('/').collect();
    let name = folders.pop().unwrap_or_default();
    let low = name.to_lowercase();
    let (stem, extension) = match low.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, extension),
        _ => (low.as_str(), low.as_str()),
    };
    let in_folder = |list: &str| folders.iter().any(|folder| among(list, &folder.to_lowercase()));
    let in_tests = in_folder(TEST_FOLDERS);
    let is_test = names_test(name, stem);
    if is_new && !in_tests {
        let top = match folders.as_slice() {
            [] => true,
            [folder] => among(SCRATCH_FOLDERS, folder),
            _ => false,
        };
        if top {
            return Kind::Scratch;
        }
        if !is_test && SCRATCH_STARTS.iter().any(|start| stem.starts_with(start)) {
            let made = among(SOURCE, extension) || among(" txt md log patch diff ", extension);
            return if made { Kind::Scratch } else { Kind::Other };
        }
    }
    if among(LEFTOVER, extension) {
        return if is_new { Kind::Scratch } else { Kind::Other };
    }
    if in_tests || is_test {
        return Kind::Test;
    }
    if in_folder(DOC_FOLDERS)
        || among(DOC, extension)
        || DOC_STARTS.iter().any(|start| low.starts_with(start))
    {
        return Kind::Doc;
    }
    if among(SOURCE, extension) {
        return Kind::Source;
    }
    if among(CONFIG, extension) || name.starts_with('.') { Kind::Config } else { Kind::Other }
}

/// Whether a file's name says that it holds tests: `test_x.py`, `x_test.go`, `x.spec.ts`, `XTest.java`.
fn names_test(name: &str, stem: &str) -> bool {
    let exact = matches!(stem, "test" | "tests" | "conftest") || stem.starts_with("test_");
    let ends = ["_test", "_tests", ".test", ".spec", "_spec", "-test", ".tests"]
        .iter()
        .any(|end| stem.ends_with(end));
    let plain = name.rsplit_once('.').map_or(name, |(plain, _)| plain);
    let camel = ["Test", "Tests", "IT", "Spec", "TestCase"].iter().any(|end| {
        plain
            .strip_suffix(end)
            .is_some_and(|before| before.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()))
    });
    exact || ends || camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        for (path, is_new, wanted) in [
            ("django/db/models.py", false, Kind::Source),
            ("reproduce.py", true, Kind::Scratch),
            ("pkg/debug_thing.py", true, Kind::Scratch),
            ("pkg/debug.py", false, Kind::Source),
            ("tests/test_x.py", true, Kind::Test),
            ("pkg/test_x.py", true, Kind::Test),
            ("test_x.py", true, Kind::Scratch),
            ("src/main/java/FooTest.java", false, Kind::Test),
            ("docs/a.py", false, Kind::Doc),
            ("CHANGES", false, Kind::Doc),
            ("setup.cfg", false, Kind::Config),
            (".gitignore", false, Kind::Config),
            ("fix.patch", true, Kind::Scratch),
            ("data.bin", false, Kind::Other),
        ] {
            assert_eq!(kind(path, is_new), wanted, "{path}");
        }
    }
}
