//! Rows in: token ids, a text or a conversation.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::RawError;
use crate::{
    chat::{ChatError, ChatRequest, Rendering},
    tokenizer::Tokenizer,
};

/// One row of input. Exactly one of `input_ids`, `text` and `messages` is given; fields that are not named here are
/// passed over.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawRow {
    /// Handed through to the result.
    #[serde(default)]
    pub id: Option<Value>,
    /// Token ids.
    #[serde(default)]
    pub input_ids: Option<Vec<u32>>,
    /// With `input_ids`: the position of the last token of every turn that is to be scored.
    #[serde(default)]
    pub turn_ends: Vec<usize>,
    /// A text.
    #[serde(default)]
    pub text: Option<String>,
    /// With `text`: whether the tokenizer puts its special tokens around it.
    #[serde(default)]
    pub add_special_tokens: Option<bool>,
    /// A conversation.
    #[serde(default)]
    pub messages: Option<Vec<Value>>,
    /// With `messages`: schemas of the tools.
    #[serde(default)]
    pub tools: Option<Vec<Value>>,
    /// With `messages`: documents.
    #[serde(default)]
    pub documents: Option<Vec<Value>>,
    /// With `messages`: whether the header of an assistant turn ends the prompt.
    #[serde(default)]
    pub add_generation_prompt: bool,
    /// With `messages`: further variables of the template.
    #[serde(default, alias = "template_kwargs")]
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// With `messages`: a template or the name of one.
    #[serde(default)]
    pub chat_template: Option<String>,
}

/// A row's tokens and what is known about them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompt {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Message and position of the last token of every turn to be scored; for token ids the count of the turn.
    pub turn_ends: Vec<(usize, usize)>,
    /// Of a conversation.
    pub rendering: Option<Rendering>,
    /// Of a conversation of which the policy's tokens cannot be found: its text, and why.
    pub unmasked: Option<(String, String)>,
}

impl RawRow {
    /// Reads a row.
    pub fn parse(line: &str) -> Result<Self, RawError> {
        let row: Self = serde_json::from_str(line).map_err(|error| RawError::Row(error.to_string()))?;
        let given = [row.input_ids.is_some(), row.text.is_some(), row.messages.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(RawError::Row("a row needs one of `input_ids`, `text` and `messages`".to_owned()));
        }
        Ok(row)
    }

    /// The row's tokens.
    pub fn prompt(&self, tokenizer: Option<&Tokenizer>) -> Result<Prompt, RawError> {
        let prompt = match (&self.input_ids, &self.text) {
            (Some(ids), _) => {
                if let Some(end) = self.turn_ends.iter().find(|end| **end >= ids.len()) {
                    return Err(RawError::Row(format!(
                        "turn_ends: {end} is not a position of {} tokens",
                        ids.len()
                    )));
                }
                let turn_ends = self.turn_ends.iter().copied().enumerate().collect();
                Prompt { ids: ids.clone(), turn_ends, ..Prompt::default() }
            }
            (None, Some(text)) => {
                let special = self.add_special_tokens.unwrap_or(true);
                let encoded = needed(tokenizer)?.encode(text, special)?;
                Prompt { ids: encoded.ids, ..Prompt::default() }
            }
            (None, None) => {
                let (tokenizer, request) =
                    (needed(tokenizer)?, self.chat_request(self.add_generation_prompt));
                match tokenizer.render_chat(&request) {
                    Ok(rendering) => Prompt {
                        ids: rendering.ids.clone(),
                        turn_ends: rendering.turn_ends.clone(),
                        rendering: Some(rendering),
                        ..Prompt::default()
                    },
                    Err(lost @ ChatError::Lost(_)) => {
                        let (text, encoded) = tokenizer.apply(&request)?;
                        Prompt {
                            ids: encoded.ids,
                            unmasked: Some((text, lost.to_string())),
                            ..Prompt::default()
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        if prompt.ids.is_empty() {
            return Err(RawError::Row("the row has no tokens".to_owned()));
        }
        Ok(prompt)
    }

    /// The tokens that the judge's answer follows: a conversation with the header of an assistant turn, and the forced
    /// beginning of the answer.
    pub(super) fn judged(&self, tokenizer: &Tokenizer, prompt: &Prompt) -> Result<Vec<u32>, RawError> {
        let forced = crate::judge::FORCED;
        if self.messages.is_some() {
            let (text, _) = tokenizer.apply(&self.chat_request(true))?;
            return Ok(tokenizer.encode(&format!("{text}{forced}"), false)?.ids);
        }
        let mut ids = prompt.ids.clone();
        ids.extend(tokenizer.encode(forced, false)?.ids);
        Ok(ids)
    }

    fn chat_request(&self, add_generation_prompt: bool) -> ChatRequest<'_> {
        ChatRequest {
            messages: self.messages.as_deref().unwrap_or_default(),
            tools: self.tools.as_deref(),
            documents: self.documents.as_deref(),
            add_generation_prompt,
            kwargs: self.chat_template_kwargs.as_ref(),
            template: self.chat_template.as_deref(),
            now: None,
        }
    }
}

fn needed(tokenizer: Option<&Tokenizer>) -> Result<&Tokenizer, RawError> {
    tokenizer.ok_or_else(|| {
        RawError::Row("texts and messages need a tokenizer.json in the model folder".to_owned())
    })
}
