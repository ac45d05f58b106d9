//! Labels and reference material: what must never reach selection.
//!
//! Converters read named fields only, so an unknown field cannot slip into a candidate. The fields here are those
//! that say, or all but say, whether a candidate resolves its issue; they go to its outcome by path.

use std::collections::BTreeMap;

use serde_json::Value;

use super::json::{Object, number, truth};
use crate::Outcome;

/// What was taken out of one record, by the path of its field.
pub(super) type Stripped = BTreeMap<String, Value>;

/// Fields of a record itself.
const TOP: &[&str] = &[
    "FAIL_TO_PASS",
    "PASS_TO_PASS",
    "resolved",
    "reward",
    "reward_calc_time",
    "success_id",
    "target",
    "eval_logs",
    "eval_log",
    "eval_outcomes",
    "gen_tests_correct",
    "pred_passes_gen_tests",
    "test_output",
    "custom_test_outputs",
    "regression_test_output",
    "report",
    "fine_grained_report",
    "tests_status",
    "kto_tag",
    "label",
    "label_kind",
    "doubt",
    "test_patch",
    "gold_patch",
    "golden_patch",
    "reference_patch",
    "run_result",
    "test_patch_result",
    "fix_patch_result",
    "fixed_tests",
    "f2p_tests",
    "p2p_tests",
    "s2p_tests",
    "n2p_tests",
];

/// Fields of the benchmark's own row inside a record (`ds`, `instance`).
const REFERENCE: &[&str] = &[
    "FAIL_TO_PASS",
    "PASS_TO_PASS",
    "patch",
    "test_patch",
    "gold_patch",
    "golden_patch",
    "resolved",
    "reward",
    "hints_text",
    "parsed_commit_content",
    "parsed_commit",
    "execution_result_content",
    "expected_output_json",
    "modified_files",
    "modified_entity_summaries",
    "relevant_files",
];

/// Takes every label out of a record. `test_result` keeps only its patch.
pub(super) fn strip(record: &mut Object) -> Stripped {
    let mut stripped = Stripped::new();
    move_fields(record, TOP, "", &mut stripped);
    for inner in ["ds", "instance", "info"] {
        if let Some(Value::Object(row)) = record.get_mut(inner) {
            let fields = if inner == "info" { TOP } else { REFERENCE };
            move_fields(row, fields, inner, &mut stripped);
        }
    }
    if let Some(Value::Object(result)) = record.get_mut("test_result") {
        let patch = result.remove("git_patch");
        for (key, value) in std::mem::take(result) {
            stripped.insert(format!("test_result.{key}"), value);
        }
        if let Some(patch) = patch {
            result.insert("git_patch".to_owned(), patch);
        }
    }
    stripped
}

/// Takes more fields of a record, those that are labels in one format only.
pub(super) fn move_fields(object: &mut Object, fields: &[&str], at: &str, into: &mut Stripped) {
    // A record without any of them is the common case: look before moving, removal costs a shift.
    for &field in fields {
        if object.contains_key(field) {
            let value = object.shift_remove(field).unwrap_or_default();
            let path = if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
            into.insert(path, value);
        }
    }
}

/// Where a record says whether it resolved its issue, best source first.
const VERDICTS: &[&str] = &[
    "resolved",
    "info.resolved",
    "test_result.report.resolved",
    "report.resolved",
    "target",
    "kto_tag",
    "chosen",
    "label",
];

/// Makes the outcome of one candidate of what was stripped; `None` when nothing was.
pub(super) fn outcome(mut stripped: Stripped, instance_id: &str, candidate_id: &str) -> Option<Outcome> {
    if stripped.is_empty() {
        return None;
    }
    let mut outcome = Outcome {
        instance_id: instance_id.to_owned(),
        candidate_id: Some(candidate_id.to_owned()),
        ..Outcome::default()
    };
    for &path in VERDICTS {
        if let Some(verdict) = lookup(&stripped, path).and_then(truth) {
            outcome.resolved = Some(verdict);
            path.clone_into(&mut outcome.label_source);
            break;
        }
    }
    if let Some(reward) = number(stripped.get("reward")) {
        outcome.reward = Some(reward);
        if outcome.resolved.is_none() {
            // Rewards of execution are 0 or 1; any other is a shaped one and no verdict.
            outcome.resolved = truth(&Value::from(reward));
            "reward".clone_into(&mut outcome.label_source);
        }
    }
    // A verdict lives in its own field; what only repeats it is not stored twice.
    for plain in ["resolved", "reward"] {
        let known = match plain {
            "resolved" => outcome.label_source == plain,
            _ => outcome.reward.is_some(),
        };
        if known {
            stripped.remove(plain);
        }
    }
    outcome.stripped = stripped;
    Some(outcome)
}

fn lookup<'a>(stripped: &'a Stripped, path: &str) -> Option<&'a Value> {
    if let Some(value) = stripped.get(path) {
        return Some(value);
    }
    let (parent, field) = path.rsplit_once('.')?;
    stripped.get(parent)?.get(field)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            _ => Object::new(),
        }
    }

    #[test]
    fn labels_leave_and_the_rest_stays() {
        let mut record = object(json!({
            "instance_id": "a", "resolved": 1, "reward": 0.5, "ds": {"patch": "p", "repo": "r"},
            "test_result": {"git_patch": "g", "report": {"resolved": true}, "test_output": "log"},
        }));
        let stripped = strip(&mut record);
        assert_eq!(
            Value::Object(record),
            json!({"instance_id": "a", "ds": {"repo": "r"}, "test_result": {"git_patch": "g"}})
        );
        let keys: Vec<&str> = stripped.keys().map(String::as_str).collect();
        assert_eq!(keys, ["ds.patch", "resolved", "reward", "test_result.report", "test_result.test_output"]);
        let outcome = outcome(stripped, "a", "c").unwrap();
        assert_eq!((outcome.resolved, outcome.reward), (Some(true), Some(0.5)));
        assert_eq!(outcome.label_source, "resolved");
    }

    #[test]
    fn a_report_inside_is_a_verdict_too() {
        let mut record = object(json!({"test_result": {"report": {"resolved": false}}}));
        let outcome = outcome(strip(&mut record), "a", "c").unwrap();
        assert_eq!(outcome.resolved, Some(false));
        assert_eq!(outcome.label_source, "test_result.report.resolved");
    }

    #[test]
    fn a_null_label_is_stripped_and_says_nothing() {
        let mut record = object(json!({"resolved": null}));
        let outcome = outcome(strip(&mut record), "a", "c").unwrap();
        assert_eq!(outcome.resolved, None);
        assert!(outcome.stripped.contains_key("resolved"));
    }
}
