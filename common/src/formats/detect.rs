//! The format of a document, told by its content.

use serde_json::Value;

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

fn detect_object(object: &Object) -> Option<SourceFormat> {
    use SourceFormat as F;
    let has = |key: &str| object.contains_key(key);
    let list = |key: &str| matches!(object.get(key), Some(Value::Array(_)));
    let listish = |key: &str| matches!(object.get(key), Some(Value::Array(_) | Value::String(_)));
    let nested = |key: &str| matches!(object.get(key), Some(Value::Object(_)));

    let format = if (has("exit") && has("source")) || list("turns") {
        F::Native
    } else if list("trajectory_steps") {
        F::R2eGym
    } else if list("trajectory")
        && (list("history") || nested("info") || list("attempts"))
        && !has("test_result")
    {
        F::SweAgent
    } else if list("attempts") && nested("info") {
        F::SweAgent
    } else if has("test_result")
        || (list("history") && (has("git_patch") || has("instruction") || has("instance")))
    {
        F::OpenHands
    } else if has("git_patch") && (has("issue") || has("comment_success") || has("result_explanation")) {
        F::OpenHands
    } else if list("agent_steps") {
        F::TraeAgent
    } else if list("patches") {
        F::Trae
    } else if list("diffs") {
        F::Augment
    } else if has("candidate_id") && has("patch") && !has("messages") {
        F::Pool
    } else if list("messages") && (nested("info") || has("trajectory_format")) {
        F::MiniSweAgent
    } else if listish("trajectory")
        && (has("model_patch") || has("generated_patch") || has("trajectory_id") || has("instance_id"))
    {
        F::Nebius
    } else if listish("messages") && (has("instance_id") || has("docker_image")) {
        F::SweSmith
    } else if has("model_patch") {
        let processed = [
            "normalized_patch",
            "edited_files",
            "original_file_content",
            "new_file_content",
            "raw_model_patch",
            "all_generations",
        ];
        if processed.iter().any(|key| has(key)) { F::Agentless } else { F::Predictions }
    } else if has("instance_id") && has("kind") && ["passed", "failed", "results"].iter().any(|key| has(key))
    {
        F::TestRuns
    } else if has("instance_id") && (has("problem_statement") || has("issue")) {
        F::Issues
    } else if list("resolved_ids") || list("resolved") {
        F::SweBenchRun
    } else if list("messages") {
        F::Chat
    } else {
        return detect_dict(object);
    };
    Some(format)
}

/// A dict of rows by instance.
fn detect_dict(object: &Object) -> Option<SourceFormat> {
    let Some(Value::Object(row)) = object.values().next() else { return None };
    if row.contains_key("model_patch") {
        Some(SourceFormat::Predictions)
    } else if row.contains_key("tests_status") || row.contains_key("patch_successfully_applied") {
        Some(SourceFormat::SweBenchReport)
    } else {
        None
    }
}
