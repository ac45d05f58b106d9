//! From documents to records: formats, ids, problems.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::ops::ControlFlow;

use serde_json::Value;

use super::context::{CandidateRecord, Problem, ReadContext, ReadError, ReadReport, Record};
use super::convert::{CandidateDraft, Draft, EventLog, FileHint, convert};
use super::detect::{is_message, is_r2e_step};
use super::ids::{NameIds, base_of_path, ids_in_path};
use super::json::Object;
use super::{decompress, detect, labels};
use crate::{Candidate, SourceFormat};

/// Where records go; breaking stops the reading.
pub type Sink<'s> = dyn FnMut(Record) -> ControlFlow<()> + 's;

/// Reads a file of any known format, compressed or not, and hands its records to the sink in file order.
///
/// JSON lines are read one at a time, and only one is held; any other document is held whole. Both are bounded by
/// [`ReadContext::limits`]. What cannot be read is reported and the rest goes on, unless the context is strict.
///
/// # Errors
///
/// When the reader fails, or on the first problem when the context is strict.
pub fn read<'a>(
    reader: impl BufRead + 'a,
    ctx: &ReadContext,
    sink: &mut Sink<'_>,
) -> Result<ReadReport, ReadError> {
    let mut driver = Driver::new(ctx, sink);
    let outcome = decompress(reader).map_err(Stop::Io).and_then(|mut reader| driver.lines(reader.as_mut()));
    driver.finish(outcome)
}

/// Reads one parsed document, such as a file inside a request, and hands its records to the sink.
///
/// # Errors
///
/// On the first problem when the context is strict.
pub fn read_value(value: Value, ctx: &ReadContext, sink: &mut Sink<'_>) -> Result<ReadReport, ReadError> {
    let mut driver = Driver::new(ctx, sink);
    let outcome = driver.document(value, None);
    driver.finish(outcome)
}

/// Why the driver stops before the end.
pub(super) enum Stop {
    Io(io::Error),
    Strict(Problem),
    Asked,
}

pub(super) struct Driver<'c, 's, 'f> {
    pub(super) ctx: &'c ReadContext,
    sink: &'s mut Sink<'f>,
    report: ReadReport,
    name: NameIds,
    /// Format of the last row whose content told it, for rows whose content does not.
    last_format: Option<SourceFormat>,
    /// How often each candidate id came up, to keep them unique within the file.
    seen: BTreeMap<(String, String), u32>,
    /// Events of the run that is being read, in a format of events.
    log: Option<EventLog>,
}

impl<'c, 's, 'f> Driver<'c, 's, 'f> {
    fn new(ctx: &'c ReadContext, sink: &'s mut Sink<'f>) -> Self {
        Self {
            ctx,
            sink,
            report: ReadReport::default(),
            name: ids_in_path(&ctx.name),
            last_format: None,
            seen: BTreeMap::new(),
            log: None,
        }
    }

    fn finish(mut self, outcome: Result<(), Stop>) -> Result<ReadReport, ReadError> {
        let file = || self.ctx.name.clone();
        let outcome = outcome.and_then(|()| self.end_of_log());
        match outcome {
            Ok(()) => {}
            Err(Stop::Asked) => self.report.stopped = true,
            Err(Stop::Strict(problem)) => return Err(ReadError::Strict(problem)),
            Err(Stop::Io(source)) => return Err(ReadError::Io { file: file(), source }),
        }
        Ok(self.report)
    }

    /// A row, a conversation, or a list or dict of rows.
    pub(super) fn document(&mut self, value: Value, line: Option<u64>) -> Result<(), Stop> {
        let value = unwrapped(value);
        let format = self.ctx.format.or_else(|| detect(&value));
        match value {
            Value::Array(items) if !is_conversation(&items) => {
                if items.is_empty() {
                    return self.problem(line, "the list is empty".to_owned());
                }
                for (index, item) in items.into_iter().enumerate() {
                    self.row(item, line, Some(&format!("element {index}")))?;
                }
                Ok(())
            }
            Value::Object(rows) if format == Some(SourceFormat::Predictions) && is_dict_of_rows(&rows) => {
                for (key, mut item) in rows {
                    if item.is_string() {
                        item = Value::Object(Object::from_iter([("model_patch".to_owned(), item)]));
                    }
                    if let Value::Object(row) = &mut item
                        && !row.contains_key("instance_id")
                    {
                        row.insert("instance_id".to_owned(), Value::String(key.clone()));
                    }
                    self.row(item, line, Some(&key))?;
                }
                Ok(())
            }
            value => self.row(value, line, None),
        }
    }

    fn row(&mut self, value: Value, line: Option<u64>, place: Option<&str>) -> Result<(), Stop> {
        let fail = |reason: String| match place {
            Some(place) => format!("{place}: {reason}"),
            None => reason,
        };
        let detected = detect(&value);
        let Some(format) = self.ctx.format.or(detected).or(self.last_format) else {
            return self.problem(line, fail(unknown(&value)));
        };
        if detected.is_some() {
            self.last_format = detected;
        }
        let value = match value {
            Value::Object(event) if format == SourceFormat::CodeFuse => return self.event(event, line),
            other => other,
        };
        let name = self.name.clone();
        match convert(value, format, FileHint { name: &name }) {
            Ok(drafts) => {
                *self.report.formats.entry(format).or_default() += 1;
                drafts.into_iter().try_for_each(|draft| self.hand_over(draft))
            }
            Err(reject) => self.problem(line, fail(format!("cannot be read as {format}: {reject}"))),
        }
    }

    /// Takes in an event; one of another session begins another run.
    fn event(&mut self, event: Object, line: Option<u64>) -> Result<(), Stop> {
        if self.log.as_ref().is_some_and(|log| log.is_other(&event)) {
            self.end_of_log()?;
        }
        let limit = self.ctx.limits.document_bytes;
        let log = self.log.get_or_insert_default();
        let room = log.bytes() <= limit;
        if room {
            log.add(event);
        }
        if room && log.bytes() > limit {
            let reason =
                format!("the events are over the limit of {limit} bytes; those after this one are left out");
            return self.problem(line, reason);
        }
        Ok(())
    }

    fn end_of_log(&mut self) -> Result<(), Stop> {
        let Some(log) = self.log.take() else { return Ok(()) };
        *self.report.formats.entry(SourceFormat::CodeFuse).or_default() += 1;
        let draft = log.finish(&self.name);
        self.candidate(draft)
    }

    fn hand_over(&mut self, draft: Draft) -> Result<(), Stop> {
        match draft {
            Draft::Candidate(draft) => self.candidate(*draft),
            Draft::Outcome(outcome) => {
                self.report.outcomes += 1;
                self.emit(Record::Outcome(outcome))
            }
            Draft::TestRun { instance_id, run } => {
                self.report.test_runs += 1;
                self.emit(Record::TestRun { instance_id, run })
            }
            Draft::Issue { instance_id, text } => {
                self.report.issues += 1;
                self.emit(Record::Issue { instance_id, text })
            }
        }
    }

    fn candidate(&mut self, draft: CandidateDraft) -> Result<(), Stop> {
        let instance_id = draft.trajectory.instance_id.clone();
        let candidate_id = self.candidate_id(&draft);
        let outcome = labels::outcome(draft.stripped, &instance_id, &candidate_id);
        self.report.candidates += 1;
        self.report.outcomes += u64::from(outcome.is_some());
        let record = CandidateRecord {
            candidate: Candidate { candidate_id: candidate_id.clone(), trajectory: draft.trajectory },
            outcome,
            trajectory_path: draft.trajectory_path,
            scaffold_choice: draft.scaffold_choice,
        };
        self.emit(Record::Candidate(Box::new(record)))?;
        for mut run in draft.tests {
            run.candidate_id = Some(candidate_id.clone());
            self.report.test_runs += 1;
            self.emit(Record::TestRun { instance_id: instance_id.clone(), run })?;
        }
        Ok(())
    }

    /// The id that the record gives, else the file's name without the issue and the part of the record, else the start
    /// of the content address. The second of its name within the file ends in `#2`, and so on.
    fn candidate_id(&mut self, draft: &CandidateDraft) -> String {
        let instance_id = &draft.trajectory.instance_id;
        let id = draft.id.clone().unwrap_or_else(|| {
            let base = base_of_path(&self.ctx.name, instance_id);
            match (&draft.part, base.is_empty()) {
                (Some(part), true) => part.clone(),
                (Some(part), false) => format!("{base}/{part}"),
                (None, false) => base,
                (None, true) => draft.trajectory.content_id()[..12].to_owned(),
            }
        });
        let times = self.seen.entry((instance_id.clone(), id.clone())).or_default();
        *times += 1;
        if *times == 1 { id } else { format!("{id}#{times}") }
    }

    fn emit(&mut self, record: Record) -> Result<(), Stop> {
        match (self.sink)(record) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Asked),
        }
    }

    pub(super) fn problem(&mut self, line: Option<u64>, reason: String) -> Result<(), Stop> {
        let problem = Problem { file: self.ctx.name.clone(), line, reason };
        if self.ctx.strict {
            return Err(Stop::Strict(problem));
        }
        self.report.add_problem(problem);
        Ok(())
    }
}

fn is_conversation(items: &[Value]) -> bool {
    let first = items.first().and_then(Value::as_object);
    first.is_some_and(|first| is_message(first) || is_r2e_step(first))
}

/// Fields under which exports keep their rows.
const WRAPPERS: &[&str] = &["rows", "data", "predictions", "trajectories", "candidates", "instances"];

/// The rows of an export that wraps them, such as `{"rows": [{"row": …}]}`; anything else as it is.
fn unwrapped(value: Value) -> Value {
    if detect(&value).is_some() {
        return value;
    }
    let Value::Object(mut object) = value else { return value };
    let is_rows =
        |rows: &Value| rows.as_array().is_some_and(|rows| rows.first().is_some_and(Value::is_object));
    let Some(field) = WRAPPERS.iter().find(|field| object.get(**field).is_some_and(is_rows)) else {
        return Value::Object(object);
    };
    let mut rows = object.remove(*field).unwrap_or_default();
    for row in rows.as_array_mut().into_iter().flatten() {
        if let Some(inner @ Value::Object(_)) = row.get_mut("row") {
            *row = inner.take();
        }
    }
    rows
}

/// Predictions as a dict by instance, rather than a single one.
fn is_dict_of_rows(object: &Object) -> bool {
    !["model_patch", "fix_patch", "instance_id"].iter().any(|field| object.contains_key(*field))
}

fn unknown(value: &Value) -> String {
    let what = match value {
        Value::Object(object) => {
            let keys: Vec<&str> = object.keys().take(8).map(String::as_str).collect();
            format!("an object with the fields {}", keys.join(", "))
        }
        Value::Array(_) => "a list".to_owned(),
        _ => "neither an object nor a list".to_owned(),
    };
    format!("no known format: {what}; name the format (`--format`) if it is one of them")
}
