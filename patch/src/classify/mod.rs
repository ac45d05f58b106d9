//! What kind of file a path names, in any language.

mod tables;

use serde::{Deserialize, Serialize};

use crate::FileChange;
use tables::{
    CONFIG_EXTENSIONS, CONFIG_NAMES, DOC_DIRS, DOC_EXTENSIONS, DOC_NAMES, GENERATED_DIRS, GENERATED_ENDINGS,
    GENERATED_EXTENSIONS, GENERATED_NAMES, SCRATCH_WORDS, SCRIPT_EXTENSIONS, TEST_DIRS,
};

/// What a file is for. Votes and fingerprints look at source; the rest is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileClass {
    /// What the program is made of.
    Source,
    /// A test, or what only tests use.
    Test,
    /// A script that the agent left behind to reproduce the issue or to try its fix.
    Reproduction,
    /// Build, packaging and tool settings.
    Config,
    /// Documentation.
    Docs,
    /// Made by a tool, or somebody else's code: lock files, build output, minified and vendored code, snapshots.
    Generated,
}

impl FileClass {
    /// All classes, in the order in which [`FileClass::index`] numbers them.
    pub const ALL: [Self; 6] =
        [Self::Source, Self::Test, Self::Reproduction, Self::Config, Self::Docs, Self::Generated];

    /// Place in [`FileClass::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The class of the file at `path` (slashes, relative to the repository), which is changed by `change`.
///
/// New files count differently: a new `reproduce_bug.py` or `test_fix.py` in the root of the repository is a script
/// that the agent left behind, the same name in a folder of tests is a test.
pub fn classify(path: &str, change: FileChange, binary: bool) -> FileClass {
    let lower = path.to_ascii_lowercase();
    let mut folders: Vec<&str> = lower.split('/').filter(|part| !part.is_empty()).collect();
    let name = folders.pop().unwrap_or("");
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, extension),
        _ => (name, ""),
    };
    let added = change == FileChange::Added;
    let in_dir = |names: &[&str]| folders.iter().any(|folder| names.contains(folder));
    if is_generated(&folders, name, extension) || in_dir(GENERATED_DIRS) {
        return FileClass::Generated;
    }
    if added && is_scratch(&folders, stem, extension) {
        return FileClass::Reproduction;
    }
    if in_dir(TEST_DIRS) || is_test(path, &folders, stem, extension) {
        return FileClass::Test;
    }
    if binary && added {
        return FileClass::Generated;
    }
    if CONFIG_NAMES.contains(&name) {
        return FileClass::Config;
    }
    if is_docs(&folders, stem, extension) && !is_requirements(&folders, name) {
        return FileClass::Docs;
    }
    if is_requirements(&folders, name) {
        return FileClass::Config;
    }
    let ci = folders.first().is_some_and(|folder| folder.starts_with('.'));
    if ci || name.starts_with('.') || CONFIG_EXTENSIONS.contains(&extension) || name.ends_with(".config.js") {
        return FileClass::Config;
    }
    FileClass::Source
}

fn is_generated(folders: &[&str], name: &str, extension: &str) -> bool {
    // `build`, `out` and `target` are folders of sources in many projects: they are output only at the root.
    let output = matches!(folders.first(), Some(&("build" | "out" | "target" | "bin" | "obj")))
        && matches!(extension, "js" | "class" | "py" | "json" | "txt" | "o" | "html" | "css" | "map");
    GENERATED_NAMES.contains(&name)
        || GENERATED_EXTENSIONS.contains(&extension)
        || GENERATED_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || output
        || folders.iter().any(|folder| folder.ends_with(".egg-info") || folder.ends_with(".dist-info"))
}

fn is_scratch(folders: &[&str], stem: &str, extension: &str) -> bool {
    if !SCRIPT_EXTENSIONS.contains(&extension) {
        return false;
    }
    let squeezed = stem.replace(['-', '.'], "_");
    let words = || squeezed.split('_');
    if words().any(is_reproduction) {
        // Anywhere but among the tests: there it may be a regression test that stays.
        return !folders.iter().any(|folder| TEST_DIRS.contains(folder) || *folder == "test");
    }
    if !folders.is_empty() {
        return false;
    }
    let first = squeezed
        .trim_start_matches('_')
        .split('_')
        .next()
        .unwrap_or("")
        .trim_end_matches(|c: char| c.is_ascii_digit());
    // Java, Kotlin, C# and Go projects keep no classes in the root.
    matches!(extension, "java" | "kt" | "cs")
        || SCRATCH_WORDS.contains(&first)
        || words().any(|word| matches!(word, "test" | "bug" | "issue" | "demo" | "debug" | "fix"))
}

/// `repro2`, `reproduce`, `reproduceissue`, `replicate`, but not `reproject` or `reproducible`.
fn is_reproduction(word: &str) -> bool {
    let repro = word.strip_prefix("repro").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let reproduce = word.starts_with("reproduc") && !word.starts_with("reproducib");
    repro || reproduce || word.starts_with("replicate")
}

fn is_test(path: &str, folders: &[&str], stem: &str, extension: &str) -> bool {
    // The case of the original name tells `FooTest.java` from `latest.java`.
    let original = path.rsplit('/').next().unwrap_or(path);
    let camel = original.split('.').next().unwrap_or("");
    let by_name = match extension {
        "py" | "pyi" => {
            stem.starts_with("test_")
                || stem.ends_with("_test")
                || stem.ends_with("_tests")
                || matches!(stem, "conftest" | "tests")
        }
        "java" | "kt" | "scala" | "cs" | "php" | "groovy" | "swift" => {
            ["Test", "Tests", "TestCase", "IT", "Spec", "ITCase"].iter().any(|end| camel.ends_with(end))
                || camel
                    .strip_prefix("Test")
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
        }
        "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" | "vue" | "coffee" => {
            [".test", ".spec", ".e2e", ".cy", "_test", "-test", ".tests"]
                .iter()
                .any(|end| stem.ends_with(end))
        }
        "go" => stem.ends_with("_test"),
        "rs" => stem.ends_with("_test") || stem.ends_with("_tests") || matches!(stem, "tests" | "test"),
        "rb" => stem.ends_with("_spec") || stem.ends_with("_test") || stem.starts_with("test_"),
        "c" | "h" | "cc" | "cpp" | "cxx" | "hpp" | "m" => {
            ["_test", "_tests", "_unittest", "-test"].iter().any(|end| stem.ends_with(end))
                || stem.starts_with("test_")
                || stem.starts_with("test-")
        }
        "sh" | "bats" => stem.starts_with("test") || stem.ends_with("_test"),
        _ => false,
    };
    // A folder `test` holds tests, except inside a Python package, where it may be a module such as `django.test`.
    let by_folder = folders.iter().enumerate().any(|(depth, folder)| {
        *folder == "test"
            && (depth == 0 || !matches!(extension, "py" | "pyi") || depth == 1 && folders[0] == "lib")
    });
    by_name || by_folder
}

fn is_requirements(folders: &[&str], name: &str) -> bool {
    let text = matches!(name.rsplit_once('.'), Some((_, "txt" | "in")));
    let named = name.starts_with("requirements") || name.starts_with("constraints") && folders.is_empty();
    text && (named || folders.last() == Some(&"requirements"))
}

fn is_docs(folders: &[&str], stem: &str, extension: &str) -> bool {
    // Django keeps error pages and mail texts as `.txt` among its sources; documents are at the root or in `docs`.
    let text = extension == "txt" && folders.is_empty();
    let plain = matches!(extension, "" | "txt" | "md" | "rst");
    let in_docs = folders.iter().take(2).any(|folder| DOC_DIRS.contains(folder))
        && !matches!(extension, "java" | "go" | "rs" | "c" | "cc" | "cpp" | "kt" | "cs");
    DOC_EXTENSIONS.contains(&extension) || text || in_docs || (plain && DOC_NAMES.contains(&stem))
}

#[cfg(test)]
mod tests;
