//! Files of any format inside a request.

use std::ops::ControlFlow;

use crate::Problem;
use common::{
    SourceFormat,
    formats::{self, ReadContext, ReadReport, Record},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Given, GivenRun, Intake};

/// A file as an agent, its harness or a benchmark wrote it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileIn {
    /// Its name, for messages and for ids where the content has none.
    #[schema(min_length = 1, max_length = 1024)]
    name: String,
    /// What it holds: the JSON document itself, or its text (JSON lines, XML).
    #[schema(value_type = Value)]
    content: Value,
    /// Read it as this format instead of detecting it.
    #[serde(default)]
    format: Option<SourceFormat>,
}

/// What a file held and what of it could not be used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FileReport {
    /// The file.
    name: String,
    /// What was read from it. Outcomes are labels: they are kept apart and never seen by a selection.
    #[serde(flatten)]
    report: ReadReport,
}

/// Adds what a file holds.
pub(super) fn read(intake: &mut Intake, field: &str, file: FileIn) -> Result<(), Problem> {
    if file.name.is_empty() {
        return Err(Problem::field(format!("{field}.name"), "is empty"));
    }
    let context = ReadContext { format: file.format, ..ReadContext::named(file.name.clone()) };
    let before = intake.candidates.len() + intake.tests.len() + intake.outcomes.len() + intake.issues.len();
    let mut sink = |record| {
        add(intake, field, record);
        ControlFlow::Continue(())
    };
    let report = match file.content {
        Value::String(text) => formats::read(text.as_bytes(), &context, &mut sink),
        document => formats::read_value(document, &context, &mut sink),
    };
    let content = format!("{field}.content");
    let report = report.map_err(|error| Problem::field(content.clone(), error.to_string()))?;
    let after = intake.candidates.len() + intake.tests.len() + intake.outcomes.len() + intake.issues.len();
    if after == before {
        let reason = match report.problems.first() {
            Some(problem) => problem.to_string(),
            None => format!("{}: nothing was found in it", file.name),
        };
        return Err(Problem::field(content, reason));
    }
    intake.files.push(FileReport { name: file.name, report });
    Ok(())
}

fn add(intake: &mut Intake, field: &str, record: Record) {
    let field = field.to_owned();
    match record {
        Record::Candidate(record) => {
            intake.outcomes.extend(record.outcome);
            intake.candidates.push(Given { field, candidate: record.candidate });
        }
        Record::Outcome(outcome) => intake.outcomes.push(outcome),
        Record::TestRun { instance_id, run } => intake.tests.push(GivenRun { field, instance_id, run }),
        Record::Issue { instance_id, text } => intake.issues.push((instance_id, text)),
    }
}
