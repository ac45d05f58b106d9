//! From a parsed row of each format to drafts of records. Ids are settled by the driver.

mod agentless;
mod augment;
mod chat;
mod code_fuse;
mod issues;
mod llama_factory;
mod mini;
mod native;
mod nebius;
mod openhands;
mod openhands_sdk;
mod parts;
mod pool;
mod predictions;
mod r2e;
mod reports;
mod swe_agent;
mod swe_smith;
mod test_runs;
mod trae;
mod trae_agent;

pub(super) use code_fuse::EventLog;

use serde_json::Value;

use super::ids::NameIds;
use super::json::{self, Object, Reject};
use super::labels::{self, Stripped};
use crate::{Outcome, SourceFormat, TestRun, Trajectory};

/// What a converter hands over.
#[derive(Debug)]
pub(super) enum Draft {
    Candidate(Box<CandidateDraft>),
    Outcome(Outcome),
    TestRun { instance_id: String, run: TestRun },
    Issue { instance_id: String, text: String },
}

/// A candidate before its ids are settled.
#[derive(Debug, Default)]
pub(super) struct CandidateDraft {
    /// The id that the record gives it.
    pub(super) id: Option<String>,
    /// What tells it from others of the same record, such as `attempt-2`.
    pub(super) part: Option<String>,
    pub(super) trajectory: Trajectory,
    pub(super) stripped: Stripped,
    pub(super) trajectory_path: Option<String>,
    pub(super) scaffold_choice: Option<bool>,
    /// What the record says of tests run on it; the candidate's id is filled in by the driver.
    pub(super) tests: Vec<TestRun>,
}

/// What converters may know of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileHint<'a> {
    pub(super) name: &'a NameIds,
}

/// One row, free of labels, on its way through a converter.
pub(super) struct Row<'a> {
    pub(super) object: Object,
    pub(super) stripped: Stripped,
    pub(super) hint: FileHint<'a>,
    pub(super) out: Vec<Draft>,
}

impl Row<'_> {
    /// Hands over a candidate with everything that was stripped from the row.
    fn candidate(&mut self, mut draft: CandidateDraft) {
        draft.stripped = std::mem::take(&mut self.stripped);
        self.out.push(Draft::Candidate(Box::new(draft)));
    }

    /// The field `instance_id`, else what `org`, `repo` and `number` say, else what the file's name says.
    fn instance_id(&self) -> String {
        json::id_of(&self.object, "instance_id")
            .or_else(|| numbered_id(&self.object))
            .unwrap_or_else(|| self.hint.name.instance.clone())
    }
}

/// Multi-SWE-bench names issues by `org`, `repo` and `number`.
fn numbered_id(object: &Object) -> Option<String> {
    let (org, repo) = (json::str_of(object, "org")?, json::str_of(object, "repo")?);
    let repo = repo.rsplit('/').next().unwrap_or(repo);
    Some(format!("{org}__{repo}-{}", json::count(object.get("number"))?))
}

/// Converts one row, list or dict of the given format. Only called with what [`super::driver`] cut out: a whole list
/// for conversations, else one row.
pub(super) fn convert(value: Value, format: SourceFormat, hint: FileHint<'_>) -> Result<Vec<Draft>, Reject> {
    let mut object = match value {
        Value::Object(object) => object,
        // A bare conversation: given the shape of a row.
        Value::Array(items) => Object::from_iter([(bare_key(format)?.to_owned(), Value::Array(items))]),
        _ => return Err(Reject::Other("the record is neither an object nor a list".to_owned())),
    };
    if format == SourceFormat::CodeFuse {
        return Err(Reject::Other("an event is an object".to_owned()));
    }
    if format == SourceFormat::SweBenchReport {
        return reports::report(object);
    }
    if format == SourceFormat::SweBenchRun {
        return reports::run(&object);
    }
    let stripped = labels::strip(&mut object);
    let mut row = Row { object, stripped, hint, out: Vec::new() };
    match format {
        SourceFormat::Native => native::convert(&mut row),
        SourceFormat::SweAgent => swe_agent::convert(&mut row),
        SourceFormat::MiniSweAgent => mini::convert(&mut row),
        SourceFormat::Chat => chat::convert(&mut row),
        SourceFormat::OpenHands => openhands::convert(&mut row),
        SourceFormat::R2eGym => r2e::convert(&mut row),
        SourceFormat::SweSmith => swe_smith::convert(&mut row),
        SourceFormat::Nebius => nebius::convert(&mut row),
        SourceFormat::Agentless => agentless::convert(&mut row),
        SourceFormat::Trae => trae::convert(&mut row),
        SourceFormat::TraeAgent => trae_agent::convert(&mut row),
        SourceFormat::Augment => augment::convert(&mut row),
        SourceFormat::LlamaFactory => llama_factory::convert(&mut row),
        SourceFormat::Predictions => predictions::convert(&mut row),
        SourceFormat::Pool => pool::convert(&mut row),
        SourceFormat::Issues => issues::convert(&mut row),
        SourceFormat::TestRuns => test_runs::convert(&mut row),
        SourceFormat::CodeFuse | SourceFormat::SweBenchReport | SourceFormat::SweBenchRun => {
            unreachable!("handled before")
        }
    }?;
    // What belongs to no candidate is kept as the issue's.
    if !row.stripped.is_empty() {
        let instance_id = match json::str_of(&row.object, "id") {
            Some(id) if format == SourceFormat::Augment => id.to_owned(),
            _ => row.instance_id(),
        };
        let stripped = std::mem::take(&mut row.stripped);
        row.out.push(Draft::Outcome(Outcome { instance_id, stripped, ..Outcome::default() }));
    }
    Ok(row.out)
}

fn bare_key(format: SourceFormat) -> Result<&'static str, Reject> {
    match format {
        SourceFormat::Chat | SourceFormat::MiniSweAgent | SourceFormat::SweSmith => Ok("messages"),
        SourceFormat::SweAgent | SourceFormat::OpenHands => Ok("history"),
        SourceFormat::R2eGym => Ok("trajectory_steps"),
        SourceFormat::Nebius => Ok("trajectory"),
        other => Err(Reject::Other(format!("a bare list is no {other} record"))),
    }
}
