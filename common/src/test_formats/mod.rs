//! From what test runners and harnesses write to the results of a [`TestRun`](crate::TestRun).
//!
//! What a file does not say about a test is unknown: these functions never make a pass of an absence, nor of a count.

mod junit;
mod log;
mod report;
mod runners;

pub use junit::{JunitError, junit};
pub use log::test_log;
pub use report::{ReportError, ReportUse, report_tests};

use std::collections::BTreeMap;

use crate::TestStatus;

/// Status by test name.
pub type Results = BTreeMap<String, TestStatus>;

/// Adds one result; of several for one name within a run (parameters, reruns in one log) the worst counts.
fn add(results: &mut Results, name: &str, status: TestStatus) {
    let name = name.trim();
    if name.is_empty() {
        return;
    }
    let worst = results.entry(name.to_owned()).or_insert(status);
    if badness(status) > badness(*worst) {
        *worst = status;
    }
}

fn badness(status: TestStatus) -> u8 {
    match status {
        TestStatus::Missing => 0,
        TestStatus::Skipped => 1,
        TestStatus::Passed => 2,
        TestStatus::Error => 3,
        TestStatus::Failed => 4,
    }
}

/// The text without terminal escape sequences, which test runners put around the words that matter.
fn without_ansi(line: &str) -> std::borrow::Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return line.into();
    }
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = match after.strip_prefix('[') {
            // A control sequence ends at its first letter.
            Some(sequence) => sequence
                .find(|c: char| ('\u{40}'..='\u{7e}').contains(&c))
                .map_or("", |end| &sequence[end + 1..]),
            None => after,
        };
    }
    plain.push_str(rest);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go() {
        assert_eq!(without_ansi("\u{1b}[1;32mPASSED\u{1b}[0m a::b"), "PASSED a::b");
        assert_eq!(without_ansi("plain"), "plain");
        assert_eq!(without_ansi("cut \u{1b}[3"), "cut ");
    }

    #[test]
    fn the_worst_of_several_counts() {
        let mut results = Results::new();
        add(&mut results, "t", TestStatus::Failed);
        add(&mut results, " t ", TestStatus::Passed);
        add(&mut results, "", TestStatus::Passed);
        assert_eq!(results, Results::from([("t".to_owned(), TestStatus::Failed)]));
    }
}
