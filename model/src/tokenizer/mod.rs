//! `tokenizer.json` and the small files beside it, read as transformers 5 reads them.
//!
//! Two things differ on purpose: offsets are never trimmed ([`Encoded::spans`] covers the text without gaps where the
//! tokenizer does), and the beginning-of-sequence token is never added to a text that already begins with it.

mod files;
mod special;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
};

use tokenizers::{AddedToken, PostProcessor, PostProcessorWrapper, tokenizer::Encoding};

use crate::chat::{ChatTemplate, TemplateError};

pub use files::GenerationDefaults;

/// Why a tokenizer cannot be loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file cannot be read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{file}: {reason}")]
    Invalid {
        /// The file, with the field where known.
        file: String,
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// A text cannot be tokenised.
    #[error("the text cannot be tokenised: {0}")]
    Encode(String),
    /// Ids cannot be turned back into text.
    #[error("the tokens cannot be decoded: {0}")]
    Decode(String),
    /// The model's chat template is wrong.
    #[error("chat template `{name}`: {source}")]
    Template {
        /// Its name, `default` for the only one.
        name: String,
        /// What is wrong with it.
        source: TemplateError,
    },
}

/// A text's tokens and where they lie in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// For each token the bytes of the text it stands for, ending on character borders: tokens that share a character
    /// have the same range. Empty for tokens that stand for nothing (an added beginning-of-sequence token).
    pub spans: Vec<Range<usize>>,
    /// The spans as the tokenizer's post-processor trims them, which is what transformers' `char_to_token` sees.
    pub(crate) trimmed: Vec<Range<usize>>,
}

/// A tokenizer with what its model folder says about special tokens, chat templates and generation.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    post: Option<PostProcessorWrapper>,
    special: BTreeMap<String, String>,
    stops: BTreeSet<u32>,
    eos: Vec<u32>,
    defaults: GenerationDefaults,
    templates: BTreeMap<String, ChatTemplate>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocabulary", &self.inner.get_vocab_size(true))
            .field("special", &self.special)
            .field("templates", &self.templates.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, where present, `tokenizer_config.json`, `special_tokens_map.json`,
    /// `generation_config.json`, `config.json` (end-of-sequence ids only) and the chat templates of a model folder.
    pub fn load(dir: &Path) -> Result<Self, TokenizerError> {
        let file = dir.join("tokenizer.json");
        let bytes = std::fs::read(&file)
            .map_err(|source| TokenizerError::Io { file: file.display().to_string(), source })?;
        let facts = files::Facts::read(dir)?;
        Self::from_parts(&bytes, facts).map_err(|error| match error {
            TokenizerError::Invalid { file: name, reason } if name == "tokenizer.json" => {
                TokenizerError::Invalid { file: file.display().to_string(), reason }
            }
            other => other,
        })
    }

    /// The same tokenizer with another chat template, in place of all it has; `name` is what messages call it.
    pub fn with_chat_template(mut self, name: &str, source: &str) -> Result<Self, TokenizerError> {
        let template = ChatTemplate::new(source)
            .map_err(|source| TokenizerError::Template { name: name.to_owned(), source })?;
        self.templates = BTreeMap::from([("default".to_owned(), template)]);
        Ok(self)
    }

    fn from_parts(tokenizer_json: &[u8], facts: files::Facts) -> Result<Self, TokenizerError> {
        let invalid = |reason: String| TokenizerError::Invalid { file: "tokenizer.json".to_owned(), reason };
        let mut inner =
            tokenizers::Tokenizer::from_bytes(tokenizer_json).map_err(|error| invalid(error.to_string()))?;
        // What is cut or padded is the caller's business, never the file's.
        inner.with_truncation(None).map_err(|error| invalid(error.to_string()))?;
        inner.with_padding(None);
        inner.add_tokens(facts.added).map_err(|error| invalid(error.to_string()))?;
        let known = |content: &str| inner.get_added_vocabulary().get_vocab().contains_key(content);
        let missing: Vec<AddedToken> = facts
            .special
            .values()
            .chain(&facts.extra)
            .filter(|content| !known(content))
            .map(|content| AddedToken::from(content.clone(), true))
            .collect();
        inner.add_tokens(missing).map_err(|error| invalid(error.to_string()))?;
        let post = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>);
        let named = |name: &str| facts.special.get(name).and_then(|content| inner.token_to_id(content));
        let eos = facts.eos.clone().unwrap_or_else(|| named("eos_token").into_iter().collect());
        let mut stops: BTreeSet<u32> = eos.iter().copied().collect();
        stops.extend(named("eos_token"));
        let mut templates = BTreeMap::new();
        for (name, source) in facts.templates {
            let template = ChatTemplate::new(&source)
                .map_err(|source| TokenizerError::Template { name: name.clone(), source })?;
            templates.insert(name, template);
        }
        Ok(Self { inner, post, special: facts.special, stops, eos, defaults: facts.defaults, templates })
    }

    /// The tokens of a text. With `add_special` also those that the tokenizer puts around a sequence, but no second
    /// beginning-of-sequence token.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Encoded, TokenizerError> {
        let failed = |error: tokenizers::Error| TokenizerError::Encode(error.to_string());
        let plain = self.inner.encode(text, false).map_err(failed)?;
        let Some(post) = &self.post else {
            let spans = spans(&plain);
            return Ok(Encoded { ids: plain.get_ids().to_vec(), trimmed: spans.clone(), spans });
        };
        let processed = post.process(plain.clone(), None, add_special).map_err(failed)?;
        let mut encoded = Encoded {
            ids: processed.get_ids().to_vec(),
            spans: spans(&processed),
            trimmed: spans(&processed),
        };
        // A post-processor only adds tokens around the text's own.
        if let Some(first) = find(&encoded.ids, plain.get_ids()) {
            for (span, whole) in encoded.spans[first..].iter_mut().zip(spans(&plain)) {
                *span = whole;
            }
        }
        let bos = self.bos();
        if encoded.ids.len() > 1 && bos.is_some_and(|bos| encoded.ids[..2] == [bos, bos]) && add_special {
            encoded.ids.remove(0);
            encoded.spans.remove(0);
            encoded.trimmed.remove(0);
        }
        Ok(encoded)
    }

    /// The text of tokens; `skip_special` leaves special tokens out.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        self.inner.decode(ids, skip_special).map_err(|error| TokenizerError::Decode(error.to_string()))
    }

    /// The id of a token by its exact text in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The vocabulary's text of an id (byte-level tokens in their printable form).
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Ids in use: one more than the largest.
    pub fn vocabulary(&self) -> usize {
        let added = self.inner.get_added_tokens_decoder().keys().max().map_or(0, |id| *id as usize + 1);
        self.inner.get_vocab_size(true).max(added)
    }

    /// The special tokens by name (`bos_token`, `eos_token` …): the variables a template sees.
    pub fn special(&self) -> &BTreeMap<String, String> {
        &self.special
    }

    /// The beginning-of-sequence token, if there is one.
    pub fn bos(&self) -> Option<u32> {
        self.special.get("bos_token").and_then(|content| self.id(content))
    }

    /// The padding token, if there is one.
    pub fn pad(&self) -> Option<u32> {
        self.special.get("pad_token").and_then(|content| self.id(content))
    }

    /// The ids that end a generation: those of `generation_config.json`, else of `config.json`, else the tokenizer's
    /// own end-of-sequence token.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// The sampling settings of `generation_config.json`.
    pub fn generation_defaults(&self) -> &GenerationDefaults {
        &self.defaults
    }

    /// Whether an id ends a turn: any of [`Self::eos`], or the tokenizer's end-of-sequence token.
    pub fn is_stop(&self, id: u32) -> bool {
        self.stops.contains(&id)
    }

    /// The texts of the tokens that end a turn, and of all other special tokens: what a turn may end with.
    pub(crate) fn end_marks(&self) -> Vec<String> {
        let decoder = self.inner.get_added_tokens_decoder();
        let marks: BTreeMap<u32, String> = decoder
            .into_iter()
            .filter(|(id, token)| token.special || self.stops.contains(id))
            .map(|(id, token)| (id, token.content))
            .collect();
        marks.into_values().filter(|mark| !mark.trim().is_empty()).collect()
    }

    /// The special tokens and those that end a turn, with their texts, by id: what no text that somebody wrote may
    /// contain.
    pub fn special_tokens(&self) -> impl Iterator<Item = (u32, String)> {
        let decoder: BTreeMap<u32, AddedToken> = self.inner.get_added_tokens_decoder().into_iter().collect();
        decoder
            .into_iter()
            .filter(|(id, token)| token.special || self.stops.contains(id))
            .map(|(id, token)| (id, token.content))
    }

    /// The texts of the tokens that end a generation.
    pub(crate) fn stop_marks(&self) -> Vec<String> {
        self.stops.iter().filter_map(|id| self.token(*id)).collect()
    }

    /// The chat template of this name; without a name `tool_use` if there are tools and it exists, else `default`.
    pub fn chat_template(&self, name: Option<&str>, tools: bool) -> Option<&ChatTemplate> {
        match name {
            Some(name) => self.templates.get(name),
            None if tools && self.templates.contains_key("tool_use") => self.templates.get("tool_use"),
            None => self.templates.get("default"),
        }
    }

    /// The names of the chat templates, sorted.
    pub fn chat_templates(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }
}

/// The ids that end a generation by `generation_config.json`, else by `config.json` of a model folder, which needs no
/// tokenizer.
pub fn eos_ids(dir: &Path) -> Result<Vec<u32>, TokenizerError> {
    Ok(files::Facts::read(dir)?.eos.unwrap_or_default())
}

fn spans(encoding: &Encoding) -> Vec<Range<usize>> {
    encoding.get_offsets().iter().map(|(start, end)| *start..(*end).max(*start)).collect()
}

/// Where `needle` begins in `ids`.
fn find(ids: &[u32], needle: &[u32]) -> Option<usize> {
    if needle.is_empty() {
        return None;
    }
    ids.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests;
