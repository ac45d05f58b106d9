//! Whether a patch touches the test it is judged by.
//!
//! A test is named by path (`tests/test_x.py::TestX::test_y`), by module (`pkg.test_x.TestX.test_y`,
//! `test_y (pkg.test_x.TestX)`), by class (`org.acme.FooTest#bar`) or bare (`test_y`). Each is held against the test
//! files of the patch; a `conftest.py` covers every test below its folder.

/// What a patch touches of the tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    files: Vec<File>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    /// Path segments, the last without its extension.
    segments: Vec<String>,
    /// The last segment with its extension.
    name: String,
    /// The hunks' text, for tests that are known by a bare name.
    text: String,
}

impl Touched {
    /// Collects test files: path and the text of their hunks (lines and section headings).
    pub fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let files = files
            .into_iter()
            .filter_map(|(path, text)| {
                let mut segments: Vec<String> = path
                    .split('/')
                    .filter(|segment| !matches!(*segment, "" | "."))
                    .map(str::to_owned)
                    .collect();
                let name = segments.pop()?;
                segments.push(stem(&name).to_owned());
                Some(File { segments, name, text })
            })
            .collect();
        Self { files }
    }

    /// Whether no test file is touched.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether one of the touched files holds the test, or configures it.
    pub fn covers(&self, test: &str) -> bool {
        let id = TestId::parse(test);
        self.files.iter().any(|file| file.covers(&id))
    }
}

/// A test's name, taken apart.
#[derive(Debug, PartialEq, Eq)]
enum TestId<'a> {
    /// Segments of the file's path, the last with its extension.
    Path(Vec<&'a str>),
    /// Module, class and function, outermost first.
    Dotted(Vec<&'a str>),
    /// A name alone.
    Bare(&'a str),
}

impl<'a> TestId<'a> {
    fn parse(test: &'a str) -> Self {
        let test = test.trim();
        // unittest's `test_y (pkg.test_x.TestX)`
        if let Some((_, inside)) = test.strip_suffix(')').and_then(|open| open.rsplit_once(" ("))
            && !inside.contains(['(', '/', ' '])
            && inside.contains('.')
        {
            return Self::Dotted(inside.split('.').collect());
        }
        let head = test.split(['[', ' ', '|', '>', ',']).next().unwrap_or(test);
        let file = head.split("::").next().unwrap_or(head).split(['#', ':']).next().unwrap_or(head);
        if file.contains('/') || is_file_name(file) {
            return Self::Path(file.split('/').filter(|segment| !matches!(*segment, "" | ".")).collect());
        }
        if head.contains(['.', '#', '$']) || head.contains("::") {
            return Self::Dotted(head.split(['.', '#', '$', ':']).filter(|part| !part.is_empty()).collect());
        }
        Self::Bare(head)
    }
}

impl File {
    fn covers(&self, id: &TestId<'_>) -> bool {
        let (stem, folders) = self.segments.split_last().expect("a path has at least one segment");
        if self.name == "conftest.py" {
            return match id {
                TestId::Path(path) => {
                    path.len() > folders.len() && path.iter().zip(folders).all(|(a, b)| a == b)
                }
                TestId::Dotted(parts) => folders.is_empty() || module_starts(folders, parts, 1),
                TestId::Bare(_) => folders.is_empty(),
            };
        }
        match id {
            TestId::Path(path) => {
                let mine = folders.iter().map(String::as_str).chain([self.name.as_str()]).rev();
                // The shorter of the two must be the end of the longer: suites name files from different roots.
                mine.zip(path.iter().rev()).all(|(a, b)| a == *b)
            }
            TestId::Dotted(parts) => {
                // A lone `tests` or `test` says too little, unless it is the whole path.
                let least = if is_telling(stem) || folders.is_empty() { 1 } else { 2 };
                module_starts(&self.segments, parts, least)
            }
            TestId::Bare(name) => has_word(&self.text, name),
        }
    }
}

/// Whether the dotted name begins with some end of the path that is at least `least` segments long.
fn module_starts(segments: &[String], parts: &[&str], least: usize) -> bool {
    (least..=segments.len().min(parts.len()))
        .any(|length| segments[segments.len() - length..].iter().zip(parts).all(|(a, b)| a == b))
}

/// Whether a file's stem alone identifies a test module.
fn is_telling(stem: &str) -> bool {
    let lower = stem.to_ascii_lowercase();
    !matches!(lower.as_str(), "test" | "tests" | "spec" | "__init__" | "mod" | "lib" | "index" | "main")
}

/// A file name's stem: `Foo` of `Foo.java`, `foo` of `foo.test.ts`.
fn stem(name: &str) -> &str {
    name.trim_start_matches('.').split('.').next().unwrap_or(name)
}

/// Whether a name without a slash is a file's, by an extension that test files have.
fn is_file_name(name: &str) -> bool {
    const EXTENSIONS: [&str; 19] = [
        "py", "pyx", "java", "kt", "js", "mjs", "cjs", "jsx", "ts", "tsx", "go", "rs", "rb", "php", "c",
        "cc", "cpp", "txt", "rst",
    ];
    name.rsplit_once('.').is_some_and(|(stem, extension)| !stem.is_empty() && EXTENSIONS.contains(&extension))
}

/// Whether the text holds the word with no identifier character on either side.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    !word.is_empty()
        && text
            .match_indices(word)
            .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(path: &str) -> Touched {
        Touched::new([(
            path.to_owned(),
            "@@ def test_kept():\n+def test_added(): pass\n-    assert x\n".to_owned(),
        )])
    }

    #[test]
    fn finds_the_file_behind_each_kind_of_name() {
        for (path, test) in [
            ("tests/test_x.py", "tests/test_x.py::TestX::test_y[a/b]"),
            ("repo/tests/test_x.py", "tests/test_x.py::test_y"),
            ("tests/test_x.py", "test_x.py"),
            ("tests/pkg/test_x.py", "pkg.test_x.TestX.test_y"),
            ("tests/admin_views/tests.py", "test_y (admin_views.tests.AdminTest)"),
            ("tests/admin_views/tests.py", "test_y (admin_views.tests.AdminTest.test_y)"),
            ("src/test/java/org/acme/FooTest.java", "org.acme.FooTest#bar"),
            ("src/test/java/org/acme/FooTest.java", "org.acme.FooTest.bar(int)"),
            ("src/test/java/org/acme/FooTest.java", "FooTest.bar"),
            ("web/foo.test.ts", "web/foo.test.ts > group > works"),
            ("conftest.py", "tests/test_x.py::test_y"),
            ("tests/conftest.py", "tests/deep/test_x.py::test_y"),
            ("tests/test_x.py", "test_kept"),
            ("tests/test_x.py", "test_added"),
        ] {
            assert!(touched(path).covers(test), "{path} holds {test}");
        }
    }

    #[test]
    fn leaves_other_tests_alone() {
        for (path, test) in [
            ("tests/test_x.py", "tests/test_y.py::test_x"),
            ("tests/test_x.py", "other/test_x.py::test_y"),
            ("tests/admin_views/tests.py", "test_y (forms.tests.FormTest)"),
            ("tests/admin_views/tests.py", "tests.FormTest.test_y"),
            ("src/test/java/org/acme/FooTest.java", "org.acme.FooBarTest#bar"),
            ("src/test/java/org/acme/FooTest.java", "org.other.FooTest#bar"),
            ("tests/conftest.py", "pkg/test_x.py::test_y"),
            ("tests/test_x.py", "test_other"),
            ("tests/test_x.py", "test_add"),
        ] {
            assert!(!touched(path).covers(test), "{path} does not hold {test}");
        }
    }
}
