//! What an observation says of the action before it.

use std::sync::LazyLock;

use regex::Regex;

use super::Outcome;

static FAILURE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?m)Traceback \(most recent call last\)|\bFAILED\b|\bFAILURES?!?\b|AssertionError|BUILD FAILURE|panicked at|^E  |\b[1-9][0-9]* (?:failed|errors?)\b|--- FAIL|SyntaxError|IndentationError|error\[E[0-9]+\]|cannot find symbol|COMPILATION ERROR|npm ERR!",
    )
});
static NO_COMMAND: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"command not found|No such file or directory|No module named|is not recognized")
});
static SUCCESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?m)\b[1-9][0-9]* passed\b|^OK\b|BUILD SUCCESS|test result: ok|^ok\s|\bPASS\b|All tests pass|Tests run: [1-9][0-9]*, Failures: 0, Errors: 0",
    )
});
static REFUSED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)proposed edit has introduced|edit was not applied|No replacement was performed|did not appear verbatim|not applied|No changes were|Patch failed|does not apply",
    )
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns are constant and tested")
}

/// Whether the environment refused an edit.
pub(super) fn is_refused_edit(observation: &str) -> bool {
    REFUSED.is_match(observation)
}

/// What a run of code said. A failure outweighs a success: suites print both when one of many tests fails.
pub(super) fn of(observation: &str) -> Outcome {
    if FAILURE.is_match(observation) || NO_COMMAND.is_match(observation) {
        Outcome::Failed
    } else if SUCCESS.is_match(observation) {
        Outcome::Passed
    } else {
        Outcome::Silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_common_runners() {
        for (text, wanted) in [
            ("=== 12 passed in 1.2s ===", Outcome::Passed),
            ("=== 1 failed, 12 passed ===", Outcome::Failed),
            ("Ran 4 tests in 0.1s\n\nOK", Outcome::Passed),
            ("[INFO] BUILD SUCCESS", Outcome::Passed),
            ("Tests run: 3, Failures: 1\n[INFO] BUILD FAILURE", Outcome::Failed),
            ("ok  \tgithub.com/a/b\t0.1s", Outcome::Passed),
            ("test result: ok. 3 passed; 0 failed;", Outcome::Passed),
            ("bash: pytest: command not found", Outcome::Failed),
            ("[1, 2, 3]", Outcome::Silent),
        ] {
            assert_eq!(of(text), wanted, "{text}");
        }
    }
}
