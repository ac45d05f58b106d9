//! The encoder: a tokenizer, the rules, and what is made of rows with them.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use model::{Tokenizer, TokenizerError};
use rayon::prelude::*;

use super::{
    EncodeError, EncodeRules, Encoded, Tokens, candidates::VerifierReader, common,
    conversation::Conversations, fit,
};
use crate::data::{Content, Row, Text};

/// Turns rows into tokens as the model of one folder reads them.
#[derive(Debug)]
pub struct Encoder {
    dir: PathBuf,
    tokenizer: Tokenizer,
    rules: EncodeRules,
    /// Opened when the first row with candidates comes.
    verifier: OnceLock<Result<VerifierReader, String>>,
}

impl Encoder {
    /// An encoder by the tokenizer and chat template of a model's folder.
    pub fn open(dir: &Path, rules: EncodeRules) -> Result<Self, TokenizerError> {
        let tokenizer = Tokenizer::load(dir)?;
        Ok(Self { dir: dir.to_owned(), tokenizer, rules, verifier: OnceLock::new() })
    }

    /// The same encoder with another chat template; `name` is what messages call it.
    pub fn with_chat_template(self, name: &str, source: &str) -> Result<Self, TokenizerError> {
        Ok(Self { tokenizer: self.tokenizer.with_chat_template(name, source)?, ..self })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The rules.
    pub fn rules(&self) -> EncodeRules {
        self.rules
    }

    /// Turns rows into tokens on all cores, in the order of the rows.
    pub fn encode_all(&self, rows: &[Row]) -> Vec<Result<Encoded, EncodeError>> {
        rows.par_iter().map(|row| self.encode(row)).collect()
    }

    /// Turns a row into tokens.
    pub fn encode(&self, row: &Row) -> Result<Encoded, EncodeError> {
        let conversations =
            Conversations { tokenizer: &self.tokenizer, context: &row.context, rules: self.rules };
        let part = |name: &'static str, prompt: &Text, rest: &Text| -> Result<Tokens, EncodeError> {
            let tokens = conversations.tokens(name, prompt, rest)?;
            self.finish(name, tokens)
        };
        match &row.content {
            Content::Pair { prompt, chosen, rejected } => {
                let mut better = conversations.tokens("chosen", prompt, chosen)?;
                let mut worse = conversations.tokens("rejected", prompt, rejected)?;
                conversations.align(&mut better, &mut worse)?;
                let chosen = self.finish("chosen", better)?;
                let rejected = self.finish("rejected", worse)?;
                let first = |tokens: &Tokens| tokens.trained.iter().position(|&trained| trained).unwrap_or(0);
                let shared = common(&chosen.ids, &rejected.ids).min(first(&chosen)).min(first(&rejected));
                Ok(Encoded::Pair { chosen, rejected, shared })
            }
            Content::Labelled { prompt, completion, desirable } => Ok(Encoded::Labelled {
                tokens: part("completion", prompt, completion)?,
                desirable: *desirable,
            }),
            Content::Demonstration { prompt, completion } => {
                Ok(Encoded::Demonstration { tokens: part("completion", prompt, completion)? })
            }
            Content::Candidates { issue, candidates } => {
                let open = || VerifierReader::open(&self.dir, self.rules);
                let reader = self.verifier.get_or_init(open).as_ref().map_err(|reason| {
                    EncodeError::Verifier { part: "the verifier's layout".to_owned(), reason: reason.clone() }
                })?;
                reader.read(issue, candidates)
            }
        }
    }

    /// Cuts where the rules say so, and refuses what cannot be trained.
    fn finish(&self, part: &str, mut tokens: Tokens) -> Result<Tokens, EncodeError> {
        let part = || part.to_owned();
        // Without a loss on the first token: nothing comes before it.
        if let Some(first) = tokens.trained.first_mut() {
            *first = false;
        }
        if tokens.trained_tokens() == 0 {
            return Err(EncodeError::NothingTrained { part: part() });
        }
        if let Some(limit) = self.rules.max_prompt_tokens.filter(|limit| tokens.prompt > *limit) {
            return Err(EncodeError::TooLong { part: "prompt".to_owned(), tokens: tokens.prompt, limit });
        }
        let limit = self.rules.max_tokens;
        let tokens = fit::cut(self.rules, tokens);
        if tokens.ids.len() > limit {
            return Err(EncodeError::TooLong { part: part(), tokens: tokens.ids.len(), limit });
        }
        if tokens.trained_tokens() == 0 {
            return Err(EncodeError::CutAway { part: part(), limit });
        }
        Ok(tokens)
    }
}
