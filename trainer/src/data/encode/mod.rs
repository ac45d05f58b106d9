//! Rows as tokens, with the tokens that carry a loss marked.
//!
//! By default only what the policy wrote is trained: content, reasoning and tool calls of its turns with the token that
//! ends each, at every turn of the continuation. Observations, other turns, role headers and the template's glue never
//! are. [`Mask::Completion`] trains every token of the continuation, as TRL does, and exists to compare with it.

mod condense;
mod fit;

use model::{ChatError, ChatRequest, Tokenizer, TokenizerError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Content, Context, Row, Text};

pub use fit::{OverLong, Shortened};

/// Which tokens of a continuation carry a loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mask {
    /// What the policy wrote.
    #[default]
    Policy,
    /// Everything after the prompt, observations included: what TRL trains.
    Completion,
}

/// How rows become tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncodeRules {
    /// Which tokens carry a loss.
    pub mask: Mask,
    /// The longest sequence in tokens, prompt included.
    pub max_tokens: usize,
    /// What happens to longer ones.
    pub over_long: OverLong,
    /// Refuse rows in which a turn is rendered differently once others follow, although its tokens can be found: the
    /// policy is then trained on another context than it had.
    pub refuse_unstable: bool,
}

impl Default for EncodeRules {
    fn default() -> Self {
        Self { mask: Mask::Policy, max_tokens: 18_000, over_long: OverLong::Condense, refuse_unstable: false }
    }
}

/// One sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// The ids.
    pub ids: Vec<u32>,
    /// Whether each token carries a loss: its log-probability, given those before it, is trained. Never the first.
    pub trained: Vec<bool>,
    /// Leading tokens that are the prompt's.
    pub prompt: usize,
    /// Positions of the last trained token of each of the policy's turns, for losses of turns.
    pub turn_ends: Vec<usize>,
    /// What was taken out because the row was too long.
    pub shortened: Shortened,
}

impl Tokens {
    /// Number of trained tokens.
    pub fn trained_tokens(&self) -> usize {
        self.trained.iter().filter(|&&trained| trained).count()
    }
}

/// A row as tokens.
#[derive(Debug, Clone, PartialEq)]
pub enum Encoded {
    /// A pair; both begin with the same `shared` tokens, of which none is trained.
    Pair {
        /// The better one.
        chosen: Tokens,
        /// The worse one.
        rejected: Tokens,
        /// Leading tokens both have.
        shared: usize,
    },
    /// A sequence with a label.
    Labelled {
        /// The sequence.
        tokens: Tokens,
        /// Whether it is desirable.
        desirable: bool,
    },
    /// A sequence to imitate.
    Demonstration {
        /// The sequence.
        tokens: Tokens,
    },
}

/// Why a row cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The template refuses it, or its turns cannot be found.
    #[error("{part}: {error}")]
    Chat {
        /// `chosen`, `rejected`, `completion` or `prompt`.
        part: &'static str,
        /// Why.
        error: ChatError,
    },
    /// The tokenizer refuses it.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A turn is rendered differently once others follow, and that is not allowed.
    #[error(
        "{part}: {what}; the template is not stable under appending turns (set refuse_unstable = false to train on it)"
    )]
    Unstable {
        /// `chosen`, `rejected` or `completion`.
        part: &'static str,
        /// Which turn, and how.
        what: String,
    },
    /// Chosen and rejected do not begin with the prompt.
    #[error(
        "chosen and rejected do not share their prompt: the tokens part at {at}, before the prompt's end at {prompt}; pairs \
         must continue one prompt"
    )]
    Prompt {
        /// Where they part.
        at: usize,
        /// Where the prompt ends.
        prompt: usize,
    },
    /// Nothing in it carries a loss.
    #[error("{part}: no token carries a loss (is there a turn of the assistant in it?)")]
    NothingTrained {
        /// `chosen`, `rejected` or `completion`.
        part: &'static str,
    },
    /// Longer than allowed.
    #[error("{part}: {tokens} tokens, {limit} allowed")]
    TooLong {
        /// `chosen`, `rejected` or `completion`.
        part: &'static str,
        /// Its tokens, after condensing where that was allowed.
        tokens: usize,
        /// The limit.
        limit: usize,
    },
}

/// Turns a row into tokens.
pub fn encode(tokenizer: &Tokenizer, row: &Row, rules: EncodeRules) -> Result<Encoded, EncodeError> {
    let encoder = Encoder { tokenizer, context: &row.context, rules };
    match &row.content {
        Content::Pair { prompt, chosen, rejected } => {
            let (better, worse) =
                (encoder.part("chosen", prompt, chosen)?, encoder.part("rejected", prompt, rejected)?);
            let (chosen, rejected) = encoder.align(better, worse)?;
            let shared = common(&chosen.ids, &rejected.ids);
            let first = |tokens: &Tokens| tokens.trained.iter().position(|&trained| trained).unwrap_or(0);
            let shared = shared.min(first(&chosen)).min(first(&rejected));
            Ok(Encoded::Pair { chosen, rejected, shared })
        }
        Content::Labelled { prompt, completion, desirable } => Ok(Encoded::Labelled {
            tokens: encoder.part("completion", prompt, completion)?,
            desirable: *desirable,
        }),
        Content::Demonstration { prompt, completion } => {
            Ok(Encoded::Demonstration { tokens: encoder.part("completion", prompt, completion)? })
        }
    }
}

/// Length of the common beginning.
fn common<T: PartialEq>(left: &[T], right: &[T]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    context: &'a Context,
    rules: EncodeRules,
}

impl Encoder<'_> {
    fn part(&self, part: &'static str, prompt: &Text, rest: &Text) -> Result<Tokens, EncodeError> {
        let tokens = match (prompt, rest) {
            (Text::Messages(prompt), Text::Messages(rest)) => {
                let (prompt_turns, whole) = (prompt.len(), [prompt.as_slice(), rest].concat());
                fit::fit(self.rules, whole, prompt_turns, |messages| {
                    self.messages(part, messages, prompt_turns)
                })?
            }
            (Text::Plain(prompt), Text::Plain(rest)) => fit::cut(self.rules, self.plain(prompt, rest)?),
            // Rows are read so that both are of one kind.
            (Text::Messages(prompt), Text::Plain(rest)) => {
                let rest = Text::Messages(vec![serde_json::json!({"role": "assistant", "content": rest})]);
                return self.part(part, &Text::Messages(prompt.clone()), &rest);
            }
            (Text::Plain(prompt), Text::Messages(rest)) => {
                let prompt = Text::Messages(vec![serde_json::json!({"role": "user", "content": prompt})]);
                return self.part(part, &prompt, &Text::Messages(rest.clone()));
            }
        };
        if tokens.ids.len() > self.rules.max_tokens {
            return Err(EncodeError::TooLong {
                part,
                tokens: tokens.ids.len(),
                limit: self.rules.max_tokens,
            });
        }
        if tokens.trained_tokens() == 0 {
            return Err(EncodeError::NothingTrained { part });
        }
        Ok(tokens)
    }

    fn request<'b>(&'b self, messages: &'b [Value], add_generation_prompt: bool) -> ChatRequest<'b> {
        ChatRequest {
            messages,
            tools: self.context.tools.as_deref(),
            add_generation_prompt,
            kwargs: Some(&self.context.template),
            ..ChatRequest::default()
        }
    }

    /// A conversation whose first `prompt_turns` messages are the prompt.
    fn messages(
        &self,
        part: &'static str,
        messages: &[Value],
        prompt_turns: usize,
    ) -> Result<Tokens, EncodeError> {
        let chat = |error| EncodeError::Chat { part, error };
        let prompt_ids = if prompt_turns == 0 {
            Vec::new()
        } else {
            let request = self.request(&messages[..prompt_turns], true);
            self.tokenizer.apply(&request).map_err(|error| EncodeError::Chat { part: "prompt", error })?.1.ids
        };
        let mut tokens = match self.rules.mask {
            Mask::Completion => {
                let ids = self.tokenizer.apply(&self.request(messages, false)).map_err(chat)?.1.ids;
                let prompt = common(&prompt_ids, &ids);
                let trained = (0..ids.len()).map(|place| place >= prompt).collect();
                let turn_ends = vec![ids.len().saturating_sub(1)];
                Tokens { ids, trained, prompt, turn_ends, shortened: Shortened::default() }
            }
            Mask::Policy => {
                let rendering = self.tokenizer.render_chat(&self.request(messages, false)).map_err(chat)?;
                if let (true, Some(unstable)) = (self.rules.refuse_unstable, rendering.unstable.first()) {
                    return Err(EncodeError::Unstable { part, what: unstable.to_string() });
                }
                let prompt = common(&prompt_ids, &rendering.ids);
                let trained = rendering.policy.iter().zip(&rendering.turns);
                let trained = trained
                    .map(|(&policy, turn)| policy && turn.is_some_and(|turn| turn >= prompt_turns))
                    .collect();
                let ends = rendering.turn_ends.iter().filter(|(turn, _)| *turn >= prompt_turns);
                let turn_ends = ends.map(|(_, place)| *place).collect();
                Tokens { ids: rendering.ids, trained, prompt, turn_ends, shortened: Shortened::default() }
            }
        };
        if let Some(first) = tokens.trained.first_mut() {
            *first = false;
        }
        Ok(tokens)
    }

    /// Texts are tokenised together, and end with the end-of-sequence token.
    fn plain(&self, prompt: &str, rest: &str) -> Result<Tokens, EncodeError> {
        let eos = self.tokenizer.special().get("eos_token").map_or("", String::as_str);
        let end = if rest.ends_with(eos) { "" } else { eos };
        let prompt_ids = self.tokenizer.encode(prompt, true)?.ids;
        let ids = self.tokenizer.encode(&format!("{prompt}{rest}{end}"), true)?.ids;
        let prompt = common(&prompt_ids, &ids);
        let trained = (0..ids.len()).map(|place| place >= prompt.max(1)).collect();
        let turn_ends = vec![ids.len().saturating_sub(1)];
        Ok(Tokens { ids, trained, prompt, turn_ends, shortened: Shortened::default() })
    }

    /// Gives both sides of a pair the same prompt: what the two and the prompt's own rendering have in common.
    fn align(&self, mut chosen: Tokens, mut rejected: Tokens) -> Result<(Tokens, Tokens), EncodeError> {
        let shared = common(&chosen.ids, &rejected.ids);
        let prompt = chosen.prompt.min(rejected.prompt);
        if shared < prompt {
            return Err(EncodeError::Prompt { at: shared, prompt });
        }
        for tokens in [&mut chosen, &mut rejected] {
            tokens.prompt = prompt;
            if self.rules.mask == Mask::Completion {
                for (place, trained) in tokens.trained.iter_mut().enumerate() {
                    *trained = place >= prompt.max(1);
                }
            }
        }
        Ok((chosen, rejected))
    }
}

#[cfg(test)]
mod tests;
