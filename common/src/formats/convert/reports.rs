//! What SWE-bench's harness says of success: labels only.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::json::{Object, Reject, truth};
use super::super::labels::Stripped;
use super::{Draft, numbered_id};
use crate::Outcome;

/// `report.json`: a dict of reports by instance, or Multi-SWE-bench's report of one, `valid` when the patch resolves it.
pub(super) fn report(mut object: Object) -> Result<Vec<Draft>, Reject> {
    if let Some(instance_id) = numbered_id(&object).filter(|_| object.contains_key("valid")) {
        let resolved = object.shift_remove("valid").as_ref().and_then(truth);
        return Ok(vec![outcome(instance_id, resolved, "report.valid", object.into_iter().collect())]);
    }
    let outcome = |(instance_id, report)| {
        let mut report = match report {
            Value::Object(report) => report,
            Value::Null => Object::new(),
            _ => return Err(Reject::Other(format!("the report of {instance_id} is not an object"))),
        };
        let resolved = report.shift_remove("resolved").as_ref().and_then(truth);
        Ok(outcome(instance_id, resolved, "report.resolved", report.into_iter().collect()))
    };
    object.into_iter().map(outcome).collect()
}

/// Lists of a run report or of leaderboard results and what they say, weakest first. An instance with an error was not
/// judged; those that only have a patch or a log did not resolve unless another list says so.
const LISTS: &[(&str, Option<bool>)] = &[
    ("error_ids", None),
    ("no_generation", Some(false)),
    ("no_logs", Some(false)),
    ("generated", Some(false)),
    ("with_logs", Some(false)),
    ("applied", Some(false)),
    ("no_apply", Some(false)),
    ("install_fail", Some(false)),
    ("reset_failed", Some(false)),
    ("test_errored", Some(false)),
    ("test_timeout", Some(false)),
    ("empty_patch_ids", Some(false)),
    ("unresolved_ids", Some(false)),
    ("resolved", Some(true)),
    ("resolved_ids", Some(true)),
];

/// A run report or leaderboard results: lists of instances. Which candidates were run it does not say.
pub(super) fn run(object: &Object) -> Result<Vec<Draft>, Reject> {
    let mut verdicts: BTreeMap<String, (Option<bool>, &str)> = BTreeMap::new();
    for &(list, verdict) in LISTS {
        match object.get(list) {
            Some(Value::Array(ids)) => {
                for id in ids {
                    let id = id
                        .as_str()
                        .ok_or(Reject::Type { field: list, expected: "a list of instance ids" })?;
                    verdicts.insert(plain_id(id), (verdict, list));
                }
            }
            None | Some(Value::Null | Value::Number(_)) => {}
            Some(_) => return Err(Reject::Type { field: list, expected: "a list of instance ids" }),
        }
    }
    let outcome = |(id, (resolved, list)): (String, (Option<bool>, &str))| {
        let stripped = match resolved {
            Some(_) => Stripped::new(),
            None => Stripped::from([(list.to_owned(), Value::Bool(true))]),
        };
        outcome(id, resolved, list, stripped)
    };
    Ok(verdicts.into_iter().map(outcome).collect())
}

/// Multi-SWE-bench writes `org/repo:pr-1` for what is `org__repo-1` elsewhere.
fn plain_id(id: &str) -> String {
    let parts = id.split_once(":pr-").and_then(|(repo, number)| Some((repo.split_once('/')?, number)));
    match parts {
        Some(((org, repo), number)) => format!("{org}__{repo}-{number}"),
        None => id.to_owned(),
    }
}

fn outcome(instance_id: String, resolved: Option<bool>, source: &str, stripped: Stripped) -> Draft {
    let label_source = if resolved.is_some() { source.to_owned() } else { String::new() };
    Draft::Outcome(Outcome { instance_id, resolved, label_source, stripped, ..Outcome::default() })
}
