//! A language model as the source of logits.

use super::{GenerateError, NextLogits};
use crate::{KvCache, LanguageModel};

/// A model that reads on from where it stopped, by its cache.
#[derive(Debug)]
pub struct Continuation<'m> {
    model: &'m LanguageModel,
    cache: KvCache,
}

impl<'m> Continuation<'m> {
    /// Begins with nothing read. The model must not record gradients.
    pub fn new(model: &'m LanguageModel) -> Self {
        Self { model, cache: model.cache() }
    }
}

impl NextLogits for Continuation<'_> {
    fn next(&mut self, tokens: &[u32]) -> Result<Vec<f32>, GenerateError> {
        let failed = |reason: String| GenerateError::Model(reason);
        let hidden =
            self.model.hidden_cached(tokens, &mut self.cache).map_err(|error| failed(error.to_string()))?;
        let last = hidden.narrow(0, tokens.len() - 1, 1);
        let logits = self.model.logits(last).ok_or_else(|| failed("it has no language head".to_owned()))?;
        logits.into_data().try_into_vec::<f32>().map_err(|error| failed(format!("{error:?}")))
    }
}
