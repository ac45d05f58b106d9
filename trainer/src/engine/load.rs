//! Files of rows become examples.

use std::{collections::BTreeMap, path::PathBuf};

use super::example::{Example, Lesson};
use crate::{
    config::{ObjectiveKind, RunConfig},
    data::{Content, EncodeError, Encoder, Row, load_rows, unpaired},
    run::{Event, Observer, RunError},
};

/// Rows that are encoded between two looks at the observer.
const CHUNK: usize = 256;
/// Lines that an error names.
const NAMED: usize = 10;

/// The examples of some files.
#[derive(Debug, Default)]
pub(crate) struct Dataset {
    pub(crate) examples: Vec<Example>,
    /// Rows that are not used, by the reason.
    pub(crate) dropped: BTreeMap<String, u64>,
    /// Rows that were shortened.
    pub(crate) shortened: u64,
    /// Over the content of the files.
    pub(crate) hash: String,
}

/// Reads and encodes files. A malformed row, or one that cannot be trained as the rules want, ends the run with its file
/// and line; rows that are too long, or teach nothing under the objective, are dropped and counted.
pub(crate) fn load(
    files: &[PathBuf],
    config: &RunConfig,
    encoder: &Encoder,
    stage: &str,
    observer: &dyn Observer,
) -> Result<Dataset, RunError> {
    let mut dataset = Dataset::default();
    let mut hasher = blake3::Hasher::new();
    let mut problems = Vec::new();
    let kind = config.objective.kind;
    for path in files {
        let loaded =
            load_rows(path, config.data.mask).map_err(|error| RunError::Refused(error.to_string()))?;
        hasher.update(loaded.hash.as_bytes());
        problems.extend(loaded.refused.iter().map(|error| format!("{}: {error}", path.display())));
        let rows = prepare(loaded.rows, kind);
        let total = rows.len() as u64;
        for (chunk, rows) in rows.chunks(CHUNK).enumerate() {
            if observer.stop() {
                return Err(RunError::Failed("stopped while the rows were read".to_owned()));
            }
            for (row, encoded) in rows.iter().zip(encoder.encode_all(rows)) {
                match encoded {
                    Ok(encoded) => {
                        let shortened = encoded.sequences().iter().any(|tokens| tokens.shortened.tokens > 0);
                        let example = Example::new(encoded, row.margin);
                        if let Some(reason) = useless(&example, kind) {
                            *dataset.dropped.entry(reason.to_owned()).or_default() += 1;
                        } else if let Some(reason) = unfit(&example, kind) {
                            problems.push(format!("{}: line {}: {reason}", path.display(), row.line));
                        } else {
                            dataset.shortened += u64::from(shortened);
                            dataset.examples.push(example);
                        }
                    }
                    Err(EncodeError::TooLong { .. } | EncodeError::CutAway { .. }) => {
                        *dataset.dropped.entry("too long".to_owned()).or_default() += 1;
                    }
                    Err(error) => problems.push(format!("{}: line {}: {error}", path.display(), row.line)),
                }
            }
            let done = ((chunk + 1) * CHUNK).min(rows.len() + chunk * CHUNK) as u64;
            observer.event(&Event::Progress { stage: stage.to_owned(), done, total });
        }
    }
    if !problems.is_empty() {
        let more = problems.len().saturating_sub(NAMED);
        problems.truncate(NAMED);
        let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
        return Err(RunError::Refused(format!("{}{more}", problems.join("\n"))));
    }
    Ok(Dataset { hash: hasher.finalize().to_hex()[..32].to_owned(), ..dataset })
}

/// Rows in the form that the objective learns from.
fn prepare(rows: Vec<Row>, kind: ObjectiveKind) -> Vec<Row> {
    match kind {
        ObjectiveKind::Kto | ObjectiveKind::EntropoKto => unpaired(rows),
        // Of a pair the better one is imitated.
        ObjectiveKind::Sft => rows
            .into_iter()
            .map(|row| match row.content {
                Content::Pair { prompt, chosen, .. } => {
                    Row { content: Content::Demonstration { prompt, completion: chosen }, ..row }
                }
                _ => row,
            })
            .collect(),
        _ => rows,
    }
}

/// Why a row teaches nothing, though it is well formed.
fn useless(example: &Example, kind: ObjectiveKind) -> Option<&'static str> {
    match (&example.lesson, kind) {
        (Lesson::Labelled { desirable: false }, ObjectiveKind::Sft) => Some("undesirable, not imitated"),
        (Lesson::Candidates { resolved }, ObjectiveKind::Listwise)
            if resolved.iter().all(|&label| label == resolved[0]) =>
        {
            Some("candidates of one outcome")
        }
        _ => None,
    }
}

/// Why the objective cannot learn from such a row.
fn unfit(example: &Example, kind: ObjectiveKind) -> Option<String> {
    let wanted = match (&example.lesson, kind) {
        (_, ObjectiveKind::Sft)
        | (Lesson::Labelled { .. }, ObjectiveKind::Kto | ObjectiveKind::EntropoKto) => return None,
        (Lesson::Pair { .. }, kind) if kind.takes_pairs() => return None,
        (
            Lesson::Pair { .. } | Lesson::Labelled { .. } | Lesson::Candidates { .. },
            ObjectiveKind::Binary | ObjectiveKind::BinaryTurns,
        )
        | (Lesson::Pair { .. } | Lesson::Candidates { .. }, ObjectiveKind::Listwise) => return None,
        (_, ObjectiveKind::Kto | ObjectiveKind::EntropoKto) => "rows with a label, or pairs",
        (_, ObjectiveKind::Binary | ObjectiveKind::BinaryTurns) => "rows with a label, pairs or candidates",
        (_, ObjectiveKind::Listwise) => "candidates of an issue, or pairs",
        _ => "pairs (chosen and rejected)",
    };
    let found = match example.lesson {
        Lesson::Pair { .. } => "a pair",
        Lesson::Labelled { .. } => "a row with a label",
        Lesson::Demonstration => "a demonstration",
        Lesson::Candidates { .. } => "candidates of an issue",
    };
    Some(format!("this is {found}, but the objective `{}` needs {wanted}", kind.word()))
}
