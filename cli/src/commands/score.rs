//! `entropo score`: what a model says.

mod raw;

use anyhow::Result;

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo score --raw --model DIR --input rows.jsonl                     tokens, logits, scores of each row\n  \
       entropo score --raw --model DIR --input rows.jsonl --logits last --top 5\n  \
       entropo score --raw --model DIR --input rows.jsonl --judge             probability of YES\n  \
       entropo score --raw --model DIR --input - --generate 64 --temperature 0.7 --top-p 0.8 --seed 1\n\n\
     A row has `input_ids`, or `text`, or `messages` (with `tools`, `add_generation_prompt`, `chat_template_kwargs`);\n\
     docs/score.md describes every field of rows and results."
);

/// Flags of `entropo score`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub raw: raw::RawArgs,
}

/// Scores.
pub fn run(args: &Args) -> Result<()> {
    raw::run(&args.raw)
}
