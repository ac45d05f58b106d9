//! `entropo tests`: from what test runners write to rows of test evidence.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::test_formats::{Results, junit, test_log};
use common::{TestKind, TestStatus};
use serde::Serialize;

use crate::exit::BadInput;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo tests junit.xml --instance django__django-11099 --base --kind regression --suite existing\n  \
       entropo tests run-1/test_output.txt --instance django__django-11099 --candidate run-1 \\\n    \
         --kind regression --suite existing >> tests.jsonl\n  \
       entropo select runs/ --tests tests.jsonl\n\n\
     Logs of pytest, unittest, Django and sympy and JUnit XML are read. SWE-bench's report.json is refused: its tests\n\
     are the benchmark's own labels."
);

/// Flags of `entropo tests`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Logs and JUnit reports of one run
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The issue
    #[arg(long, value_name = "ID")]
    pub instance: String,
    /// The candidate that the tests ran on
    #[arg(long, value_name = "ID", required_unless_present = "base")]
    pub candidate: Option<String>,
    /// The tests ran on the unpatched code
    #[arg(long, conflicts_with = "candidate")]
    pub base: bool,
    /// What the tests are for: regression, reproduction or generated
    #[arg(long, value_parser = kind)]
    pub kind: TestKind,
    /// Name of the suite; tests are compared within a suite only
    #[arg(long, default_value = "")]
    pub suite: String,
}

/// One row, as `--tests` reads it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    instance_id: &'a str,
    candidate_id: Option<&'a str>,
    kind: TestKind,
    suite: &'a str,
    passed: Vec<&'a str>,
    failed: Vec<&'a str>,
    error: Vec<&'a str>,
    skipped: Vec<&'a str>,
    missing: Vec<&'a str>,
}

/// Prints one row of the results of all files together.
pub fn run(args: &Args) -> Result<()> {
    let mut results = Results::new();
    for path in &args.files {
        results.extend(read(path)?);
    }
    let named = |wanted: TestStatus| {
        let of_status = results.iter().filter(move |(_, status)| **status == wanted);
        of_status.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
    };
    let row = Row {
        instance_id: &args.instance,
        candidate_id: args.candidate.as_deref(),
        kind: args.kind,
        suite: &args.suite,
        passed: named(TestStatus::Passed),
        failed: named(TestStatus::Failed),
        error: named(TestStatus::Error),
        skipped: named(TestStatus::Skipped),
        missing: named(TestStatus::Missing),
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &row)?;
    writeln!(out)?;
    Ok(())
}

fn read(path: &Path) -> Result<BTreeMap<String, TestStatus>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let start = text.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    if start.starts_with('{') {
        bail!(BadInput(format!(
            "{}: is JSON; a SWE-bench report says which tests are the benchmark's own labels and is no evidence, and \
             rows of test evidence need no conversion",
            path.display()
        )));
    }
    let results = if start.starts_with('<') {
        junit(&text).map_err(|error| BadInput(format!("{}: {error}", path.display())))?
    } else {
        test_log(&text)
    };
    if results.is_empty() {
        bail!(BadInput(format!("{}: no test result in it that is known how to read", path.display())));
    }
    Ok(results)
}

fn kind(text: &str) -> Result<TestKind, String> {
    match text {
        "regression" => Ok(TestKind::Regression),
        "reproduction" => Ok(TestKind::Reproduction),
        "generated" => Ok(TestKind::Generated),
        _ => Err("kinds are regression, reproduction and generated".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_a_junit_report_and_a_benchmark_report() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let log = read(&write("log.txt", "PASSED t.py::a\nFAILED t.py::b - x\n")).unwrap();
        assert_eq!(log.values().copied().collect::<Vec<_>>(), [TestStatus::Passed, TestStatus::Failed]);
        let xml = r#"<?xml version="1.0"?><testsuite><testcase classname="c" name="a"/></testsuite>"#;
        assert_eq!(read(&write("j.xml", xml)).unwrap()["c::a"], TestStatus::Passed);
        let report = read(&write("report.json", r#"{"x":{"tests_status":{}}}"#)).unwrap_err();
        assert!(report.to_string().contains("labels"), "{report}");
        assert!(read(&write("empty.txt", "nothing here\n")).is_err());
    }
}
