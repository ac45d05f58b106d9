//! Lines of test runners of other languages: go, cargo and nextest, Jest, Mocha and Vitest, Maven's surefire.

use serde_json::Value;

use crate::TestStatus;
use TestStatus::{Error, Failed, Missing, Passed, Skipped};

/// What one line says of one test, if it is a line of one of these runners.
pub(super) fn result(line: &str) -> Option<(String, TestStatus)> {
    let (name, status) = match line.as_bytes().first()? {
        b'{' => return go_json(line),
        b't' => cargo(line)?,
        b'=' | b'-' => go(line)?,
        _ => {
            let inner = line.trim_start();
            go(inner).or_else(|| nextest(inner)).or_else(|| surefire(inner)).or_else(|| script(inner))?
        }
    };
    Some((name.to_owned(), status))
}

/// `--- PASS: TestA/sub (0.00s)`; a test that `=== RUN` names is missing until such a line comes.
fn go(line: &str) -> Option<(&str, TestStatus)> {
    if let Some(name) = line.strip_prefix("=== RUN ") {
        return Some((name.trim(), Missing));
    }
    let (word, name) = line.strip_prefix("--- ")?.split_once(": ")?;
    let status = match word {
        "PASS" => Passed,
        "FAIL" => Failed,
        "SKIP" => Skipped,
        _ => return None,
    };
    let (name, time) = name.rsplit_once(" (")?;
    time.ends_with("s)").then_some((name, status))
}

/// `go test -json`: `{"Action":"pass","Package":"p","Test":"TestA"}`, named `p::TestA`.
fn go_json(line: &str) -> Option<(String, TestStatus)> {
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |key| event.get(key).and_then(Value::as_str);
    let status = match text("Action")? {
        "run" => Missing,
        "pass" => Passed,
        "fail" => Failed,
        "skip" => Skipped,
        _ => return None,
    };
    Some((format!("{}::{}", text("Package")?, text("Test")?), status))
}

/// `test a::b ... ok`, `test src/lib.rs - f (line 3) ... FAILED`, `test a ... ignored, reason`.
fn cargo(line: &str) -> Option<(&str, TestStatus)> {
    let (name, word) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    // Python's doc strings may begin with "test " as well; cargo's names hold no blanks but in these notes.
    let plain = name.split_once(" - ").map_or(name, |(name, _)| name);
    if plain.is_empty() || plain.contains(' ') {
        return None;
    }
    let word = word.trim();
    let status = match word {
        "ok" => Passed,
        "FAILED" => Failed,
        _ if word == "ignored" || word.starts_with("ignored,") => Skipped,
        _ => Missing,
    };
    Some((name.strip_suffix(" - should panic").unwrap_or(name), status))
}

/// `PASS [   0.003s] crate module::test`.
fn nextest(line: &str) -> Option<(&str, TestStatus)> {
    let (word, rest) = line.split_once(" [")?;
    let status = match word.trim() {
        "PASS" => Passed,
        "FAIL" | "LEAK-FAIL" => Failed,
        "SKIP" => Skipped,
        "TIMEOUT" | "SIGABRT" | "SIGSEGV" => Error,
        _ => return None,
    };
    let (time, name) = rest.split_once(']')?;
    let name = name.trim();
    (time.trim().ends_with('s') && name.contains(' ')).then_some((name, status))
}

/// Surefire's line of a class (`Tests run: 2, Failures: 0, Errors: 0, Skipped: 0, … - in a.B`), which is taken as one
/// test, and of a test that fails (`a.B.test -- Time elapsed: 0.1 s <<< FAILURE!`).
fn surefire(line: &str) -> Option<(&str, TestStatus)> {
    let line =
        ["[INFO] ", "[ERROR] ", "[WARNING] "].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line);
    if let Some(counts) = line.strip_prefix("Tests run: ") {
        // Without a class it is the sum of the module.
        let (_, class) = counts.rsplit_once(" in ")?;
        let mut numbers = counts.split(", ").take(4).map(|part| part.rsplit(' ').next()?.parse::<u32>().ok());
        let (run, failures) = (numbers.next()??, numbers.next()??);
        let (errors, skipped) = (numbers.next()??, numbers.next()??);
        let status = match (failures, errors) {
            (1.., _) => Failed,
            (_, 1..) => Error,
            _ if run == 0 => Missing,
            _ if run == skipped => Skipped,
            _ => Passed,
        };
        return Some((class.trim(), status));
    }
    let (head, word) = line.split_once("<<< ")?;
    let status = match word.trim() {
        "FAILURE!" => Failed,
        "ERROR!" => Error,
        _ => return None,
    };
    let name = head.split("Time elapsed:").next()?.trim().trim_end_matches('-').trim();
    (!name.is_empty()).then_some((name, status))
}

/// Marks that Jest, Mocha and Vitest put before a test.
const MARKS: &[(&str, TestStatus)] = &[
    ("✓ ", Passed),
    ("✔ ", Passed),
    ("✕ ", Failed),
    ("✖ ", Failed),
    ("× ", Failed),
    ("○ skipped ", Skipped),
    ("○ ", Skipped),
    ("✎ todo ", Skipped),
    ("↓ ", Skipped),
];

/// `✓ name (5 ms)`. Names stand without the groups around them, so that of several equal ones the worst counts.
fn script(line: &str) -> Option<(&str, TestStatus)> {
    let (name, status) = MARKS.iter().find_map(|(mark, status)| Some((line.strip_prefix(mark)?, *status)))?;
    let name = untimed(name.trim());
    (!name.is_empty()).then_some((name, status))
}

/// The name without the time at its end, which differs from run to run: ` (5 ms)`, ` (1.2 s)`, ` 5ms`.
fn untimed(name: &str) -> &str {
    let Some((head, time)) = name.rsplit_once(" (").or_else(|| name.rsplit_once(' ')) else { return name };
    let number = time.trim_end_matches(')').trim_end_matches("ms").trim_end_matches('s').trim();
    let timed = number.len() < time.len() && !number.is_empty();
    let timed = timed && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if timed && time.trim_end_matches(')').ends_with('s') { head.trim_end() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(lines: &str, expected: &[(&str, TestStatus)]) {
        let seen: Vec<_> = lines.lines().filter_map(result).collect();
        let expected: Vec<_> = expected.iter().map(|&(name, status)| (name.to_owned(), status)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn go_names_its_tests() {
        expect(
            "=== RUN   TestA\n    a_test.go:3: log\n--- FAIL: TestA (0.01s)\n    --- PASS: TestA/sub_1 (0.00s)\n--- SKIP: TestB (0.00s)\nok  \tp\t0.1s\nFAIL\n--- a/x.go\n",
            &[("TestA", Missing), ("TestA", Failed), ("TestA/sub_1", Passed), ("TestB", Skipped)],
        );
        expect(
            "{\"Action\":\"run\",\"Package\":\"p\",\"Test\":\"T\"}\n{\"Action\":\"pass\",\"Package\":\"p\",\"Test\":\"T\"}\n{\"Action\":\"output\",\"Package\":\"p\",\"Test\":\"T\"}\n{\"Action\":\"pass\",\"Package\":\"p\"}\n{x\n",
            &[("p::T", Missing), ("p::T", Passed)],
        );
    }

    #[test]
    fn cargo_and_nextest_name_theirs() {
        expect(
            "running 4 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... ignored, slow\ntest e - should panic ... ok\ntest src/lib.rs - f (line 3) ... ok\ntest g ... noise\ntest result: ok. 3 passed\ntest that it works ... ok\n",
            &[
                ("a::b", Passed),
                ("c", Failed),
                ("d", Skipped),
                ("e", Passed),
                ("src/lib.rs - f (line 3)", Passed),
                ("g", Missing),
            ],
        );
        expect(
            "        PASS [   0.003s] common a::b\n        FAIL [   1.003s] common c\n",
            &[("common a::b", Passed), ("common c", Failed)],
        );
    }

    #[test]
    fn scripts_mark_theirs() {
        expect(
            "PASS src/a.test.js (5.1 s)\n  group\n    ✓ adds (5 ms)\n    ✕ takes (away) (1.2 s)\n    ○ skipped later\n ✓ test/a.test.ts > works 12ms\n   ✔ goes on\n    × stops in 3 s\n  2 passing (5ms)\n",
            &[
                ("adds", Passed),
                ("takes (away)", Failed),
                ("later", Skipped),
                ("test/a.test.ts > works", Passed),
                ("goes on", Passed),
                ("stops in 3 s", Failed),
            ],
        );
    }

    #[test]
    fn surefire_counts_by_class() {
        expect(
            "[INFO] Tests run: 2, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.1 s - in a.B\n\
             [ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.1 s <<< FAILURE! -- in a.C\n\
             [ERROR] a.C.testX -- Time elapsed: 0.01 s <<< FAILURE!\n\
             [ERROR] testY(a.D)  Time elapsed: 0.003 s  <<< ERROR!\n\
             [WARNING] Tests run: 1, Failures: 0, Errors: 0, Skipped: 1, Time elapsed: 0 s - in a.E\n\
             Tests run: 0, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0 s - in a.F\n\
             [INFO] Tests run: 5, Failures: 1, Errors: 0, Skipped: 1\n",
            &[
                ("a.B", Passed),
                ("a.C", Failed),
                ("a.C.testX", Failed),
                ("testY(a.D)", Error),
                ("a.E", Skipped),
                ("a.F", Missing),
            ],
        );
    }
}
