//! `entropo inspect --verifier-input`: exactly what a verifier would read of each candidate.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use common::Candidate;
use common::formats::Record;
use serde::Serialize;
use verifier::input::{self, Fitted, Place};
use verifier::native::Reader;
use verifier::{Condensed, Example, Layout, PrepareError};

use crate::exit::Usage;
use crate::input::load::{self, Options};
use crate::input::walk::InputFile;

/// Flags that go with `--verifier-input`.
#[derive(Debug, Args)]
#[command(next_help_heading = "What a verifier reads")]
pub struct InputArgs {
    /// Print what a verifier would read of every candidate: docs/verifier-input.md describes it
    #[arg(long)]
    pub verifier_input: bool,
    /// The layout: judge-v1 (a language model that answers YES or NO) or compact-v1 (a reward head)
    #[arg(long, default_value_t = Layout::CompactV1, value_name = "LAYOUT", requires = "verifier_input")]
    pub layout: Layout,
    /// Condense what has more tokens than this
    #[arg(long, value_name = "N", requires = "verifier_input")]
    pub max_tokens: Option<usize>,
    /// Count tokens with the tokenizer of this model folder, and read what its chat template leaves room for
    #[arg(long, value_name = "DIR", requires = "verifier_input")]
    pub tokenizer: Option<PathBuf>,
    /// Only the candidate with this id
    #[arg(long, value_name = "ID", requires = "verifier_input")]
    pub candidate: Option<String>,
}

/// What is read of one candidate.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    file: &'a str,
    instance_id: &'a str,
    candidate_id: &'a str,
    layout: Layout,
    /// What counted the tokens.
    counted_by: &'static str,
    /// Tokens of what is read; of what cannot be condensed further when it does not fit.
    tokens: usize,
    max_tokens: Option<usize>,
    condensed: Option<Condensed>,
    /// Why a model would refuse it.
    refused: Option<String>,
    messages: Vec<Message>,
    /// Where assistant turns end.
    turn_ends: Vec<Place>,
    /// Up to where every candidate of the issue has the same text.
    shared: Option<Place>,
}

#[derive(Debug, Serialize)]
struct Message {
    role: String,
    content: String,
}

/// Prints what is read of every candidate in the files. Nothing is held but one candidate and the texts of issues.
pub(super) fn run(files: &[InputFile], args: &InputArgs, options: Options, json: bool) -> Result<()> {
    if args.layout == Layout::FeaturesV1 {
        return Err(Usage("layout features-v1 is no text; choose judge-v1 or compact-v1".to_owned()).into());
    }
    let reader = args.tokenizer.as_deref().map(|dir| Reader::open(dir, args.layout)).transpose()?;
    let issues = issues(files, options)?;
    let mut out = std::io::stdout().lock();
    let mut failure = Ok(());
    let mut first = true;
    if json {
        write!(out, "[")?;
    }
    for file in files {
        load::records(file, options, &mut |record| {
            let Record::Candidate(record) = record else { return };
            if failure.is_err()
                || args.candidate.as_ref().is_some_and(|id| *id != record.candidate.candidate_id)
            {
                return;
            }
            let issue = issues.get(&record.candidate.trajectory.instance_id).map_or("", String::as_str);
            let example = Example { issue: issue.into(), candidate: Arc::new(record.candidate) };
            let shown = show(&file.name, &example, args, reader.as_ref());
            failure = if json { as_json(&mut out, &shown, first) } else { as_text(&mut out, &shown) };
            first = false;
        })?;
    }
    failure?;
    if json {
        writeln!(out, "\n]")?;
    }
    Ok(())
}

/// Texts of issues that stand in files of their own.
fn issues(files: &[InputFile], options: Options) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for file in files {
        load::records(file, options, &mut |record| {
            if let Record::Issue { instance_id, text } = record {
                found.insert(instance_id, text);
            }
        })?;
    }
    Ok(found)
}

fn show<'a>(file: &'a str, example: &'a Example, args: &InputArgs, reader: Option<&Reader>) -> Shown<'a> {
    let Candidate { candidate_id, trajectory } = &*example.candidate;
    let mut shown = Shown {
        file,
        instance_id: &trajectory.instance_id,
        candidate_id,
        layout: args.layout,
        counted_by: if reader.is_some() { "tokenizer" } else { "estimate" },
        tokens: 0,
        max_tokens: args.max_tokens,
        condensed: None,
        refused: None,
        messages: Vec::new(),
        turn_ends: Vec::new(),
        shared: None,
    };
    match fit(example, args, reader) {
        Ok(fitted) => {
            let chat = fitted.document.chat().into_iter();
            shown.messages = chat.map(|(role, content)| Message { role, content }).collect();
            shown.turn_ends = fitted.document.turn_ends();
            shown.shared = Some(fitted.document.shared());
            shown.tokens = fitted.tokens;
            shown.condensed = fitted.condensed;
        }
        Err(error) => {
            if let PrepareError::TooLong { tokens, .. } = &error {
                shown.tokens = *tokens;
            }
            shown.refused = Some(error.to_string());
        }
    }
    shown
}

fn fit<'a>(
    example: &'a Example,
    args: &InputArgs,
    reader: Option<&Reader>,
) -> Result<Fitted<'a>, PrepareError> {
    let id = &example.candidate.candidate_id;
    let document = input::lay_out(example, args.layout).expect("layouts without text were refused before");
    let limit = args.max_tokens.unwrap_or(usize::MAX);
    match reader {
        Some(reader) => reader.fit(document, id, limit, true),
        None => input::fit(document, limit, true, &input::estimate_tokens)
            .map_err(|error| input::too_long(id, error)),
    }
}

fn as_json(out: &mut impl Write, shown: &Shown<'_>, first: bool) -> Result<()> {
    writeln!(out, "{}", if first { "" } else { "," })?;
    Ok(serde_json::to_writer_pretty(out, shown)?)
}

fn as_text(out: &mut impl Write, shown: &Shown<'_>) -> Result<()> {
    let Shown { file, instance_id, candidate_id, layout, tokens, .. } = shown;
    let about = if shown.counted_by == "estimate" { "about " } else { "" };
    writeln!(out, "━━━ {file} · {instance_id} · {candidate_id}: {layout}, {about}{tokens} tokens")?;
    if let Some(condensed) = &shown.condensed {
        writeln!(out, "━━━ {}", describe(condensed, about))?;
    }
    if let Some(reason) = &shown.refused {
        writeln!(out, "━━━ refused: {reason}")?;
    }
    for message in &shown.messages {
        writeln!(out, "─── {}\n{}", message.role, message.content)?;
    }
    Ok(())
}

/// What was condensed, in words.
fn describe(condensed: &Condensed, about: &str) -> String {
    let list = |turns: &[usize]| turns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "condensed from {about}{} tokens: observations of turns {}",
        condensed.full_tokens,
        list(&condensed.turns)
    );
    if !condensed.thoughts.is_empty() {
        let _ = write!(text, "; thoughts of turns {}", list(&condensed.thoughts));
    }
    text
}
