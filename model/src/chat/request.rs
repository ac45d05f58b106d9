//! A conversation to render, and what of it a template sees.

use std::collections::BTreeMap;

use minijinja::value::Value as TemplateValue;
use serde_json::{Map, Value};

use super::{ChatError, clock::Moment, python, template::Context};

/// A conversation in OpenAI's form with everything a template may look at.
#[derive(Debug, Clone, Default)]
pub struct ChatRequest<'a> {
    /// The messages: objects with `role`, `content` and, of an assistant, `tool_calls` and `reasoning_content`.
    pub messages: &'a [Value],
    /// Schemas of the tools.
    pub tools: Option<&'a [Value]>,
    /// Documents with `title` and `text`.
    pub documents: Option<&'a [Value]>,
    /// Whether the text ends with the header of an assistant turn.
    pub add_generation_prompt: bool,
    /// Further variables (`enable_thinking` …); they beat special tokens of the same name.
    pub kwargs: Option<&'a Map<String, Value>>,
    /// Name of the template, or a template; the model's own without one.
    pub template: Option<&'a str>,
    /// What `strftime_now` takes for now; the clock's time (UTC) without it.
    pub now: Option<Moment>,
}

/// Names of a message's reasoning, the first being what templates read.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

impl ChatRequest<'_> {
    /// What the template sees of the first `count` messages.
    pub(super) fn context(
        &self,
        special: &BTreeMap<String, String>,
        count: usize,
    ) -> Result<Context, ChatError> {
        self.context_of(special, &self.messages[..count], self.add_generation_prompt)
    }

    /// What the template sees of these messages.
    pub(super) fn context_of(
        &self,
        special: &BTreeMap<String, String>,
        messages: &[Value],
        add_generation_prompt: bool,
    ) -> Result<Context, ChatError> {
        if messages.is_empty() {
            return Err(ChatError::Request("messages: a conversation needs at least one message".to_owned()));
        }
        let plain = messages.iter().enumerate().map(|(at, message)| {
            let message = message
                .as_object()
                .ok_or_else(|| ChatError::Request(format!("messages[{at}]: must be an object")))?;
            Ok(template_message(message))
        });
        let plain = plain.collect::<Result<Vec<_>, ChatError>>()?;
        let list = |values: Option<&[Value]>| match values {
            Some(values) => values.iter().map(python::from_json).collect(),
            None => TemplateValue::from(()),
        };
        let mut variables: Vec<(String, TemplateValue)> = vec![
            ("messages".to_owned(), plain.into_iter().collect()),
            ("tools".to_owned(), list(self.tools)),
            ("documents".to_owned(), list(self.documents)),
            ("add_generation_prompt".to_owned(), add_generation_prompt.into()),
        ];
        let special = special.iter().map(|(name, text)| (name.clone(), text.as_str().into()));
        variables.extend(special);
        variables.extend(
            self.kwargs.into_iter().flatten().map(|(name, value)| (name.clone(), python::from_json(value))),
        );
        let bytes = messages.iter().chain(self.tools.into_iter().flatten()).map(size).sum();
        Ok(Context { variables, now: self.now.unwrap_or_else(Moment::now), bytes })
    }
}

/// A message as a template sees it.
pub(super) fn template_message(message: &Map<String, Value>) -> TemplateValue {
    python::from_object(&normalised(message))
}

/// Bytes of text in a value.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum::<usize>() + items.len(),
        Value::Object(object) => object.iter().map(|(key, value)| key.len() + size(value)).sum(),
        _ => 8,
    }
}

/// A message without fields that are null, its reasoning under every name that templates use.
fn normalised(message: &Map<String, Value>) -> Map<String, Value> {
    let kept = || {
        message.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), value.clone()))
    };
    let reasoning = REASONING.iter().find_map(|name| message.get(*name).filter(|value| !value.is_null()));
    let Some(reasoning) = reasoning else { return kept().collect() };
    let mut aliased = Map::new();
    aliased.insert("thinking".to_owned(), reasoning.clone());
    aliased.extend(kept());
    aliased.insert("reasoning_content".to_owned(), reasoning.clone());
    aliased
}
