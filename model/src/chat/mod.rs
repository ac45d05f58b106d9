//! Chat templates: conversations as a model reads them, and which tokens of them it wrote itself.
//!
//! [`Tokenizer::apply`] renders and tokenises as transformers' `apply_chat_template` does. [`Tokenizer::render_chat`]
//! also says for every token which message it came from and whether the policy wrote it: exactly, from the template's
//! `{% generation %}` blocks; otherwise from what the template adds when a message is appended. A template that renders
//! an earlier turn differently once later ones follow is reported in [`Rendering::unstable`], its turns are then found
//! by their text in the whole rendering; where that fails, an error says so. A mask is never guessed.

mod clock;
mod json;
mod locate;
mod python;
mod request;
mod source;
mod spans;
mod template;
mod tokens;

use std::{collections::BTreeMap, ops::Range};

use crate::tokenizer::{Encoded, Tokenizer, TokenizerError};

pub use clock::Moment;
pub use request::ChatRequest;
pub use spans::{MaskSource, Unstable};
pub use template::{ChatTemplate, TemplateError};

/// Why a conversation cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The model folder has no such template.
    #[error(
        "the model has no chat template{0}; it needs a chat_template.jinja or an entry in tokenizer_config.json"
    )]
    NoTemplate(String),
    /// The request is not a conversation.
    #[error("{0}")]
    Request(String),
    /// The template fails on it.
    #[error("chat template: {0}")]
    Template(#[from] TemplateError),
    /// The template renders a turn differently when others follow, and its text cannot be found again.
    #[error(
        "the chat template is not stable under appending turns, and the policy's tokens of {0} cannot be found"
    )]
    Lost(Unstable),
    /// The tokenizer fails on its text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// A conversation as a model reads it, token for token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendering {
    /// The text.
    pub text: String,
    /// Its tokens: those of transformers' `apply_chat_template(tokenize=True)`.
    pub ids: Vec<u32>,
    /// The bytes of the text each token stands for.
    pub spans: Vec<Range<usize>>,
    /// The message (by position) each token came from; None for the generation prompt at the end. Text that the
    /// template puts before, between and after messages counts to a message beside it.
    pub turns: Vec<Option<usize>>,
    /// Whether the policy wrote the token: content, reasoning and tool calls of assistant turns with the token that
    /// ends them, without role headers and glue. False for tokens of which only a part is the policy's.
    pub policy: Vec<bool>,
    /// Positions of tokens that lie on the border of what the policy wrote; they are never trained.
    pub straddling: Vec<usize>,
    /// As transformers' `return_assistant_tokens_mask` marks the tokens of generation blocks (straddling ones
    /// included); without such blocks the same as [`Self::policy`].
    pub assistant_mask: Vec<bool>,
    /// For every assistant turn the message and the position of the last token that the policy wrote in it; turns of
    /// which it wrote nothing are left out.
    pub turn_ends: Vec<(usize, usize)>,
    /// How the policy's tokens were found.
    pub source: MaskSource,
    /// Turns that the template renders differently once others follow.
    pub unstable: Vec<Unstable>,
}

impl ChatTemplate {
    /// The text of a conversation; `special` are the special tokens by name.
    pub fn text(
        &self,
        request: &ChatRequest,
        special: &BTreeMap<String, String>,
    ) -> Result<String, ChatError> {
        Ok(self.render(&request.context(special, request.messages.len())?, None)?)
    }
}

impl Tokenizer {
    /// The text of a conversation.
    pub fn render_text(&self, request: &ChatRequest) -> Result<String, ChatError> {
        self.template_for(request)?.text(request, self.special())
    }

    /// The text and tokens of a conversation.
    pub fn apply(&self, request: &ChatRequest) -> Result<(String, Encoded), ChatError> {
        let text = self.render_text(request)?;
        let encoded = self.encode(&text, false)?;
        Ok((text, encoded))
    }

    /// The tokens of a conversation, where they came from and which of them the policy wrote.
    pub fn render_chat(&self, request: &ChatRequest) -> Result<Rendering, ChatError> {
        let found = spans::find(self, self.template_for(request)?.as_ref(), request)?;
        let encoded = self.encode(&found.text, false)?;
        Ok(tokens::assign(found, encoded))
    }

    fn template_for<'t>(
        &'t self,
        request: &ChatRequest,
    ) -> Result<std::borrow::Cow<'t, ChatTemplate>, ChatError> {
        let name = request.template;
        if let Some(template) = self.chat_template(name, request.tools.is_some()) {
            return Ok(std::borrow::Cow::Borrowed(template));
        }
        match name {
            // As in transformers, what is not a name is a template.
            Some(source) if source.contains("{%") || source.contains("{{") => {
                Ok(std::borrow::Cow::Owned(ChatTemplate::new(source)?))
            }
            Some(name) => Err(ChatError::NoTemplate(format!(" `{name}`"))),
            None => Err(ChatError::NoTemplate(String::new())),
        }
    }
}

#[cfg(test)]
mod tests;
