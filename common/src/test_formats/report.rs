//! SWE-bench's `report.json` as test evidence, which it almost never may be.

use serde_json::Value;

use super::{Results, add};
use crate::TestStatus;

/// Why the caller reads a report's tests. There is no default: `report.json` is made with the benchmark's reference
/// tests, so a selector that sees it has seen the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportUse {
    /// To select: refused.
    Selection,
    /// To analyse runs whose labels are known anyway, or because the listed tests are the user's own and not a
    /// benchmark's held-out ones.
    OwnTests,
}

/// Why a report is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Reading it would hand labels to the selector.
    #[error(
        "report.json lists FAIL_TO_PASS and PASS_TO_PASS, the labels of the benchmark; it is no evidence for selection. \
         give the test log or a junit report of your own tests instead"
    )]
    Label,
    /// It has no `tests_status`.
    #[error("the report of {0} has no `tests_status`")]
    NoTests(String),
    /// It holds no report of this instance.
    #[error("the report is not about {0}")]
    OtherInstance(String),
}

/// The results in one instance's report: what is listed as success passed, what is listed as failure failed or did not
/// run, which the report does not tell apart.
///
/// # Errors
///
/// For [`ReportUse::Selection`] always; else when the report has no tests of the instance.
pub fn report_tests(report: &Value, instance_id: &str, purpose: ReportUse) -> Result<Results, ReportError> {
    if purpose == ReportUse::Selection {
        return Err(ReportError::Label);
    }
    let report = report.get(instance_id).ok_or_else(|| ReportError::OtherInstance(instance_id.to_owned()))?;
    let groups = report.get("tests_status").and_then(Value::as_object);
    let groups = groups.ok_or_else(|| ReportError::NoTests(instance_id.to_owned()))?;
    let mut results = Results::new();
    for group in groups.values() {
        for (list, status) in [("success", TestStatus::Passed), ("failure", TestStatus::Failed)] {
            let names = group.get(list).and_then(Value::as_array).into_iter().flatten();
            names.filter_map(Value::as_str).for_each(|name| add(&mut results, name, status));
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_refused_for_selection_and_read_for_analysis() {
        let report = json!({"a": {"resolved": true, "tests_status": {
            "FAIL_TO_PASS": {"success": ["t1"], "failure": ["t2"]}, "PASS_TO_PASS": {"success": ["t3"], "failure": []}}}});
        assert_eq!(report_tests(&report, "a", ReportUse::Selection), Err(ReportError::Label));
        let results = report_tests(&report, "a", ReportUse::OwnTests).unwrap();
        let expected = [("t1", TestStatus::Passed), ("t2", TestStatus::Failed), ("t3", TestStatus::Passed)];
        assert_eq!(results, expected.into_iter().map(|(name, status)| (name.to_owned(), status)).collect());
        assert_eq!(
            report_tests(&report, "b", ReportUse::OwnTests),
            Err(ReportError::OtherInstance("b".to_owned()))
        );
    }
}
