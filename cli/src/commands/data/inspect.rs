//! `entropo data inspect`: rows as tokens.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use trainer::data::{
    EncodeError, EncodeRules, Encoded, Encoder, Mask, OverLong, Row, RowError, Tokens, load_rows,
};
use verifier::Layout;

use super::{
    mark::{Look, marked},
    named,
};
use crate::exit::BadInput;

/// Help that follows the flags.
pub(super) const EXAMPLES: &str = crate::examples!(
    "  entropo data inspect pairs.jsonl --model DIR                  counts, and the first row marked\n  \
       entropo data inspect pairs.jsonl --model DIR --row 7 --whole  line 7, nothing left out\n  \
       entropo data inspect pairs.jsonl --model DIR --mask completion\n  \
       entropo data inspect pairs.jsonl --model DIR --json           ids and masks of every row"
);

/// Untrained text that is shown at each end of a long stretch, in characters.
const SHOWN: usize = 300;

/// Lines of refusals that are printed.
const REFUSALS: usize = 20;

/// Flags of `entropo data inspect`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
pub(super) struct Args {
    /// Rows: JSON lines or a JSON list, compressed or not
    #[arg(value_name = "ROWS")]
    rows: PathBuf,
    /// Folder of the model whose tokenizer and chat template are used
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Show this line (of a list: this element) instead of the first row
    #[arg(long, value_name = "N")]
    row: Option<usize>,
    /// Which tokens carry a loss: policy, or completion as in TRL
    #[arg(long, value_name = "MASK", default_value = "policy", value_parser = named::<Mask>)]
    mask: Mask,
    /// The longest sequence in tokens, prompt included
    #[arg(long, value_name = "N", default_value_t = EncodeRules::default().max_tokens)]
    max_tokens: usize,
    /// The longest prompt in tokens
    #[arg(long, value_name = "N")]
    max_prompt_tokens: Option<usize>,
    /// What happens to longer rows: condense, drop, head-tail or cut-right
    #[arg(long, value_name = "RULE", default_value = "condense", value_parser = named::<OverLong>)]
    over_long: OverLong,
    /// How candidates are laid out for a verifier: compact-v1 or judge-v1
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<Layout>,
    /// Refuse rows in which a turn is rendered differently once others follow
    #[arg(long)]
    refuse_unstable: bool,
    /// Show text without a loss in full length
    #[arg(long)]
    whole: bool,
    /// Print a JSON line for every row: ids, masks, counts or why it cannot be used
    #[arg(long)]
    json: bool,
    /// End with code 3 when a row cannot be used
    #[arg(long)]
    strict: bool,
}

/// Encodes every row, counts, and shows one.
pub(super) fn run(args: &Args) -> Result<()> {
    let rules = EncodeRules {
        mask: args.mask,
        max_tokens: args.max_tokens,
        max_prompt_tokens: args.max_prompt_tokens,
        over_long: args.over_long,
        refuse_unstable: args.refuse_unstable,
        layout: args.layout,
    };
    let name = args.rows.display().to_string();
    let loaded = load_rows(&args.rows, args.mask)?;
    refuse(&name, &loaded.refused, args.strict)?;
    let encoder = Encoder::open(&args.model, rules)
        .with_context(|| format!("cannot read the tokenizer of {}", args.model.display()))?;
    if loaded.rows.is_empty() {
        bail!(BadInput(format!("{name}: no row that can be read")));
    }
    let encoded = encoder.encode_all(&loaded.rows);
    let mut out = std::io::stdout().lock();
    if args.json {
        for (row, encoded) in loaded.rows.iter().zip(&encoded) {
            writeln!(out, "{}", row_as_json(row, encoded))?;
        }
    } else {
        out.write_all(summary(&loaded.rows, &encoded).as_bytes())?;
        let wanted = match args.row {
            None => encoded.iter().position(Result::is_ok),
            Some(line) => {
                Some(loaded.rows.iter().position(|row| row.line == line).with_context(|| {
                    BadInput(format!("{name}: line {line} holds no row that can be read"))
                })?)
            }
        };
        if let Some(at) = wanted {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let look = Look { colour, shown: (!args.whole).then_some(SHOWN) };
            match &encoded[at] {
                Ok(row) => out.write_all(shown(&encoder, &loaded.rows[at], row, look)?.as_bytes())?,
                Err(error) => bail!(BadInput(format!("{name}:{}: {error}", loaded.rows[at].line))),
            }
        }
    }
    drop(out);
    let problems: Vec<String> = loaded
        .rows
        .iter()
        .zip(&encoded)
        .filter_map(|(row, encoded)| Some(format!("{name}:{}: {}", row.line, encoded.as_ref().err()?)))
        .collect();
    tell(&problems, args.strict)
}

/// Reports lines that cannot be read, with file and number; under `strict` the first is the error.
pub(super) fn refuse(name: &str, refused: &[RowError], strict: bool) -> Result<()> {
    let lines: Vec<String> =
        refused.iter().map(|error| format!("{name}:{}: {}", error.line, error.kind)).collect();
    tell(&lines, strict)
}

fn tell(problems: &[String], strict: bool) -> Result<()> {
    match problems.first() {
        Some(first) if strict => bail!(BadInput(first.clone())),
        _ => {}
    }
    let mut text = String::new();
    for problem in problems.iter().take(REFUSALS) {
        let _ = writeln!(text, "{problem}");
    }
    if problems.len() > REFUSALS {
        let _ = writeln!(
            text,
            "and {} more (--json has them, --strict stops at the first)",
            problems.len() - REFUSALS
        );
    }
    Ok(std::io::stderr().lock().write_all(text.as_bytes())?)
}

/// The sequences of a row by name.
fn parts(encoded: &Encoded) -> Vec<(String, &Tokens)> {
    match encoded {
        Encoded::Pair { chosen, rejected, .. } => {
            vec![("chosen".to_owned(), chosen), ("rejected".to_owned(), rejected)]
        }
        Encoded::Labelled { tokens, desirable } => {
            vec![(format!("completion ({})", if *desirable { "desirable" } else { "undesirable" }), tokens)]
        }
        Encoded::Demonstration { tokens } => vec![("completion".to_owned(), tokens)],
        Encoded::Candidates { candidates, .. } => candidates
            .iter()
            .map(|one| {
                let label = if one.resolved { "resolved" } else { "unresolved" };
                (format!("{} ({label})", one.id), &one.tokens)
            })
            .collect(),
    }
}

fn row_as_json(row: &Row, encoded: &Result<Encoded, EncodeError>) -> Value {
    let mut value = json!({"line": row.line, "instance_id": row.instance_id});
    match encoded {
        Err(error) => {
            value["error"] = json!(error.to_string());
            value["over_long"] = json!(error.is_over_long());
        }
        Ok(encoded) => {
            if let Encoded::Pair { shared, .. } | Encoded::Candidates { shared, .. } = encoded {
                value["shared"] = json!(shared);
            }
            value["parts"] = parts(encoded)
                .into_iter()
                .map(|(part, tokens)| {
                    json!({
                        "part": part, "tokens": tokens.ids.len(), "trained_tokens": tokens.trained_tokens(),
                        "prompt": tokens.prompt, "turn_ends": tokens.turn_ends, "shortened": tokens.shortened,
                        "input_ids": tokens.ids,
                        "trained": tokens.trained.iter().map(|&trained| u8::from(trained)).collect::<Vec<_>>(),
                    })
                })
                .collect();
        }
    }
    value
}

fn summary(rows: &[Row], encoded: &[Result<Encoded, EncodeError>]) -> String {
    let good: Vec<&Encoded> = encoded.iter().filter_map(|row| row.as_ref().ok()).collect();
    let over_long = encoded.iter().filter(|row| row.as_ref().is_err_and(EncodeError::is_over_long)).count();
    let sequences: Vec<&Tokens> = good.iter().flat_map(|row| row.sequences()).collect();
    let mut lengths: Vec<usize> = sequences.iter().map(|tokens| tokens.ids.len()).collect();
    lengths.sort_unstable();
    let tokens: usize = lengths.iter().sum();
    let trained: usize = sequences.iter().map(|tokens| tokens.trained_tokens()).sum();
    let condensed = sequences.iter().filter(|tokens| tokens.shortened.tokens > 0).count();
    let removed: usize = sequences.iter().map(|tokens| tokens.shortened.tokens).sum();
    let mut text = format!(
        "{} rows: {} usable, {over_long} too long, {} refused\n",
        rows.len(),
        good.len(),
        rows.len() - good.len() - over_long
    );
    if let (Some(least), Some(most)) = (lengths.first(), lengths.last()) {
        let median = lengths[lengths.len() / 2];
        let share = 100.0 * trained as f64 / tokens.max(1) as f64;
        let _ = writeln!(
            text,
            "{} sequences, {tokens} tokens ({least} to {most}, median {median}), {trained} trained ({share:.1} %)",
            lengths.len()
        );
    }
    if condensed > 0 {
        let _ = writeln!(text, "{condensed} sequences shortened by {removed} tokens");
    }
    text
}

/// One row, each sequence with a heading.
fn shown(encoder: &Encoder, row: &Row, encoded: &Encoded, look: Look) -> Result<String> {
    let mut text = String::new();
    for (part, tokens) in parts(encoded) {
        let _ = write!(
            text,
            "\n── line {}, {part}: {} tokens, {} trained in {} turns, {} of the prompt",
            row.line,
            tokens.ids.len(),
            tokens.trained_tokens(),
            tokens.turn_ends.len(),
            tokens.prompt
        );
        if tokens.shortened.tokens > 0 {
            let _ = write!(
                text,
                "; {} observations condensed, {} tokens taken out",
                tokens.shortened.observations, tokens.shortened.tokens
            );
        }
        let _ = writeln!(text, " ──\n{}", marked(encoder.tokenizer(), tokens, look)?.trim_end_matches('\n'));
    }
    Ok(text)
}
