//! `entropo generate`: rollouts of a model or a checkpoint.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use model::generate::{Continuation, Finish, GenerateOptions, Generation, Sampling, generate};
use model::raw::{RawError, RawRow};
use model::{LanguageModel, LoadOptions, Tokenizer};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::{BadInput, Usage};
use crate::output::atomic;
use crate::output::progress::{Progress, say};

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo generate models/coder --input prompts.jsonl --samples 8 --temperature 0.8 > rollouts.jsonl\n  \
       entropo generate runs/lora/checkpoint-200 --input prompts.jsonl --output rollouts.jsonl\n\n\
     A row has `messages` (with `tools`, `chat_template_kwargs`), or `text`, or `input_ids`; `prompt` may stand for\n\
     either of the first two, so that rows of training data can be used. A result has `prompt` and `completion` as\n\
     training data has them, with `sample`, `seed`, `finish`, `tokens` and `logprob` (nats, over all tokens)."
);

/// Flags of `entropo generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model folder, or a checkpoint's; adapters are merged for the time
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Rows as JSON lines; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where the results go; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Continuations of each row, each with a seed of its own
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1)]
    pub samples: u64,
    /// Tokens of a continuation at most
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub max_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    pub temperature: f32,
    /// Draw among this many of the likeliest tokens; 0 takes all
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub top_k: usize,
    /// Draw among the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f32,
    /// Divide positive and multiply negative logits of tokens that occurred already
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    pub repetition_penalty: f32,
    /// Seed of the first row's first sample; the others follow from it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// A text that ends a continuation; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Where to compute: cpu, cuda:N, wgpu:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}

/// A line of output.
#[derive(Serialize)]
struct Rollout<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    line: usize,
    sample: u64,
    seed: u64,
    prompt: Value,
    completion: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a [Value]>,
    finish: &'a Finish,
    tokens: usize,
    logprob: f64,
}

/// Generates.
pub fn run(args: &Args) -> Result<()> {
    let options = options(args)?;
    let device = model::device::parse(&args.device).map_err(|error| Usage(format!("--device: {error}")))?;
    let merged = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = if args.model.join("adapter_config.json").is_file() {
        let folder = merged.path().join("model");
        trainer::export::export(&args.model, None, &folder)?;
        folder
    } else {
        args.model.clone()
    };
    let tokenizer = Tokenizer::load(&folder)?;
    let model = LanguageModel::load(&folder, &device, &LoadOptions::default())?;
    if model.vocabulary_weight().is_none() {
        let folder = args.model.display();
        return Err(BadInput(format!("{folder} has no head over the vocabulary: it cannot generate")).into());
    }
    let rows = read(&args.input)?;
    let progress = Progress::new("generating", rows.len() * args.samples as usize, args.quiet);
    atomic::write(&args.output, |out| {
        for (at, (line, row)) in rows.iter().enumerate() {
            let failed = || format!("{}:{line}", args.input.display());
            let prompt = row.prompt(Some(&tokenizer)).with_context(failed)?;
            for sample in 0..args.samples {
                let seed = args.seed.wrapping_add(at as u64 * args.samples + sample);
                let sampling = Sampling { seed, ..options.sampling.clone() };
                let options = GenerateOptions { sampling, ..options.clone() };
                let mut from = Continuation::new(&model);
                let made = generate(&mut from, &tokenizer, &prompt.ids, &options, &mut |_| true);
                let made = made.with_context(failed)?;
                serde_json::to_writer(&mut *out, &result(row, *line, sample, seed, &made))?;
                out.write_all(b"\n")?;
                progress.step();
            }
        }
        Ok(())
    })?;
    progress.finish();
    if !args.quiet && args.output != Path::new("-") {
        let count = rows.len() as u64 * args.samples;
        say(&format!("{count} continuations of {} rows are in {}", rows.len(), args.output.display()));
    }
    Ok(())
}

fn options(args: &Args) -> Result<GenerateOptions> {
    let sampling = Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        repetition_penalty: args.repetition_penalty,
        ..Sampling::default()
    };
    sampling.check().map_err(|error| Usage(format!("--{}", error.to_string().replacen('_', "-", 1))))?;
    let (max_tokens, stop) = (args.max_tokens, args.stop.clone());
    Ok(GenerateOptions { max_tokens, sampling, stop, ..GenerateOptions::default() })
}

fn read(input: &Path) -> Result<Vec<(usize, RawRow)>> {
    let name = input.display();
    let reader: Box<dyn BufRead> = if input == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(input).with_context(|| format!("cannot open {name}"))?))
    };
    let mut rows = Vec::new();
    for (at, line) in (1..).zip(reader.lines()) {
        let line = line.with_context(|| format!("cannot read {name}:{at}"))?;
        if !line.trim().is_empty() {
            let row = parse(&line).map_err(|error| BadInput(format!("{name}:{at}: {error}")))?;
            rows.push((at, row));
        }
    }
    if rows.is_empty() {
        return Err(BadInput(format!("{name}: there are no rows in it")).into());
    }
    Ok(rows)
}

/// A row; `prompt` of training data is a conversation or a text. A conversation is continued by an assistant's turn.
fn parse(line: &str) -> Result<RawRow, RawError> {
    let mut fields: Value = serde_json::from_str(line).map_err(|error| RawError::Row(error.to_string()))?;
    if let Some(prompt) = fields.as_object_mut().and_then(|fields| fields.remove("prompt")) {
        let name = if prompt.is_string() { "text" } else { "messages" };
        fields[name] = prompt;
    }
    let mut row = RawRow::parse(&fields.to_string())?;
    row.add_generation_prompt = true;
    Ok(row)
}

fn result<'a>(row: &'a RawRow, line: usize, sample: u64, seed: u64, made: &'a Generation) -> Rollout<'a> {
    let (prompt, completion) = match (&row.messages, &row.text, &row.input_ids) {
        (Some(messages), _, _) => (json!(messages), json!([{"role": "assistant", "content": made.text}])),
        (None, Some(text), _) => (json!(text), json!(made.text)),
        (None, None, ids) => (json!(ids), json!(made.text)),
    };
    Rollout {
        id: row.id.as_ref(),
        line,
        sample,
        seed,
        prompt,
        completion,
        tools: row.tools.as_deref(),
        finish: &made.finish,
        tokens: made.tokens.len(),
        logprob: made.tokens.iter().map(|token| f64::from(token.logprob)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/fixtures/agent");

    fn generated(rows: &str, flags: &[&str]) -> (Result<()>, Vec<Value>) {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("rows.jsonl"), dir.path().join("out.jsonl"));
        std::fs::write(&input, rows).unwrap();
        let mut line = vec!["entropo", "generate", AGENT, "-q", "--max-tokens", "6"];
        line.extend(["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()]);
        line.extend(flags);
        let Command::Generate(args) = Cli::parse_from(line).command else { panic!("it is generate") };
        let result = run(&args);
        let text = std::fs::read_to_string(output).unwrap_or_default();
        (result, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn rollouts_are_rows_of_training_data_and_can_be_repeated() {
        let rows = "{\"id\": 7, \"prompt\": [{\"role\": \"user\", \"content\": \"hi\"}], \"chosen\": []}\n\n\
                    {\"text\": \"some text\"}\n";
        let (result, lines) = generated(rows, &["-n", "3", "--temperature", "1.5", "--seed", "9"]);
        result.unwrap();
        let field = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
        assert_eq!(field("line"), [1, 1, 1, 3, 3, 3]);
        assert_eq!(field("seed"), [9, 10, 11, 12, 13, 14]);
        assert_eq!((&lines[0]["id"], &lines[3]["id"]), (&json!(7), &Value::Null));
        assert_eq!(lines[0]["prompt"][0]["content"], "hi");
        assert_eq!(lines[0]["completion"][0]["role"], "assistant");
        assert!(lines[3]["completion"].is_string() && lines[3]["logprob"].as_f64().unwrap() < 0.0);
        let texts: std::collections::BTreeSet<String> =
            lines[..3].iter().map(|line| line["completion"].to_string()).collect();
        assert!(texts.len() > 1, "samples differ: {texts:?}");
        let (_, again) = generated(rows, &["-n", "3", "--temperature", "1.5", "--seed", "9"]);
        assert_eq!(lines, again);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (result, lines) = generated("{\"id\": 1}\n", &[]);
        let error = result.unwrap_err();
        assert!(error.is::<BadInput>() && error.to_string().contains("rows.jsonl:1: "), "{error}");
        assert!(lines.is_empty());
        assert!(generated("\n", &[]).0.unwrap_err().is::<BadInput>());
        assert!(generated("{\"text\": \"x\"}\n", &["--top-p", "0"]).0.unwrap_err().is::<Usage>());
    }
}
