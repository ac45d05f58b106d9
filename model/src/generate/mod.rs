//! Generation: one token after the other, each chosen from the model's logits.

mod draw;
pub mod logits;
mod model;
mod options;
mod stream;

use crate::tokenizer::Tokenizer;

pub use draw::Draws;
pub use model::Continuation;
pub use options::{Finish, GenerateError, GenerateOptions, Sampling};
pub use stream::TextStream;

/// Something that gives the logits of the next token.
pub trait NextLogits {
    /// Reads further tokens and gives the logits of what follows them, one for each id.
    fn next(&mut self, tokens: &[u32]) -> Result<Vec<f32>, GenerateError>;
}

impl<F: FnMut(&[u32]) -> Vec<f32>> NextLogits for F {
    fn next(&mut self, tokens: &[u32]) -> Result<Vec<f32>, GenerateError> {
        Ok(self(tokens))
    }
}

/// A generated token.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedToken {
    /// Its id.
    pub id: u32,
    /// Its log-probability by the model's own logits, before any processing, in nats.
    pub logprob: f32,
    /// The likeliest tokens with theirs, best first.
    pub top: Vec<(u32, f32)>,
}

/// What was generated.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The text, without special tokens and without the stop text.
    pub text: String,
    /// Every token that was drawn, the one that ended it included.
    pub tokens: Vec<GeneratedToken>,
    /// Why it ended.
    pub finish: Finish,
}

/// Continues a prompt. `on_text` is given the text as it settles and says whether to go on.
pub fn generate(
    model: &mut dyn NextLogits,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    options: &GenerateOptions,
    on_text: &mut dyn FnMut(&str) -> bool,
) -> Result<Generation, GenerateError> {
    let stream = TextStream::new(tokenizer, &options.stop);
    continued(model, stream, tokenizer.eos(), prompt, options, on_text)
}

/// Continues a prompt where there is no tokenizer: the result has no text, and only the ids in `eos` end it early.
pub fn generate_ids(
    model: &mut dyn NextLogits,
    eos: &[u32],
    prompt: &[u32],
    options: &GenerateOptions,
) -> Result<Generation, GenerateError> {
    if !options.stop.is_empty() {
        return Err(GenerateError::Options("stop: a stop text needs a tokenizer".to_owned()));
    }
    continued(model, TextStream::without_text(), eos, prompt, options, &mut |_| true)
}

fn continued(
    model: &mut dyn NextLogits,
    mut stream: TextStream<'_>,
    eos: &[u32],
    prompt: &[u32],
    options: &GenerateOptions,
    on_text: &mut dyn FnMut(&str) -> bool,
) -> Result<Generation, GenerateError> {
    options.sampling.check()?;
    if prompt.is_empty() {
        return Err(GenerateError::Empty);
    }
    let mut draws = Draws::new(options.sampling.seed);
    let (mut seen, mut tokens) = (prompt.to_vec(), Vec::new());
    let mut finish = Finish::Length;
    let mut unread = 0;
    while tokens.len() < options.max_tokens {
        let mut logits = model.next(&seen[unread..])?;
        unread = seen.len();
        let token =
            choose(&mut logits, &seen, options, &mut draws).ok_or(GenerateError::NotFinite(seen.len()))?;
        let id = token.id;
        tokens.push(token);
        seen.push(id);
        if !options.ignore_eos && eos.contains(&id) {
            finish = Finish::Eos(id);
            break;
        }
        if let Some(stop) = stream.push(id)? {
            finish = Finish::Stop(stop);
            break;
        }
        let ready = stream.ready();
        if !ready.is_empty() && !on_text(ready) {
            finish = Finish::Cancelled;
            break;
        }
    }
    let (text, rest) = stream.finish()?;
    if !rest.is_empty() && finish != Finish::Cancelled {
        on_text(&rest);
    }
    Ok(Generation { text, tokens, finish })
}

fn choose(
    logits: &mut [f32],
    seen: &[u32],
    options: &GenerateOptions,
    draws: &mut Draws,
) -> Option<GeneratedToken> {
    let total = logits::logsumexp(logits.iter().copied());
    if !total.is_finite() {
        return None;
    }
    let top = logits::likeliest(logits, options.top_logprobs);
    let own = (options.sampling.temperature > 0.0 || options.sampling.repetition_penalty != 1.0)
        .then(|| logits.to_vec());
    logits::process(logits, seen, &options.sampling);
    let id = if options.sampling.temperature > 0.0 { draws.token(logits)? } else { logits::argmax(logits)? };
    let logit = own.as_deref().unwrap_or(logits)[id as usize];
    Some(GeneratedToken { id, logprob: (f64::from(logit) - total) as f32, top })
}

#[cfg(test)]
mod tests;
