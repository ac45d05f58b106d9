//! A batch of rows through the model.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{
    Detail, RawError, RawOptions, RawScorer,
    outcome::{GenerationOutcome, JudgeOutcome, LogitsOutcome, RawOutcome, TurnScore},
    row::{Prompt, RawRow},
};
use crate::{
    InputError, Layout,
    generate::{Continuation, generate, generate_ids, logits},
    judge::Judge,
};

/// Logits that are in memory at a time, in numbers.
const LOGITS_AT_A_TIME: usize = 1 << 24;

impl RawScorer {
    /// Scores rows in one pass. A row's result does not depend on the others.
    pub(super) fn batch(&self, rows: Vec<(RawRow, Prompt)>) -> Vec<Result<RawOutcome, RawError>> {
        let hidden = match self.hidden(&rows) {
            Ok(hidden) => hidden,
            Err(error) => {
                let reason = error.to_string();
                return rows.iter().map(|_| Err(RawError::Row(reason.clone()))).collect();
            }
        };
        let mut start = 0;
        let own = rows.into_iter().map(|(row, prompt)| {
            let length = prompt.ids.len();
            start += length;
            self.row(&row, prompt, hidden.clone().narrow(0, start - length, length))
        });
        own.collect()
    }

    /// Refuses tokens that the model does not have.
    pub(super) fn check(&self, ids: &[u32]) -> Result<(), RawError> {
        let vocabulary = self.model.config().vocabulary;
        match ids.iter().position(|id| *id as usize >= vocabulary) {
            Some(index) => Err(InputError::Vocabulary { index, id: ids[index], vocabulary }.into()),
            None => Ok(()),
        }
    }

    fn hidden(&self, rows: &[(RawRow, Prompt)]) -> Result<Tensor<2>, RawError> {
        let lengths: Vec<usize> = rows.iter().map(|(_, prompt)| prompt.ids.len()).collect();
        let ids: Vec<u32> = rows.iter().flat_map(|(_, prompt)| prompt.ids.iter().copied()).collect();
        let layout = Layout::packed(&lengths).map_err(|error| RawError::Row(error.to_string()))?;
        Ok(self.model.hidden(&ids, &Arc::new(layout))?)
    }

    fn row(&self, row: &RawRow, prompt: Prompt, hidden: Tensor<2>) -> Result<RawOutcome, RawError> {
        let judge = self.options.judge.then(|| self.judge(row, &prompt)).transpose()?;
        let generation = self.options.generate.is_some().then(|| self.generation(&prompt)).transpose()?;
        let turn_ends = prompt.turn_ends.clone();
        let mut outcome = RawOutcome::of(row.id.clone(), prompt);
        outcome.judge = judge;
        outcome.generation = generation;
        outcome.logits = self.logits(&outcome.input_ids, &hidden)?;
        self.scores(&mut outcome, hidden, &turn_ends)?;
        Ok(outcome)
    }

    fn logits(&self, ids: &[u32], hidden: &Tensor<2>) -> Result<Option<LogitsOutcome>, RawError> {
        if self.model.vocabulary_weight().is_none() {
            return Ok(None);
        }
        let RawOptions { detail, top, .. } = self.options;
        let mut outcome =
            LogitsOutcome { all: (detail == Detail::All).then(Vec::new), ..LogitsOutcome::default() };
        let rows = (LOGITS_AT_A_TIME / self.model.config().vocabulary).max(1);
        for start in (0..ids.len()).step_by(rows) {
            let part = hidden.clone().narrow(0, start, rows.min(ids.len() - start));
            let logits = self.model.logits(part).ok_or(RawError::NoTensor)?;
            let width = logits.dims()[1];
            let values = numbers(logits)?;
            for (at, row) in (start..).zip(values.chunks_exact(width)) {
                let total = logits::logsumexp(row.iter().copied());
                outcome.argmax.push(logits::argmax(row).unwrap_or(0));
                outcome.logsumexp.push(total as f32);
                if let Some(next) = ids.get(at + 1) {
                    outcome.logprobs.push((f64::from(row[*next as usize]) - total) as f32);
                } else {
                    outcome.last_ids = logits::likeliest(row, top).into_iter().map(|(id, _)| id).collect();
                    outcome.last_logits = outcome.last_ids.iter().map(|id| row[*id as usize]).collect();
                    outcome.last = (detail == Detail::Last).then(|| row.to_vec());
                }
                if let Some(all) = &mut outcome.all {
                    all.push(row.to_vec());
                }
            }
        }
        Ok(Some(outcome))
    }

    fn scores(
        &self,
        outcome: &mut RawOutcome,
        hidden: Tensor<2>,
        turn_ends: &[(usize, usize)],
    ) -> Result<(), RawError> {
        let Some(scores) = self.model.scores(hidden) else { return Ok(()) };
        let labels = scores.dims()[1];
        let values = numbers(scores)?;
        let at = |position: usize| values[position * labels..(position + 1) * labels].to_vec();
        let last = self.model.scored_at(&outcome.input_ids);
        outcome.scores = Some(at(last));
        outcome.score_position = Some(last);
        outcome.labels = self.model.config().labels().to_vec();
        outcome.turn_scores = turn_ends
            .iter()
            .map(|&(turn, position)| TurnScore { turn, position, scores: at(position) })
            .collect();
        outcome.all_scores = (self.options.detail == Detail::All)
            .then(|| values.chunks_exact(labels).map(<[f32]>::to_vec).collect());
        Ok(())
    }

    fn judge(&self, row: &RawRow, prompt: &Prompt) -> Result<JudgeOutcome, RawError> {
        let tokenizer = self.tokenizer.as_ref().ok_or(RawError::Needs("a judge", "a tokenizer.json"))?;
        let judge = Judge::new(tokenizer)?;
        let ids = row.judged(tokenizer, prompt)?;
        self.check(&ids)?;
        let layout = Layout::packed(&[ids.len()]).map_err(|error| RawError::Row(error.to_string()))?;
        let hidden = self.model.hidden(&ids, &Arc::new(layout))?.narrow(0, ids.len() - 1, 1);
        let logits = self.model.logits(hidden).ok_or(RawError::Needs("a judge", "a language head"))?;
        let verdict = judge.read(&numbers(logits)?);
        Ok(JudgeOutcome { probability: verdict.probability, logit: verdict.logit, mass: verdict.mass })
    }

    fn generation(&self, prompt: &Prompt) -> Result<GenerationOutcome, RawError> {
        let options = self.options.generate.as_ref().ok_or(RawError::NoTensor)?;
        let mut model = Continuation::new(&self.model);
        let generation = match &self.tokenizer {
            Some(tokenizer) => generate(&mut model, tokenizer, &prompt.ids, options, &mut |_| true)?,
            None => generate_ids(&mut model, &self.eos, &prompt.ids, options)?,
        };
        let tokens = &generation.tokens;
        Ok(GenerationOutcome {
            ids: tokens.iter().map(|token| token.id).collect(),
            logprobs: tokens.iter().map(|token| token.logprob).collect(),
            top_logprobs: if options.top_logprobs > 0 {
                tokens.iter().map(|token| token.top.clone()).collect()
            } else {
                Vec::new()
            },
            text: self.tokenizer.is_some().then_some(generation.text),
            finish: generation.finish,
        })
    }
}

fn numbers(tensor: Tensor<2>) -> Result<Vec<f32>, RawError> {
    tensor.into_data().try_into_vec::<f32>().map_err(|error| RawError::Row(format!("{error:?}")))
}
