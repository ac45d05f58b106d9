//! `entropo score --raw`: tokens, texts and conversations through a model folder, without a verifier's layout.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use model::generate::{GenerateOptions, Sampling};
use model::raw::{Detail, RawError, RawOptions, RawOutcome, RawRow, RawScorer};
use serde::Serialize;
use serde_json::Value;

use crate::exit::{BadInput, Usage};
use crate::output::atomic;
use crate::output::progress::{Progress, say};

/// How many logits and scores are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Logits {
    /// The likeliest token, log-probability and log-sum-exp at every position
    Summary,
    /// Also all logits at the last position
    Last,
    /// Also all logits, or scores, at every position
    All,
}

/// Flags of `entropo score --raw`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(next_help_heading = "Rows through a model (--raw)")]
pub struct RawArgs {
    /// Score rows of token ids, texts or conversations as they are
    #[arg(long, requires_all = ["model", "input"])]
    pub raw: bool,
    /// The model: a Hugging Face folder, or without --raw also the file of a linear one
    #[arg(long, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// Rows as JSON lines; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Where the results go, one line a row in the order of the rows; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Where to compute: cpu, cuda:N, wgpu:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Rows are computed together until they have this many tokens
    #[arg(long, value_name = "N", default_value_t = 8192)]
    pub batch_tokens: usize,
    /// How many logits and scores are written
    #[arg(long, value_enum, default_value_t = Logits::Summary)]
    pub logits: Logits,
    /// How many of the likeliest tokens at the last position
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
    /// Ask the YES/NO judge: the probability of YES after a forced `<judgement>`
    #[arg(long)]
    pub judge: bool,
    /// End with an error if an input cannot be read or a row cannot be scored
    #[arg(long)]
    pub strict: bool,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
    #[command(flatten)]
    pub generate: GenerateArgs,
}

/// Flags of generation.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Generation (--raw)")]
pub struct GenerateArgs {
    /// Continue each row by at most this many tokens
    #[arg(long, value_name = "TOKENS")]
    pub generate: Option<usize>,
    /// Divides the logits; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.0, requires = "generate")]
    pub temperature: f32,
    /// Draw among this many of the likeliest tokens; 0 takes all
    #[arg(long, value_name = "K", default_value_t = 0, requires = "generate")]
    pub top_k: usize,
    /// Draw among the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0, requires = "generate")]
    pub top_p: f32,
    /// Draw among tokens with at least this share of the likeliest one's probability
    #[arg(long, value_name = "P", default_value_t = 0.0, requires = "generate")]
    pub min_p: f32,
    /// Divide positive and multiply negative logits of tokens that occurred already
    #[arg(long, value_name = "R", default_value_t = 1.0, requires = "generate")]
    pub repetition_penalty: f32,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0, requires = "generate")]
    pub seed: u64,
    /// A text that ends the generation; may be repeated
    #[arg(long, value_name = "TEXT", requires = "generate")]
    pub stop: Vec<String>,
    /// Go on after end-of-sequence tokens
    #[arg(long, requires = "generate")]
    pub ignore_eos: bool,
    /// For each generated token write this many of the likeliest ones
    #[arg(long, value_name = "N", default_value_t = 0, requires = "generate")]
    pub top_logprobs: usize,
}

impl GenerateArgs {
    fn options(&self) -> Result<Option<GenerateOptions>> {
        let Some(max_tokens) = self.generate else { return Ok(None) };
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        };
        sampling.check().map_err(|error| Usage(format!("--{}", error.to_string().replacen('_', "-", 1))))?;
        Ok(Some(GenerateOptions {
            max_tokens,
            sampling,
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
            top_logprobs: self.top_logprobs,
        }))
    }
}

/// A line of output.
#[derive(Serialize)]
struct Line<'a> {
    line: usize,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Outcome(&'a RawOutcome),
    Failed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Value>,
        error: String,
    },
}

/// Scores the rows.
pub(super) fn run(args: &RawArgs) -> Result<()> {
    let (Some(folder), Some(input)) = (&args.model, &args.input) else {
        return Err(Usage("--raw needs --model DIR and --input FILE".to_owned()).into());
    };
    let options = RawOptions {
        detail: match args.logits {
            Logits::Summary => Detail::Summary,
            Logits::Last => Detail::Last,
            Logits::All => Detail::All,
        },
        top: args.top,
        judge: args.judge,
        generate: args.generate.options()?,
        batch_tokens: args.batch_tokens,
    };
    let device = model::device::parse(&args.device).map_err(|error| Usage(format!("--device: {error}")))?;
    let scorer = RawScorer::load(folder, &device, options)?;
    let reader = open(input)?;
    let name = input.display().to_string();
    atomic::write(&args.output, |out| score(&scorer, reader, &name, args, out))
}

fn open(input: &Path) -> Result<Box<dyn BufRead>> {
    if input == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = File::open(input).with_context(|| format!("cannot open {}", input.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

fn score(
    scorer: &RawScorer,
    reader: Box<dyn BufRead>,
    name: &str,
    args: &RawArgs,
    out: &mut dyn Write,
) -> Result<()> {
    let progress = Progress::new("scoring rows", 0, args.quiet);
    let unreadable = RefCell::new(None);
    // Line and id of every row so far.
    let seen = RefCell::new(Vec::new());
    let rows = reader.lines().enumerate().map_while(|(at, line)| match line {
        Ok(line) if line.trim().is_empty() => Some(None),
        Ok(line) => {
            let row = RawRow::parse(&line);
            let id = match &row {
                Ok(row) => row.id.clone(),
                Err(_) => serde_json::from_str::<Value>(&line).ok().and_then(|row| row.get("id").cloned()),
            };
            seen.borrow_mut().push((at + 1, id));
            Some(Some(row))
        }
        Err(error) => {
            *unreadable.borrow_mut() = Some((at + 1, error));
            None
        }
    });
    let mut failures = 0_usize;
    scorer.run(rows.flatten(), |at, outcome: Result<RawOutcome, RawError>| {
        let (line, id) = seen.borrow()[at].clone();
        let content = match &outcome {
            Ok(outcome) => Content::Outcome(outcome),
            Err(error) => {
                failures += 1;
                progress.warn(&format!("{name}:{line}: {error}"));
                Content::Failed { id: id.as_ref(), error: error.to_string() }
            }
        };
        serde_json::to_writer(&mut *out, &Line { line, content })?;
        out.write_all(b"\n")?;
        progress.step();
        anyhow::Ok(())
    })?;
    progress.finish();
    if let Some((line, error)) = unreadable.into_inner() {
        return Err(error).with_context(|| format!("cannot read {name}:{line}"));
    }
    if seen.borrow().is_empty() {
        return Err(BadInput(format!("{name}: there are no rows in it")).into());
    }
    if failures > 0 {
        let rows = seen.borrow().len();
        if args.strict {
            return Err(BadInput(format!("{name}: {failures} of {rows} rows could not be scored")).into());
        }
        say(&format!("{failures} of {rows} rows could not be scored"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/fixtures/agent");

    /// Runs the command on these rows and reads its result.
    fn scored(rows: &str, flags: &[&str]) -> (Result<()>, Vec<Value>) {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("rows.jsonl"), dir.path().join("out.jsonl"));
        std::fs::write(&input, rows).unwrap();
        let mut line = vec!["entropo", "score", "--raw", "-q", "--model", AGENT];
        line.extend(["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()]);
        line.extend(flags);
        let Command::Score(args) = Cli::parse_from(line).command else { panic!("it is score") };
        let result = super::super::run(&args);
        let text = std::fs::read_to_string(output).unwrap_or_default();
        (result, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn rows_of_every_kind_have_results_in_order() {
        let rows = r#"{"id": "chat", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}

{"id": 2, "text": "some text"}
{"input_ids": [1, 2, 3]}
{"id": "wrong", "input_ids": [100000]}
not json
"#;
        let (result, lines) =
            scored(rows, &["--logits", "last", "--judge", "--generate", "4", "--stop", "zzz"]);
        result.unwrap();
        let field = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
        assert_eq!(field("line"), [1, 3, 4, 5, 6]);
        assert_eq!(field("id"), [Value::from("chat"), 2.into(), Value::Null, "wrong".into(), Value::Null]);
        let chat = &lines[0];
        let tokens = chat["tokens"].as_u64().unwrap() as usize;
        for name in ["input_ids", "assistant_mask", "policy_mask", "turns"] {
            assert_eq!(chat[name].as_array().unwrap().len(), tokens, "{name}");
        }
        assert_eq!(chat["mask_source"], "generation-blocks");
        for line in &lines[..3] {
            assert_eq!(line["logits"]["last"].as_array().unwrap().len(), 416);
            assert_eq!(
                line["logits"]["last_ids"][0],
                line["logits"]["argmax"].as_array().unwrap().last().unwrap().clone()
            );
            assert_eq!(line["generation"]["ids"].as_array().unwrap().len(), 4);
            assert!(line["judge"]["mass"].is_number());
        }
        for line in &lines[3..] {
            assert!(line["error"].is_string() && line.get("logits").is_none(), "{line}");
        }
    }

    #[test]
    fn strict_refuses_and_an_empty_file_is_no_input() {
        let (result, lines) = scored("{\"input_ids\": []}\n", &["--strict"]);
        let error = result.unwrap_err();
        assert!(error.is::<BadInput>() && error.to_string().contains("1 of 1 rows"), "{error}");
        assert!(lines.is_empty(), "nothing is written");
        assert!(scored("\n", &[]).0.unwrap_err().is::<BadInput>());
    }

    #[test]
    fn flags_out_of_range_are_named() {
        let wrong = [
            (&["--generate", "1", "--top-p", "0"][..], "--top-p"),
            (&["--generate", "1", "--repetition-penalty", "0"], "--repetition-penalty"),
            (&["--device", "abacus"], "--device"),
        ];
        for (flags, flag) in wrong {
            let error = scored("{\"input_ids\": [1]}\n", flags).0.unwrap_err();
            assert!(error.is::<Usage>() && error.to_string().starts_with(flag), "{error}");
        }
    }
}
