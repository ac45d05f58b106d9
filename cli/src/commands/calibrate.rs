//! `entropo calibrate`: fits the probabilities of a verifier to outcomes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use common::formats::decompress;
use serde::Deserialize;
use verifier::calibration::{Calibration, Method, Observed, Quality, held_out};
use verifier::native::Settings;

use crate::exit::BadInput;
use crate::input::walk;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo calibrate scores.jsonl pools/ --model models/judge    what it is worth, and into the model's entropo.json\n  \
       entropo calibrate scores.jsonl pools/ --method platt          only what it is worth\n\n\
     Rows are JSON lines with instance_id and candidate_id. Those with `logit` are scores, those with `resolved` are\n\
     labels; they are joined by both ids. The scores must be of runs that the model has not learned from."
);

/// Flags of `entropo calibrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Scores and labels, in one file or several: JSON lines, compressed or not
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Write the calibration into entropo.json of this model folder
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// platt (a logistic curve), isotonic (any rising curve), or auto: isotonic from 1,000 runs on
    #[arg(long, default_value = "auto", value_name = "METHOD", value_parser = method)]
    pub method: Method,
    /// Folds of issues by which its worth is measured
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    pub folds: u64,
    /// Print the calibration and the measurements as JSON
    #[arg(long)]
    pub json: bool,
}

/// What is read of a row; everything else in it is passed over.
#[derive(Deserialize)]
struct Row {
    instance_id: Option<String>,
    candidate_id: Option<String>,
    logit: Option<f64>,
    resolved: Option<bool>,
}

/// Scores and labels by issue and candidate.
#[derive(Debug, Default)]
struct Joined(BTreeMap<(String, String), (Option<f64>, Option<bool>)>);

/// Fits, measures, writes.
pub fn run(args: &Args) -> Result<()> {
    let mut joined = Joined::default();
    for file in walk::files(&args.files)? {
        let cannot = || format!("cannot read {}", file.path.display());
        let reader = BufReader::new(File::open(&file.path).with_context(cannot)?);
        joined.read(&file.name, decompress(reader).with_context(cannot)?)?;
    }
    let rows = joined.rows();
    let observed: Vec<Observed> = rows.iter().map(|(_, row)| *row).collect();
    let calibration =
        Calibration::fit(&observed, args.method).map_err(|error| BadInput(error.to_string()))?;
    let worth = held_out(&rows, args.method, args.folds);
    if let Some(dir) = &args.model {
        let settings = Settings { calibration: Some(calibration.clone()), ..Settings::load(dir)? };
        settings.save(dir)?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = serde_json::json!({ "runs": rows.len(), "calibration": calibration, "held_out": worth });
        serde_json::to_writer_pretty(&mut out, &report)?;
        return Ok(writeln!(out)?);
    }
    let resolved = observed.iter().filter(|row| row.resolved).count();
    writeln!(out, "{} runs, {resolved} resolved: {}", rows.len(), describe(&calibration))?;
    if let Some(worth) = worth {
        let line = |name: &str, of: Quality| {
            format!(
                "  {name:<11} calibration error {:.3}, Brier {:.3}, log loss {:.3}",
                of.expected_error, of.brier, of.log_loss
            )
        };
        writeln!(out, "on issues not fitted to ({} folds):", args.folds)?;
        writeln!(out, "{}", line("raw", worth.raw))?;
        writeln!(out, "{}", line("calibrated", worth.calibrated))?;
    }
    Ok(())
}

impl Joined {
    fn read(&mut self, name: &str, reader: impl BufRead) -> Result<()> {
        for (number, line) in (1..).zip(reader.lines()) {
            let line = line.with_context(|| format!("cannot read {name}"))?;
            if line.trim().is_empty() {
                continue;
            }
            let row: Row = serde_json::from_str(&line).map_err(|error| {
                BadInput(format!("{name}:{number}: not a row of scores or labels: {error}"))
            })?;
            let (Some(issue), Some(candidate)) = (row.instance_id, row.candidate_id) else { continue };
            let slot = self.0.entry((issue, candidate)).or_default();
            slot.0 = row.logit.or(slot.0);
            slot.1 = row.resolved.or(slot.1);
        }
        Ok(())
    }

    /// Rows with both, every issue counting the same however many candidates it has.
    fn rows(&self) -> Vec<(&str, Observed)> {
        let both = || {
            self.0
                .iter()
                .filter_map(|((issue, _), (logit, resolved))| Some((issue.as_str(), (*logit)?, (*resolved)?)))
        };
        let mut candidates: BTreeMap<&str, f64> = BTreeMap::new();
        for (issue, ..) in both() {
            *candidates.entry(issue).or_default() += 1.0;
        }
        let mean = both().count() as f64 / candidates.len().max(1) as f64;
        both()
            .map(|(issue, logit, resolved)| {
                (issue, Observed { logit, resolved, weight: mean / candidates[issue] })
            })
            .collect()
    }
}

fn describe(calibration: &Calibration) -> String {
    match calibration {
        Calibration::Platt { slope, intercept } => {
            format!(
                "probability = σ({slope:.3} · logit {} {:.3})",
                if *intercept < 0.0 { '−' } else { '+' },
                intercept.abs()
            )
        }
        Calibration::Isotonic { logits, .. } => format!("isotonic through {} points", logits.len()),
    }
}

fn method(text: &str) -> Result<Method, String> {
    match text {
        "auto" => Ok(Method::Auto),
        "platt" => Ok(Method::Platt),
        "isotonic" => Ok(Method::Isotonic),
        _ => Err(format!("`{text}` is not auto, platt or isotonic")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_and_labels_are_joined_by_both_ids() {
        let mut joined = Joined::default();
        let scores = r#"{"instance_id":"i","candidate_id":"a","logit":1.5,"probability":0.8}
            {"instance_id":"i","candidate_id":"b","logit":null}
            {"instance_id":"j","candidate_id":"a","logit":-1}
            {"instance_id":"i","candidate_id":"c","logit":0}"#;
        let labels = r#"{"instance_id":"i","candidate_id":"c","resolved":false}
            {"instance_id":"i","candidate_id":"a","resolved":true,"patch":"x"}

            {"instance_id":"i","candidate_id":"b","resolved":true}
            {"instance_id":"j","candidate_id":"a","resolved":true}"#;
        joined.read("scores", scores.as_bytes()).unwrap();
        joined.read("labels", labels.as_bytes()).unwrap();
        let row = |logit, resolved, weight| Observed { logit, resolved, weight };
        assert_eq!(
            joined.rows(),
            [("i", row(1.5, true, 0.75)), ("i", row(0.0, false, 0.75)), ("j", row(-1.0, true, 1.5))]
        );
        let error = joined.read("odd", "\n[1]\n".as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("odd:2: not a row of scores or labels"), "{error}");
    }
}
