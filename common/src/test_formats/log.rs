//! Logs of test runs, such as SWE-bench's `test_output.txt`: pytest, Django's and Python's unittest, sympy's runner.

use super::{Results, add, runners, without_ansi};
use crate::TestStatus;

/// Reads the results out of a log. Lines of several runners may be mixed; those that are none are passed over.
///
/// - pytest: `PASSED path::name`, `FAILED path::name - reason` (the summary of `-rA`) and `path::name PASSED [ 50%]`
///   (`-v`). `XFAIL` passes as an expected failure; `XPASS` passes too, as pytest's default has it.
/// - unittest and Django: `test_x (module.Class) ... ok`, with the word on a later line when the test prints.
/// - sympy: `test_x ok`, `test_x F`, `test_x E`, `test_x s` below the line that names the file.
///
/// - go (`-v` and `-json`), cargo and nextest, Jest, Mocha and Vitest (verbose), and Maven's surefire, whose classes
///   count as one test each.
///
/// Where SWE-bench marks the tests' own output (`>>>>> Start Test Output`), only that part is read.
pub fn test_log(text: &str) -> Results {
    let mut results = Results::new();
    // A unittest line that waits for its word, because the test prints before it.
    let mut waiting: Option<String> = None;
    for line in section(text).lines() {
        let line = without_ansi(line);
        let line = line.trim_end();
        if let Some((name, status)) = pytest(line) {
            add(&mut results, name, status);
        } else if let Some((name, status)) = runners::result(line) {
            add(&mut results, &name, status);
        } else if let Some((name, word)) = unittest_head(line) {
            waiting = None;
            match unittest_word(word) {
                Some(status) => add(&mut results, name, status),
                // Only a test's own name may wait: other lines end in dots as well.
                None => waiting = name.ends_with(')').then(|| name.to_owned()),
            }
        } else if let Some((name, status)) = unittest_failure(line) {
            add(&mut results, name, status);
        } else if let Some((name, status)) = sympy(line) {
            add(&mut results, name, status);
        } else if let Some(name) = waiting.take() {
            match unittest_tail(line) {
                Some(status) => add(&mut results, &name, status),
                None => waiting = Some(name),
            }
        }
    }
    // A test that began and never reported is not known to have passed.
    if let Some(name) = waiting {
        add(&mut results, &name, TestStatus::Missing);
    }
    results
}

/// The part between SWE-bench's marks, or all of it.
fn section(text: &str) -> &str {
    let text = text.split_once(">>>>> Start Test Output").map_or(text, |(_, after)| after);
    text.split_once(">>>>> End Test Output").map_or(text, |(before, _)| before)
}

fn pytest_word(word: &str) -> Option<TestStatus> {
    Some(match word {
        "PASSED" | "XFAIL" | "XPASS" => TestStatus::Passed,
        "FAILED" => TestStatus::Failed,
        "ERROR" => TestStatus::Error,
        "SKIPPED" => TestStatus::Skipped,
        _ => return None,
    })
}

fn pytest(line: &str) -> Option<(&str, TestStatus)> {
    let (first, rest) = line.split_once(' ')?;
    if let Some(status) = pytest_word(first) {
        let rest = rest.trim_start();
        // `SKIPPED [1] path:12: reason` names a place, not a test. Reasons follow " - ".
        let name = rest.split(" - ").next().unwrap_or(rest).trim_end();
        let is_test = name.contains("::") || (first == "ERROR" && is_path(name));
        return (is_test && !rest.starts_with('[')).then_some((name, status));
    }
    // Verbose: `path::name PASSED   [ 50%]`; parameters in the name may hold spaces.
    let body = match line.rfind(" [") {
        Some(at) if line.ends_with("%]") => &line[..at],
        _ => line,
    };
    let (name, word) = body.trim_end().rsplit_once(' ')?;
    let status = pytest_word(word)?;
    let name = name.trim_end();
    (name.contains("::") && !name.starts_with(' ')).then_some((name, status))
}

/// An error at collection names a file only.
fn is_path(name: &str) -> bool {
    !name.contains(' ') && name.rsplit_once('.').is_some_and(|(_, ending)| ending == "py")
}

/// `test_x (module.Class) ... word` or `test_x (module.Class.test_x)` with a doc string in between.
fn unittest_head(line: &str) -> Option<(&str, &str)> {
    let (name, word) =
        line.split_once(" ... ").or_else(|| line.strip_suffix(" ...").map(|name| (name, "")))?;
    let name = name.trim();
    (!name.is_empty() && !name.contains("::")).then_some((name, word.trim()))
}

fn unittest_word(word: &str) -> Option<TestStatus> {
    // The test's own output may come before the word, on the same line.
    if word == "ok" || word == "OK" || word.starts_with("expected failure") {
        Some(TestStatus::Passed)
    } else if word == "FAIL" || word == "FAILED" || word.starts_with("unexpected success") {
        Some(TestStatus::Failed)
    } else if word == "ERROR" {
        Some(TestStatus::Error)
    } else if word.starts_with("skipped") {
        Some(TestStatus::Skipped)
    } else {
        None
    }
}

/// The word on a later line, alone or at the end of what the test printed last.
fn unittest_tail(line: &str) -> Option<TestStatus> {
    unittest_word(line.trim()).or_else(|| line.ends_with("... ok").then_some(TestStatus::Passed))
}

/// The headings of a failure report: `FAIL: test_x (module.Class)`.
fn unittest_failure(line: &str) -> Option<(&str, TestStatus)> {
    let (word, name) = line.split_once(": ")?;
    let status = match word {
        "FAIL" => TestStatus::Failed,
        "ERROR" => TestStatus::Error,
        _ => return None,
    };
    (name.starts_with("test") && name.contains('(')).then_some((name, status))
}

fn sympy(line: &str) -> Option<(&str, TestStatus)> {
    let line = line.trim_end_matches("[OK]").trim_end_matches("[FAIL]").trim();
    let (name, word) = line.split_once(' ')?;
    let status = match word.trim() {
        // `f` is an expected failure.
        "ok" | "f" => TestStatus::Passed,
        "F" => TestStatus::Failed,
        "E" => TestStatus::Error,
        "s" | "w" => TestStatus::Skipped,
        _ => return None,
    };
    (name.starts_with("test_") && !name.contains([':', '('])).then_some((name, status))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use TestStatus::{Error, Failed, Missing, Passed, Skipped};

    fn expect(log: &str, expected: &[(&str, TestStatus)]) {
        let expected: Results = expected.iter().map(|&(name, status)| (name.to_owned(), status)).collect();
        assert_eq!(test_log(log), expected);
    }

    #[test]
    fn pytest_summaries_and_verbose_lines() {
        expect(
            "============ short test summary info ============\n\
             \u{1b}[32mPASSED\u{1b}[0m tests/test_a.py::test_ok\n\
             PASSED tests/test_a.py::test_p[a b]\n\
             FAILED tests/test_a.py::test_bad - AssertionError: assert 1 == 2\n\
             ERROR tests/test_b.py - ImportError: no\n\
             SKIPPED [1] tests/test_a.py:12: not today\n\
             XFAIL tests/test_a.py::test_known\n\
             tests/test_c.py::test_v PASSED                    [ 50%]\n\
             tests/test_c.py::test_w[x y] FAILED [100%]\n\
             2 passed, 1 failed in 0.1s\n",
            &[
                ("tests/test_a.py::test_ok", Passed),
                ("tests/test_a.py::test_p[a b]", Passed),
                ("tests/test_a.py::test_bad", Failed),
                ("tests/test_b.py", Error),
                ("tests/test_a.py::test_known", Passed),
                ("tests/test_c.py::test_v", Passed),
                ("tests/test_c.py::test_w[x y]", Failed),
            ],
        );
    }

    #[test]
    fn django_and_unittest_lines() {
        expect(
            "test_a (app.tests.Case) ... ok\n\
             test_b (app.tests.Case) ... FAIL\n\
             test_c (app.tests.Case) ... ERROR\n\
             test_d (app.tests.Case) ... skipped 'no database'\n\
             test_e (app.tests.Case) ... some output\n\
             more output\n\
             ok\n\
             test_f (app.tests.Case) ... expected failure\n\
             FAIL: test_g (app.tests.Case)\n\
             test_h (app.tests.Case) ... ",
            &[
                ("test_a (app.tests.Case)", Passed),
                ("test_b (app.tests.Case)", Failed),
                ("test_c (app.tests.Case)", Error),
                ("test_d (app.tests.Case)", Skipped),
                ("test_e (app.tests.Case)", Passed),
                ("test_f (app.tests.Case)", Passed),
                ("test_g (app.tests.Case)", Failed),
                ("test_h (app.tests.Case)", Missing),
            ],
        );
    }

    #[test]
    fn sympy_lines() {
        expect(
            "sympy/core/tests/test_x.py[4]\n test_a ok\n test_b F\n test_c E\n test_d s [FAIL]\n",
            &[("test_a", Passed), ("test_b", Failed), ("test_c", Error), ("test_d", Skipped)],
        );
    }

    #[test]
    fn only_the_marked_part_counts() {
        expect(
            "PASSED a.py::before\n>>>>> Start Test Output\nPASSED a.py::inside\n>>>>> End Test Output\nPASSED a.py::after",
            &[("a.py::inside", Passed)],
        );
    }

    #[test]
    fn prose_is_no_result() {
        expect("PASSED all checks\nok\nthe test is ok\nFAILED to build\n100 passed\n", &[]);
    }

    proptest! {
        #[test]
        fn no_log_panics(text in r"(PASSED|FAILED|test_x|test | \.\.\. |::|ok|--- PASS: |\(0s\)|✓ |Tests run: | in |<<< ERROR!|\{|PASS \[|[\[%: \n\x1b]|é){0,40}") {
            let _ = test_log(&text);
        }
    }
}
