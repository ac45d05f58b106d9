//! `entropo inspect`: what a file holds, in which format, and what would be stripped from it.

mod verifier_input;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result};
use common::formats::{self, Inspection, ReadContext, ReadError};
use serde::Serialize;

use crate::exit::BadInput;
use crate::input::shared_args::ReadArgs;
use crate::input::walk::{self, InputFile};

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo inspect output.jsonl              format, issues, candidates, labels, problems\n  \
       entropo inspect runs/ --json              every file of a folder, as JSON\n  \
       entropo inspect odd.json --format chat    read it as a format of your choice\n  \
       entropo inspect run.traj --verifier-input what a verifier would read of it, to the byte\n  \
       entropo inspect run.traj --verifier-input --layout judge-v1 --max-tokens 32000"
);

/// Flags of `entropo inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub input: verifier_input::InputArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub read: ReadArgs,
}

#[derive(Serialize)]
struct Inspected<'a> {
    file: &'a str,
    #[serde(flatten)]
    inspection: Inspection,
}

/// Prints what every file holds. Problems of a file are part of the answer; under `--strict` they are an error.
pub fn run(args: &Args) -> Result<()> {
    let files = walk::files(&args.files)?;
    if args.input.verifier_input {
        return verifier_input::run(&files, &args.input, args.read.options(), args.json);
    }
    let mut out = std::io::stdout().lock();
    let mut all = Vec::new();
    for file in &files {
        let inspection = inspect(file, args)?;
        if args.json {
            all.push(Inspected { file: &file.name, inspection });
        } else {
            out.write_all(describe(&file.name, &inspection).as_bytes())?;
        }
    }
    if args.json {
        serde_json::to_writer_pretty(&mut out, &all)?;
        writeln!(out)?;
    }
    Ok(())
}

fn inspect(file: &InputFile, args: &Args) -> Result<Inspection> {
    let opened = File::open(&file.path).with_context(|| format!("cannot open {}", file.path.display()))?;
    let context = ReadContext {
        format: args.read.format,
        strict: args.read.strict,
        ..ReadContext::named(file.name.clone())
    };
    formats::inspect(BufReader::with_capacity(1 << 16, opened), &context).map_err(|error| match error {
        ReadError::Strict(problem) => BadInput(problem.to_string()).into(),
        error @ ReadError::Io { .. } => error.into(),
    })
}

fn describe(name: &str, inspection: &Inspection) -> String {
    const SHOWN: usize = 5;
    let report = &inspection.report;
    let mut text = format!("{name}\n");
    let mut row = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<11} {value}");
    };
    let formats =
        report.formats.iter().map(|(format, count)| format!("{format} ({})", counted(*count, "record")));
    row("format", or_none(formats.collect::<Vec<_>>().join(", "), "none that is known"));
    if inspection.instances > 0 {
        let more = if inspection.instances > inspection.examples.len() as u64 { ", …" } else { "" };
        row("issues", format!("{}: {}{more}", inspection.instances, inspection.examples.join(", ")));
    }
    if report.candidates > 0 {
        row(
            "candidates",
            format!(
                "{}, {} with a patch, {} with a conversation ({})",
                report.candidates,
                inspection.with_patch,
                inspection.with_turns,
                counted(inspection.turns, "turn")
            ),
        );
        let exits = inspection.exits.iter().map(|(exit, count)| format!("{exit} {count}"));
        row("ended", exits.collect::<Vec<_>>().join(", "));
    }
    if report.test_runs > 0 {
        row("tests", counted(report.test_runs, "run"));
    }
    if report.issues > 0 {
        row("texts", counted(report.issues, "issue text"));
    }
    if inspection.labelled > 0 {
        row("labels", format!("{}, {} resolved", inspection.labelled, inspection.resolved));
    }
    let stripped = inspection.stripped.iter().map(|(path, count)| format!("{path} ({count})"));
    row("stripped", or_none(stripped.collect::<Vec<_>>().join(", "), "nothing"));
    for problem in report.problems.iter().take(SHOWN) {
        row("problem", problem.to_string());
    }
    let more = report.problems.len().saturating_sub(SHOWN) as u64 + report.problems_omitted;
    if more > 0 {
        row("problem", format!("and {more} more (--json has them)"));
    }
    text
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn or_none(text: String, none: &str) -> String {
    if text.is_empty() { none.to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(content: &str) -> String {
        let inspection = formats::inspect(content.as_bytes(), &ReadContext::named("preds.jsonl")).unwrap();
        describe("preds.jsonl", &inspection)
    }

    #[test]
    fn it_says_format_issues_and_what_is_stripped() {
        let text = inspected(
            r#"{"instance_id":"a__b-1","model_name_or_path":"m","model_patch":"diff --git a/x b/x\n","resolved":true}"#,
        );
        for part in ["predictions (1 record)", "1: a__b-1", "1 with a patch", "resolved"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_file_of_no_format_has_a_problem_with_a_reason() {
        let text = inspected("not json\n");
        assert!(text.contains("none that is known") && text.contains("problem"), "{text}");
    }
}
