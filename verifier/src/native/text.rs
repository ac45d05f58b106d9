//! From laid-out documents to tokens.

use std::ops::Range;
use std::path::Path;

use model::tokenizer::Encoded;
use model::{ChatRequest, Tokenizer, TokenizerError};
use serde_json::{Map, Value, json};

use super::LoadError;
use crate::backend::{Layout, Payload, PrepareError, Prepared};
use crate::input::{self, ANSWER_PREFIX, Document, Fitted, Place, TooLong};

/// A document as tokens.
#[derive(Debug)]
struct Tokens {
    ids: Vec<u32>,
    turn_ends: Vec<usize>,
    shared: usize,
}

/// Makes tokens of documents of one layout, as a model reads them.
#[derive(Debug)]
pub struct Reader {
    tokenizer: Tokenizer,
    layout: Layout,
    /// Tokens that the chat template, or the tokenizer itself, puts around a document.
    overhead: usize,
    /// The tokenizer's special tokens, by text.
    special: Vec<String>,
    /// Their ids, ascending.
    special_ids: Vec<u32>,
    /// How many of them stand around a document.
    expected_special: usize,
    kwargs: Map<String, Value>,
}

impl Reader {
    /// A reader by the tokenizer of a model's folder.
    pub fn open(dir: &Path, layout: Layout) -> Result<Self, LoadError> {
        let unfit = |reason| LoadError::Unfit { path: dir.to_owned(), reason };
        Self::new(Tokenizer::load(dir)?, layout).map_err(unfit)
    }

    /// A reader; refuses a model whose chat template cannot render the layout.
    pub(super) fn new(tokenizer: Tokenizer, layout: Layout) -> Result<Self, String> {
        let (mut special, mut special_ids) = (Vec::new(), Vec::new());
        for (id, text) in tokenizer.special_tokens() {
            special_ids.push(id);
            if !text.trim().is_empty() {
                special.push(text);
            }
        }
        special_ids.sort_unstable();
        // Models that think before they answer are told not to: the answer is forced.
        let kwargs = Map::from_iter([("enable_thinking".to_owned(), Value::from(false))]);
        let mut reader =
            Self { tokenizer, layout, overhead: 0, special, special_ids, expected_special: 0, kwargs };
        let nothing: Vec<(String, String)> = match layout {
            Layout::JudgeV1 => ["system", "user"].map(|role| (role.to_owned(), "x".to_owned())).to_vec(),
            _ => vec![("user".to_owned(), "x".to_owned())],
        };
        let (_, encoded) = reader.encode(&nothing)?;
        reader.overhead = encoded.ids.len().saturating_sub(nothing.len());
        reader.expected_special = reader.count_special(&encoded.ids);
        Ok(reader)
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The text that the model reads of a chat, and its tokens.
    fn encode(&self, chat: &[(String, String)]) -> Result<(String, Encoded), String> {
        let failed = |error: TokenizerError| error.to_string();
        if self.layout == Layout::JudgeV1 {
            let mut text = self.chat_text(chat)?;
            text.push_str(ANSWER_PREFIX);
            let encoded = self.tokenizer.encode(&text, false).map_err(failed)?;
            return Ok((text, encoded));
        }
        let text: String = chat.iter().map(|(_, text)| text.as_str()).collect();
        let encoded = self.tokenizer.encode(&text, true).map_err(failed)?;
        Ok((text, encoded))
    }

    /// A conversation through the chat template, ready for the assistant to begin.
    pub(super) fn chat_text(&self, chat: &[(String, String)]) -> Result<String, String> {
        let messages: Vec<Value> =
            chat.iter().map(|(role, text)| json!({ "role": role, "content": text })).collect();
        let request = ChatRequest {
            messages: &messages,
            add_generation_prompt: true,
            kwargs: Some(&self.kwargs),
            ..ChatRequest::default()
        };
        self.tokenizer.render_text(&request).map_err(|error| error.to_string())
    }

    /// Prepares a document within the limit, whole or condensed.
    pub fn prepare(
        &self,
        document: Document<'_>,
        candidate: &str,
        limit: usize,
        condense: bool,
    ) -> Result<Prepared, PrepareError> {
        let (fitted, tokens) = self.read(document, candidate, limit, condense)?;
        Ok(prepared(fitted, tokens))
    }

    /// What the model reads of a document within the limit, its tokens counted exactly.
    pub fn fit<'a>(
        &self,
        document: Document<'a>,
        candidate: &str,
        limit: usize,
        condense: bool,
    ) -> Result<Fitted<'a>, PrepareError> {
        Ok(self.read(document, candidate, limit, condense)?.0)
    }

    fn read<'a>(
        &self,
        mut document: Document<'a>,
        candidate: &str,
        limit: usize,
        condense: bool,
    ) -> Result<(Fitted<'a>, Tokens), PrepareError> {
        let refused = |reason: String| PrepareError::Refused { candidate: candidate.to_owned(), reason };
        let too_long = |tokens, condensed| input::too_long(candidate, TooLong { tokens, limit, condensed });
        let count =
            |text: &str| self.tokenizer.encode(text, false).map_or(text.len(), |encoded| encoded.ids.len());
        document.escape_also(&self.special);
        let whole = self.tokens(&document).map_err(refused)?;
        let full = whole.ids.len();
        if full <= limit {
            return Ok((Fitted { document, tokens: full, condensed: None }, whole));
        }
        if !condense {
            return Err(too_long(full, false));
        }
        let mut budget = limit.saturating_sub(self.overhead);
        loop {
            let mut fitted = input::fit(document.clone(), budget, true, &count)
                .map_err(|error| too_long(error.tokens + self.overhead, true))?;
            let tokens = self.tokens(&fitted.document).map_err(refused)?;
            let over = tokens.ids.len().saturating_sub(limit);
            if over == 0 {
                fitted.tokens = tokens.ids.len();
                if let Some(condensed) = &mut fitted.condensed {
                    condensed.full_tokens = full;
                    condensed.removed_tokens = full - fitted.tokens;
                }
                return Ok((fitted, tokens));
            }
            // Tokens at the borders of pieces, or a template that adds more around longer texts.
            if budget == 0 {
                return Err(too_long(tokens.ids.len(), true));
            }
            budget = budget.saturating_sub(over);
        }
    }

    fn tokens(&self, document: &Document<'_>) -> Result<Tokens, String> {
        let chat = document.chat();
        let (text, encoded) = self.encode(&chat)?;
        // The escaping sees to it that no text makes a special token. A tokenizer that normalises text into one would
        // get around it.
        if self.count_special(&encoded.ids) > self.expected_special {
            return Err("the text holds what this model's tokenizer takes for a special token".to_owned());
        }
        let shared = document.shared();
        let shared = offset(&text, &chat, shared)
            .map_or(0, |end| encoded.spans.iter().take_while(|span| span.end <= end).count());
        // The judge is asked once, at the end.
        let turn_ends = match self.layout {
            Layout::JudgeV1 => Vec::new(),
            _ => document
                .turn_ends()
                .into_iter()
                .filter_map(|place| last_before(&encoded.spans, place.byte))
                .collect(),
        };
        Ok(Tokens { ids: encoded.ids, turn_ends, shared })
    }

    fn count_special(&self, ids: &[u32]) -> usize {
        ids.iter().filter(|id| self.special_ids.binary_search(id).is_ok()).count()
    }
}

fn prepared(fitted: Fitted<'_>, tokens: Tokens) -> Prepared {
    let mut content = blake3::Hasher::new();
    for id in &tokens.ids {
        content.update(&id.to_le_bytes());
    }
    content.update(&u32::MAX.to_le_bytes());
    for end in &tokens.turn_ends {
        content.update(&(*end as u64).to_le_bytes());
    }
    Prepared {
        tokens: tokens.ids.len(),
        shared_tokens: tokens.shared,
        content: *content.finalize().as_bytes(),
        condensed: fitted.condensed,
        payload: Payload::Tokens { ids: tokens.ids, turn_ends: tokens.turn_ends },
    }
}

/// The byte of the rendered text where a place of the chat lies; `None` when a template changed the text before it.
fn offset(text: &str, chat: &[(String, String)], place: Place) -> Option<usize> {
    let before = &chat[place.message].1[..place.byte];
    Some(text.find(before)? + before.len())
}

/// The last token that stands for text and begins before a byte.
fn last_before(spans: &[Range<usize>], byte: usize) -> Option<usize> {
    spans.iter().rposition(|span| !span.is_empty() && span.start < byte)
}
