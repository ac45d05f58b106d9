//! Renders parts of a conversation, and finds where a message's text ends in a rendering.

use minijinja::value::Value as TemplateValue;
use serde_json::Value;

use super::{ChatError, ChatRequest, ChatTemplate, TemplateError, clock::Moment, template::Context};
use crate::tokenizer::Tokenizer;

/// A conversation and its template; every rendering takes the same moment for now.
pub(super) struct Renderer<'a> {
    template: &'a ChatTemplate,
    tokenizer: &'a Tokenizer,
    request: ChatRequest<'a>,
    whole: Context,
    messages: Vec<TemplateValue>,
    /// Characters that neither the input nor the template contains.
    pub(super) marks: [char; 2],
}

impl<'a> Renderer<'a> {
    pub(super) fn new(
        tokenizer: &'a Tokenizer,
        template: &'a ChatTemplate,
        request: &ChatRequest<'a>,
    ) -> Result<Self, ChatError> {
        let mut request = request.clone();
        request.now = Some(request.now.unwrap_or_else(Moment::now));
        let mut whole = request.context(tokenizer.special(), request.messages.len())?;
        let (_, messages) = whole.variables.remove(0);
        let messages = messages.try_iter().map(Iterator::collect).unwrap_or_default();
        let marks = free_marks(&request, template)?;
        Ok(Self { template, tokenizer, request, whole, messages, marks })
    }

    /// The first `count` messages.
    pub(super) fn prefix(&self, count: usize, prompt: bool) -> Result<String, TemplateError> {
        let mut context = self.whole.clone();
        context.variables.retain(|(name, _)| name != "add_generation_prompt");
        let messages = self.messages[..count].iter().cloned().collect();
        context.variables.insert(0, ("messages".to_owned(), messages));
        context.variables.insert(1, ("add_generation_prompt".to_owned(), prompt.into()));
        self.template.render(&context, None)
    }

    /// The whole conversation with marks around generated text.
    pub(super) fn marked(&self) -> Result<String, TemplateError> {
        let mut context = self.whole.clone();
        context.variables.insert(0, ("messages".to_owned(), self.messages.iter().cloned().collect()));
        self.template.render(&context, Some(self.marks))
    }

    /// Where the last visible character of a message's content ends in `text`, which is the rendering of the first
    /// `count` messages: a mark put behind it must come out there and change nothing else.
    pub(super) fn end_of_content(
        &self,
        message: usize,
        count: usize,
        prompt: bool,
        text: &str,
    ) -> Option<usize> {
        self.inserted(message, count, prompt, text, false)
    }

    /// Where the first visible character of a message's content begins.
    pub(super) fn start_of_content(
        &self,
        message: usize,
        count: usize,
        prompt: bool,
        text: &str,
    ) -> Option<usize> {
        self.inserted(message, count, prompt, text, true)
    }

    /// Where the last text in the arguments of a message's last tool call ends.
    pub(super) fn end_of_calls(
        &self,
        message: usize,
        count: usize,
        prompt: bool,
        text: &str,
    ) -> Option<usize> {
        self.marked_at(count, prompt, text, |messages, mark| {
            let call = messages[message].get_mut("tool_calls")?.as_array_mut()?.last_mut()?;
            let call = if call.get("function").is_some() { call.get_mut("function")? } else { call };
            let arguments = call.get_mut("arguments")?;
            if let Value::String(json) = arguments {
                let quote = json.trim_end_matches(|c: char| c.is_whitespace() || "}]".contains(c)).len();
                let inside = json[..quote].ends_with('"') && quote > 1;
                json.insert(if inside { quote - 1 } else { json.trim_end().len() }, mark);
                return Some(());
            }
            last_text(arguments)?.push(mark);
            Some(())
        })
    }

    fn inserted(&self, message: usize, count: usize, prompt: bool, text: &str, first: bool) -> Option<usize> {
        self.marked_at(count, prompt, text, |messages, mark| {
            let place = match messages[message].get_mut("content")? {
                Value::String(content) => content,
                Value::Array(parts) => {
                    let texts = parts.iter_mut().filter_map(|part| match part.get_mut("text") {
                        Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
                        _ => None,
                    });
                    if first { texts.min_by_key(|_| 0)? } else { texts.last()? }
                }
                _ => return None,
            };
            let at = if first { place.len() - place.trim_start().len() } else { place.trim_end().len() };
            place.insert(at, mark);
            Some(())
        })
    }

    /// Where a mark that `put` puts into the first `count` messages comes out, if it changes nothing else.
    fn marked_at(
        &self,
        count: usize,
        prompt: bool,
        text: &str,
        put: impl FnOnce(&mut [Value], char) -> Option<()>,
    ) -> Option<usize> {
        let mark = self.marks[0];
        let mut messages = self.request.messages[..count].to_vec();
        put(&mut messages, mark)?;
        let mut context = self.request.context_of(self.tokenizer.special(), &messages, prompt).ok()?;
        context.bytes = self.whole.bytes;
        let marked = self.template.render(&context, None).ok()?;
        let found = marked.find(mark)?;
        let unchanged = text.get(..found)? == &marked[..found]
            && text.get(found..)? == &marked[found + mark.len_utf8()..];
        unchanged.then_some(found)
    }
}

/// The last text in a value.
fn last_text(value: &mut Value) -> Option<&mut String> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(items) => items.iter_mut().rev().find_map(last_text),
        Value::Object(fields) => fields.values_mut().rev().find_map(last_text),
        _ => None,
    }
}

/// Two characters of those that Unicode reserves for such use, which occur nowhere in the input.
fn free_marks(request: &ChatRequest, template: &ChatTemplate) -> Result<[char; 2], ChatError> {
    let mut used = Vec::new();
    scan(template.source(), &mut used);
    let values = request.messages.iter().chain(request.tools.into_iter().flatten());
    for value in values.chain(request.documents.into_iter().flatten()) {
        scan_value(value, &mut used);
    }
    for value in request.kwargs.into_iter().flat_map(|kwargs| kwargs.values()) {
        scan_value(value, &mut used);
    }
    let mut free = NONCHARACTERS.filter(|mark| !used.contains(mark));
    match (free.next(), free.next()) {
        (Some(start), Some(end)) => Ok([start, end]),
        _ => Err(ChatError::Request(
            "messages: they use up all noncharacters from U+FDD0 to U+FDEF".to_owned(),
        )),
    }
}

const NONCHARACTERS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';

fn scan(text: &str, used: &mut Vec<char>) {
    used.extend(text.chars().filter(|character| NONCHARACTERS.contains(character)));
}

fn scan_value(value: &Value, used: &mut Vec<char>) {
    match value {
        Value::String(text) => scan(text, used),
        Value::Array(items) => items.iter().for_each(|item| scan_value(item, used)),
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            scan(key, used);
            scan_value(value, used);
        }),
        _ => {}
    }
}
