//! From batches of tokens to scores: packing, the model's pass, reading the heads.

use std::sync::Arc;

use model::LanguageModel;
use model::judge::Judge;

use super::forest::{Forest, common};
use crate::backend::{Payload, Prepared, RawScore};

/// How the model's output becomes a score.
#[derive(Debug, Clone)]
pub(super) enum Reading {
    /// A head of scores; this label is the score.
    Label(usize),
    /// YES against NO as the next token.
    Judge(Judge),
}

/// A model with what reads it.
#[derive(Debug, Clone)]
pub(super) struct Scorer {
    pub(super) model: LanguageModel,
    pub(super) reading: Reading,
    /// Tokens of one pass, shared ones counted once; a longer row has a pass of its own.
    pub(super) pass_tokens: usize,
}

/// Which rows go into one pass.
pub(super) type Pass = Vec<usize>;

impl Scorer {
    /// Divides a batch into passes: rows that begin alike stay together, and none exceeds the tokens of a pass.
    pub(super) fn passes(&self, rows: &[&[u32]]) -> Vec<Pass> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|&a, &b| rows[a].cmp(rows[b]).then(a.cmp(&b)));
        let mut passes: Vec<Pass> = Vec::new();
        let mut used = 0;
        for row in order {
            let length = rows[row].len();
            if let Some(pass) = passes.last_mut() {
                let shared = pass.last().map_or(0, |&before| common(rows[before], rows[row]));
                if used + length - shared <= self.pass_tokens {
                    used += length - shared;
                    pass.push(row);
                    continue;
                }
            }
            passes.push(vec![row]);
            used = length;
        }
        passes
    }

    /// Scores the rows of one pass, in the order given.
    pub(super) fn score(&self, rows: &[&Prepared]) -> Result<Vec<RawScore>, String> {
        let mut inputs = Vec::with_capacity(rows.len());
        for row in rows {
            match &row.payload {
                Payload::Tokens { ids, turn_ends } if !ids.is_empty() => {
                    inputs.push((ids.as_slice(), turn_ends.as_slice()));
                }
                _ => return Err("the batch holds a row that was prepared for another model".to_owned()),
            }
        }
        let forest = Forest::of(&inputs.iter().map(|(ids, _)| *ids).collect::<Vec<_>>());
        let layout = Arc::new(forest.layout().map_err(|error| error.to_string())?);
        // The heads see only the tokens that are read: turn ends, then the last token, row by row.
        let places: Vec<usize> = inputs
            .iter()
            .enumerate()
            .flat_map(|(row, (ids, turn_ends))| {
                turn_ends.iter().copied().chain([ids.len() - 1]).map(move |position| (row, position))
            })
            .map(|(row, position)| forest.place(row, position))
            .collect();
        let read =
            self.model.hidden_at(&forest.tokens, &layout, &places).map_err(|error| error.to_string())?;
        let out = match &self.reading {
            Reading::Label(_) => self.model.scores(read),
            Reading::Judge(_) => self.model.logits(read),
        };
        let out = out.ok_or("the model has no head for this layout")?;
        let width = out.dims()[1];
        let values: Vec<f32> =
            out.into_data().convert::<f32>().try_to_vec().map_err(|error| format!("{error:?}"))?;
        let mut at = values.chunks_exact(width);
        Ok(inputs
            .iter()
            .map(|(_, turn_ends)| {
                let read: Vec<&[f32]> = at.by_ref().take(turn_ends.len() + 1).collect();
                self.reading.score(&read)
            })
            .collect())
    }
}

impl Reading {
    /// The score of a row from the head's outputs at its turn ends and its last token.
    fn score(&self, read: &[&[f32]]) -> RawScore {
        let Some((last, turns)) = read.split_last() else { return RawScore::default() };
        match self {
            Self::Label(label) => {
                let labels: Vec<f64> = last.iter().map(|&value| f64::from(value)).collect();
                let turn_logits: Vec<f64> = turns.iter().map(|turn| f64::from(turn[*label])).collect();
                if labels.iter().chain(&turn_logits).all(|value| value.is_finite()) {
                    return RawScore {
                        logit: Some(labels[*label]),
                        turn_logits,
                        labels,
                        ..RawScore::default()
                    };
                }
                RawScore {
                    reason: Some("the model's head gave a value that is not finite".to_owned()),
                    ..RawScore::default()
                }
            }
            Self::Judge(judge) => match judge.read(last).logit {
                Some(logit) => RawScore { logit: Some(logit), labels: vec![logit], ..RawScore::default() },
                None => RawScore {
                    reason: Some("the model was about to say neither YES nor NO".to_owned()),
                    ..RawScore::default()
                },
            },
        }
    }
}
