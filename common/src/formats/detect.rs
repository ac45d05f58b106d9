//! The format of a document, told by its content.

use serde_json::Value;

use super::ids::instance_in_name;
use super::json::Object;
use crate::SourceFormat;

/// Tells the format of one parsed document or row by the fields it has; `None` when it is none that is known.
///
/// Of a list or a dict of rows it tells the format of the rows.
pub fn detect(value: &Value) -> Option<SourceFormat> {
    match value {
        Value::Object(object) => detect_object(object),
        Value::Array(items) => detect_list(items),
        _ => None,
    }
}

fn detect_list(items: &[Value]) -> Option<SourceFormat> {
    let first = items.first()?;
    let Value::Object(object) = first else { return None };
    if is_message(object) {
        Some(SourceFormat::Chat)
    } else if is_r2e_step(object) {
        Some(SourceFormat::R2eGym)
    } else {
        detect_object(object)
    }
}

/// A chat message: a role, and content or tool calls.
pub(super) fn is_message(object: &Object) -> bool {
    (object.contains_key("role") || object.contains_key("from"))
        && ["content", "value", "tool_calls", "text"].iter().any(|key| object.contains_key(*key))
        && !object.contains_key("instance_id")
}

/// A step of R2E-Gym: what the agent did and what it saw.
pub(super) fn is_r2e_step(object: &Object) -> bool {
    object.contains_key("action") && object.contains_key("observation") && !object.contains_key("instance_id")
}

/// An event of a log; rows with an issue of their own are none.
fn is_event(object: &Object) -> bool {
    matches!(object.get("event_type"), Some(Value::String(_)))
        && ["timestamp", "session_id"].iter().any(|key| object.contains_key(*key))
        && !object.contains_key("instance_id")
}

fn detect_object(object: &Object) -> Option<SourceFormat> {
    use SourceFormat as F;
    let has = |key: &str| object.contains_key(key);
    let list = |key: &str| matches!(object.get(key), Some(Value::Array(_)));
    let listish = |key: &str| matches!(object.get(key), Some(Value::Array(_) | Value::String(_)));
    let nested = |key: &str| matches!(object.get(key), Some(Value::Object(_)));

    // In this order: a row may have fields of several formats, and the first rule that holds is the most telling.
    let swe_agent =
        (list("trajectory") && (list("history") || nested("info"))) || (list("attempts") && nested("info"));
    let openhands = has("test_result")
        || (list("history") && ["git_patch", "instruction", "instance"].iter().any(|key| has(key)))
        || (has("git_patch")
            && ["issue", "comment_success", "result_explanation"].iter().any(|key| has(key)));
    let with_patch =
        ["model_patch", "generated_patch", "trajectory_id", "instance_id"].iter().any(|key| has(key));
    let numbered = has("repo") && has("number");
    let steps = object.get("trajectory").and_then(|steps| steps.get(0)).and_then(Value::as_object);
    let steps = steps.is_some_and(is_r2e_step);
    let outcome_lists = list("passed") || list("failed") || list("missing") || has("results");
    let rules = [
        ((has("exit") && has("source")) || list("turns"), F::Native),
        (list("trajectory_steps"), F::R2eGym),
        (swe_agent && !has("test_result"), F::SweAgent),
        (openhands, F::OpenHands),
        (list("agent_steps"), F::TraeAgent),
        (list("patches"), F::Trae),
        (list("diffs"), F::Augment),
        (is_event(object), F::CodeFuse),
        (list("conversations"), F::LlamaFactory),
        (has("candidate_id") && has("patch") && !has("messages"), F::Pool),
        (has("messages") && (nested("info") || has("trajectory_format")), F::MiniSweAgent),
        (list("trajectory") && !with_patch && steps, F::SweAgent),
        (listish("trajectory") && with_patch, F::Nebius),
        (listish("messages") && (has("instance_id") || has("docker_image")), F::SweSmith),
        (has("model_patch") && AGENTLESS.iter().any(|key| has(key)), F::Agentless),
        (has("model_patch"), F::Predictions),
        (has("fix_patch") && numbered && BENCHMARK.iter().any(|key| has(key)), F::Issues),
        (has("fix_patch") && numbered, F::Predictions),
        (has("valid") && numbered && has("fix_patch_result"), F::SweBenchReport),
        (has("instance_id") && has("kind") && outcome_lists, F::TestRuns),
        (has("instance_id") && list("tests_passing_in_original_repo"), F::TestRuns),
        (has("instance_id") && (has("problem_statement") || has("issue")), F::Issues),
        (list("resolved_ids") || list("resolved"), F::SweBenchRun),
        (list("messages"), F::Chat),
    ];
    rules.into_iter().find_map(|(holds, format)| holds.then_some(format)).or_else(|| detect_dict(object))
}

/// Fields of Multi-SWE-bench's own rows, whose `fix_patch` is the reference.
pub(super) const BENCHMARK: &[&str] = &["test_patch", "resolved_issues", "base", "fix_patch_result"];

/// Fields that Agentless writes beside `model_patch`.
const AGENTLESS: &[&str] = &[
    "normalized_patch",
    "edited_files",
    "original_file_content",
    "new_file_content",
    "raw_model_patch",
    "all_generations",
    "regression",
    "reproduction",
];

/// A dict of rows by instance.
fn detect_dict(object: &Object) -> Option<SourceFormat> {
    // Some write the patches alone.
    let is_patch = |(id, patch): (&String, &Value)| {
        patch.is_string() && instance_in_name(id).is_some_and(|(_, rest)| rest.is_empty())
    };
    if !object.is_empty() && object.iter().all(is_patch) {
        return Some(SourceFormat::Predictions);
    }
    let row = object.values().find_map(Value::as_object)?;
    if row.contains_key("model_patch") {
        Some(SourceFormat::Predictions)
    } else if row.contains_key("tests_status") || row.contains_key("patch_successfully_applied") {
        Some(SourceFormat::SweBenchReport)
    } else {
        None
    }
}
