//! Prompts and continuations as tokens.

use model::{ChatRequest, Tokenizer};
use serde_json::{Value, json};

use super::{EncodeError, EncodeRules, Mask, Tokens, common, fit};
use crate::data::{Context, Text, clean};

/// Turns conversations and plain texts of one row into tokens.
pub(super) struct Conversations<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) context: &'a Context,
    pub(super) rules: EncodeRules,
}

impl Conversations<'_> {
    /// A prompt and what continues it, condensed where it is too long and the rules say so, but not yet cut.
    pub(super) fn tokens(&self, part: &str, prompt: &Text, rest: &Text) -> Result<Tokens, EncodeError> {
        match (prompt, rest) {
            (Text::Plain(prompt), Text::Plain(rest)) => self.plain(prompt, rest),
            (Text::Messages(prompt), Text::Messages(rest)) => self.conversation(part, prompt, rest),
            // Rows are read so that both are of one kind; made by hand they need not be.
            (Text::Messages(prompt), Text::Plain(rest)) => {
                self.conversation(part, prompt, &[json!({"role": "assistant", "content": rest})])
            }
            (Text::Plain(prompt), Text::Messages(rest)) => {
                self.conversation(part, &[json!({"role": "user", "content": prompt})], rest)
            }
        }
    }

    fn conversation(&self, part: &str, prompt: &[Value], rest: &[Value]) -> Result<Tokens, EncodeError> {
        let mut whole = [prompt, rest].concat();
        // TRL hands messages to the template as they stand.
        if self.rules.mask == Mask::Policy {
            whole.iter_mut().for_each(clean);
        }
        fit::fit(self.rules, whole, prompt.len(), |messages| self.messages(part, messages, prompt.len()))
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
    fn messages(&self, part: &str, messages: &[Value], prompt_turns: usize) -> Result<Tokens, EncodeError> {
        let chat = |error| EncodeError::Chat { part: part.to_owned(), error };
        let prompt_ids = if prompt_turns == 0 {
            Vec::new()
        } else {
            let request = self.request(&messages[..prompt_turns], true);
            let rendered = self.tokenizer.apply(&request);
            rendered.map_err(|error| EncodeError::Chat { part: "prompt".to_owned(), error })?.1.ids
        };
        if self.rules.mask == Mask::Completion {
            let ids = self.tokenizer.apply(&self.request(messages, false)).map_err(chat)?.1.ids;
            let prompt = common(&prompt_ids, &ids);
            return Ok(completion(ids, prompt));
        }
        let rendering = self.tokenizer.render_chat(&self.request(messages, false)).map_err(chat)?;
        if let (true, Some(unstable)) = (self.rules.refuse_unstable, rendering.unstable.first()) {
            return Err(EncodeError::Unstable { part: part.to_owned(), what: unstable.to_string() });
        }
        let of_prompt = |turn: &Option<usize>| turn.is_some_and(|turn| turn < prompt_turns);
        // What the template adds behind the prompt's own messages (a header) counts to the prompt too where it is the
        // same without a continuation.
        let own = rendering.turns.iter().take_while(|turn| of_prompt(turn)).count();
        let prompt = common(&prompt_ids, &rendering.ids).max(own);
        let trained = rendering.policy.iter().zip(&rendering.turns);
        let trained = trained.map(|(&policy, turn)| policy && !of_prompt(turn)).collect();
        let ends = rendering.turn_ends.iter().filter(|(turn, _)| *turn >= prompt_turns);
        let turn_ends = ends.map(|(_, place)| *place).collect();
        Ok(Tokens { ids: rendering.ids, trained, prompt, turn_ends, ..Tokens::default() })
    }

    /// Texts are tokenised together, and end with the end-of-sequence token.
    fn plain(&self, prompt: &str, rest: &str) -> Result<Tokens, EncodeError> {
        let eos = self.tokenizer.special().get("eos_token").map_or("", String::as_str);
        let end = if rest.ends_with(eos) { "" } else { eos };
        let prompt_ids = self.tokenizer.encode(prompt, true)?.ids;
        let ids = self.tokenizer.encode(&format!("{prompt}{rest}{end}"), true)?.ids;
        let prompt = common(&prompt_ids, &ids);
        Ok(completion(ids, prompt))
    }

    /// Gives both sides of a pair the same prompt: the shorter of both, if they agree on it.
    pub(super) fn align(&self, chosen: &mut Tokens, rejected: &mut Tokens) -> Result<(), EncodeError> {
        let prompt = chosen.prompt.min(rejected.prompt);
        let same = common(&chosen.ids, &rejected.ids);
        if same < prompt {
            return Err(EncodeError::Prompt { at: same, prompt });
        }
        for tokens in [chosen, rejected] {
            if self.rules.mask == Mask::Completion {
                tokens.trained[prompt..tokens.prompt].fill(true);
            }
            tokens.prompt = prompt;
        }
        Ok(())
    }
}

/// Everything behind the prompt is trained.
fn completion(ids: Vec<u32>, prompt: usize) -> Tokens {
    let trained = (0..ids.len()).map(|place| place >= prompt).collect();
    let turn_ends = vec![ids.len().saturating_sub(1)];
    Tokens { ids, trained, prompt, turn_ends, ..Tokens::default() }
}
