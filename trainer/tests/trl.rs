//! Token ids and masks against those that TRL made (`fixtures/trl/record.py`).

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use serde::Deserialize;
use trainer::data::{
    Content, EncodeRules, Encoded, Encoder, Mask, OverLong, Tokens, load_rows, mismatched, unpaired,
};

#[derive(Deserialize)]
struct Run {
    kind: String,
    batch: usize,
    max_length: usize,
    batches: Vec<Batch>,
}

#[derive(Deserialize)]
struct Batch {
    input_ids: Vec<Vec<u32>>,
    attention_mask: Vec<Vec<u8>>,
    completion_mask: Option<Vec<Vec<u8>>>,
    label: Option<Vec<bool>>,
    #[serde(rename = "KL_input_ids")]
    kl_input_ids: Option<Vec<Vec<u32>>>,
    #[serde(rename = "KL_attention_mask")]
    kl_attention_mask: Option<Vec<Vec<u8>>>,
    #[serde(rename = "KL_completion_mask")]
    kl_completion_mask: Option<Vec<Vec<u8>>>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/trl")
}

/// Compares sequences with rows that are padded on the right. TRL marks the first token of a sequence without a prompt
/// too, but shifts it away before it counts.
fn compare(
    name: &str,
    ours: &[&Tokens],
    ids: &[Vec<u32>],
    attention: &[Vec<u8>],
    mask: Option<&Vec<Vec<u8>>>,
) {
    assert_eq!(ours.len(), ids.len(), "{name}: rows");
    for (row, tokens) in ours.iter().enumerate() {
        let length = attention[row].iter().map(|&seen| usize::from(seen)).sum();
        assert_eq!(tokens.ids, ids[row][..length], "{name}: ids of row {row}");
        if let Some(mask) = mask {
            let trained: Vec<bool> = (0..length).map(|at| at > 0 && mask[row][at] == 1).collect();
            assert_eq!(tokens.trained, trained, "{name}: mask of row {row}");
        }
    }
}

fn check(name: &str) {
    let runs = fixtures().join("runs");
    let run: Run =
        serde_json::from_str(&std::fs::read_to_string(runs.join(format!("{name}.json"))).unwrap()).unwrap();
    let loaded = load_rows(&runs.join(format!("{name}.rows.jsonl")), Mask::Completion).unwrap();
    assert_eq!(loaded.refused, []);
    let over_long = if run.kind == "reward" { OverLong::Drop } else { OverLong::CutRight };
    let rules = EncodeRules {
        mask: Mask::Completion,
        max_tokens: run.max_length,
        over_long,
        ..EncodeRules::default()
    };
    let encoder = Encoder::open(&fixtures(), rules).unwrap();
    let mut rows = loaded.rows;
    if run.kind == "kto" && rows.iter().any(|row| matches!(row.content, Content::Pair { .. })) {
        rows = unpaired(rows);
    }
    let mut kept = Vec::new();
    for encoded in encoder.encode_all(&rows) {
        match encoded {
            Ok(encoded) => kept.push(encoded),
            Err(error) => assert!(error.is_over_long(), "{name}: {error}"),
        }
    }
    assert_eq!(kept.len().div_ceil(run.batch), run.batches.len(), "{name}: batches");
    for (rows, batch) in kept.chunks(run.batch).zip(&run.batches) {
        let mask = batch.completion_mask.as_ref();
        if run.kind == "kto" {
            let (sequences, labels): (Vec<&Tokens>, Vec<bool>) = rows
                .iter()
                .map(|row| match row {
                    Encoded::Labelled { tokens, desirable } => (tokens, *desirable),
                    other => panic!("{name}: {other:?}"),
                })
                .unzip();
            compare(name, &sequences, &batch.input_ids, &batch.attention_mask, mask);
            assert_eq!(Some(&labels), batch.label.as_ref(), "{name}: labels");
            let others: Vec<Tokens> = (0..sequences.len())
                .map(|row| {
                    let before = sequences[(row + sequences.len() - 1) % sequences.len()];
                    mismatched(sequences[row], before, run.max_length)
                })
                .collect();
            let (ids, attention) =
                (batch.kl_input_ids.as_ref().unwrap(), batch.kl_attention_mask.as_ref().unwrap());
            compare(
                name,
                &others.iter().collect::<Vec<_>>(),
                ids,
                attention,
                batch.kl_completion_mask.as_ref(),
            );
        } else {
            let sides: (Vec<&Tokens>, Vec<&Tokens>) = rows
                .iter()
                .map(|row| match row {
                    Encoded::Pair { chosen, rejected, .. } => (chosen, rejected),
                    other => panic!("{name}: {other:?}"),
                })
                .unzip();
            compare(name, &[sides.0, sides.1].concat(), &batch.input_ids, &batch.attention_mask, mask);
        }
    }
}

#[test]
fn every_recorded_run_has_the_same_ids_and_masks() {
    let mut names: Vec<String> = std::fs::read_dir(fixtures().join("runs"))
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    names.sort();
    assert_eq!(names.len(), 15, "{names:?}");
    for name in names {
        check(&name);
    }
}
