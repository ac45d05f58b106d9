//! What a file holds, for a person to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ReadContext, ReadError, ReadReport, Record, read};
use crate::{ExitStatus, Outcome};

/// What a file holds, which formats, and what selection would not see of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Inspection {
    /// Counts and problems.
    #[serde(flatten)]
    pub report: ReadReport,
    /// Different issues.
    pub instances: u64,
    /// Turns of all conversations.
    pub turns: u64,
    /// Candidates with at least one turn.
    pub with_turns: u64,
    /// Candidates whose patch is not empty.
    pub with_patch: u64,
    /// Candidates whose label is known, and how many of them resolve their issue.
    pub labelled: u64,
    /// See `labelled`.
    pub resolved: u64,
    /// Candidates by how they ended.
    #[schema(value_type = Object)]
    pub exits: BTreeMap<String, u64>,
    /// Fields that are stripped before selection, by path, and in how many records.
    pub stripped: BTreeMap<String, u64>,
    /// The first few issues.
    pub examples: Vec<String>,
}

/// Reads the whole file and sums up what it holds.
///
/// # Errors
///
/// As [`read`].
pub fn inspect<'a>(reader: impl BufRead + 'a, ctx: &ReadContext) -> Result<Inspection, ReadError> {
    let mut seen = Inspection::default();
    let mut instances = BTreeSet::new();
    let report = read(reader, ctx, &mut |record| {
        let instance = match record {
            Record::Candidate(record) => {
                let trajectory = record.candidate.trajectory;
                seen.turns += trajectory.turns.len() as u64;
                seen.with_turns += u64::from(!trajectory.turns.is_empty());
                seen.with_patch += u64::from(!trajectory.patch_text().trim().is_empty());
                *seen.exits.entry(exit_name(trajectory.exit).to_owned()).or_default() += 1;
                if let Some(outcome) = &record.outcome {
                    seen.add_outcome(outcome);
                }
                trajectory.instance_id
            }
            Record::Outcome(outcome) => {
                seen.add_outcome(&outcome);
                outcome.instance_id
            }
            Record::TestRun { instance_id, .. } | Record::Issue { instance_id, .. } => instance_id,
        };
        if !instance.is_empty() && !instances.contains(&instance) {
            if seen.examples.len() < 3 {
                seen.examples.push(instance.clone());
            }
            instances.insert(instance);
        }
        ControlFlow::Continue(())
    })?;
    seen.instances = instances.len() as u64;
    seen.report = report;
    Ok(seen)
}

impl Inspection {
    fn add_outcome(&mut self, outcome: &Outcome) {
        if let Some(resolved) = outcome.resolved {
            self.labelled += 1;
            self.resolved += u64::from(resolved);
        }
        let plain = [
            ("reward", outcome.reward.is_some()),
            (outcome.label_source.as_str(), !outcome.label_source.is_empty()),
        ];
        let paths: BTreeSet<&str> = plain
            .into_iter()
            .filter_map(|(path, present)| present.then_some(path))
            .chain(outcome.stripped.keys().map(String::as_str))
            .collect();
        for path in paths {
            *self.stripped.entry(path.to_owned()).or_default() += 1;
        }
    }
}

fn exit_name(exit: ExitStatus) -> &'static str {
    match exit {
        ExitStatus::Submitted => "submitted",
        ExitStatus::SubmittedAtLimit => "submitted_at_limit",
        ExitStatus::Limit => "limit",
        ExitStatus::Error => "error",
        ExitStatus::Unknown => "unknown",
    }
}
