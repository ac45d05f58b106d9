//! Rows and steps as lines of JSON.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    config::{Objective, ReferenceScope, RunConfig},
    data::Tokens,
    engine::{
        example::{Example, Lesson},
        mismatch,
        order::Order,
    },
    export::io,
    run::RunError,
};

/// Writes lines.
pub(super) fn write(path: &Path, lines: impl Iterator<Item = Value>) -> Result<(), RunError> {
    let mut file = BufWriter::new(File::create(path).map_err(io(path))?);
    for line in lines {
        writeln!(file, "{line}").map_err(io(path))?;
    }
    file.flush().map_err(io(path))
}

fn mask(tokens: &Tokens) -> Vec<u8> {
    tokens.trained.iter().map(|&trained| u8::from(trained)).collect()
}

/// A row, with its place among the rows.
pub(super) fn row(at: usize, example: &Example) -> Value {
    match (&example.lesson, example.sequences.as_slice()) {
        (Lesson::Pair { .. }, [chosen, rejected]) => json!({
            "row": at,
            "prompt": chosen.prompt,
            "chosen_ids": chosen.ids,
            "chosen_mask": mask(chosen),
            "rejected_ids": rejected.ids,
            "rejected_mask": mask(rejected),
        }),
        (Lesson::Labelled { desirable }, [tokens, ..]) => {
            let (ids, masks): (Vec<u32>, Vec<u8>) =
                tokens.cut_off.iter().map(|&(id, trained)| (id, u8::from(trained))).unzip();
            json!({
                "row": at,
                "prompt": tokens.prompt,
                "ids": tokens.ids,
                "mask": mask(tokens),
                "label": desirable,
                // What was cut off a trajectory counts where it stands behind a shorter prompt.
                "cut_ids": ids,
                "cut_mask": masks,
            })
        }
        (_, sequences) => {
            let tokens = sequences.first().cloned().unwrap_or_default();
            json!({"row": at, "prompt": tokens.prompt, "ids": tokens.ids, "mask": mask(&tokens)})
        }
    }
}

/// The rows of each step, to the end of the last epoch; for KTO the mismatched row of each.
pub(super) fn steps<'a>(
    config: &'a RunConfig,
    examples: &'a [Example],
    order: &'a Order,
    steps: usize,
    micro: usize,
) -> impl Iterator<Item = Value> + 'a {
    let of_epoch = order.steps_of_epoch();
    let kto = matches!(config.objective.objective(), Objective::Kto(_));
    let scope = config.objective.reference_scope();
    (0..steps.div_ceil(of_epoch) * of_epoch).map(move |step| {
        let rows = order.rows_of(step);
        if !kto {
            return json!({"rows": rows});
        }
        let window = match scope {
            ReferenceScope::Step => rows.len().max(1),
            ReferenceScope::MicroBatch => micro,
        };
        let mut others = Vec::with_capacity(rows.len());
        for window in rows.chunks(window) {
            let pairs = match scope {
                ReferenceScope::Step => {
                    let mut pairs =
                        mismatch::partners(&window.iter().map(|&row| &examples[row]).collect::<Vec<_>>());
                    pairs.sort_unstable();
                    pairs
                }
                ReferenceScope::MicroBatch => mismatch::before(window.len()),
            };
            others.extend(pairs.into_iter().map(|(_, other)| window[other]));
        }
        json!({"rows": rows, "mismatched": others})
    })
}
