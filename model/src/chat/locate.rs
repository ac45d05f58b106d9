//! Renders parts of a conversation, and finds where a message's text ends in a rendering.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use minijinja::value::Value as TemplateValue;
use serde_json::Value;

use super::{ChatError, ChatRequest, ChatTemplate, TemplateError, clock::Moment, request, template::Context};
use crate::tokenizer::Tokenizer;

/// Number of messages, whether with the generation prompt, and what was rendered of them.
type Recent = ((usize, bool), Rc<str>);
/// Place, message, number of messages, and whether with the generation prompt.
type Asked = (Place, usize, usize, bool);

/// Renderings that are kept.
const RECENT: usize = 4;

/// A conversation and its template; every rendering takes the same moment for now.
pub(super) struct Renderer<'a> {
    template: &'a ChatTemplate,
    request: ChatRequest<'a>,
    whole: Context,
    messages: Vec<TemplateValue>,
    /// The last renderings of the first so many messages, with the generation prompt or without.
    recent: RefCell<Vec<Recent>>,
    /// Places that were looked for, by message, number of messages and generation prompt.
    known: RefCell<BTreeMap<Asked, Option<usize>>>,
    /// Whether [`Self::find_all`] was tried.
    tried: Cell<bool>,
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
        let (recent, known) = (RefCell::default(), RefCell::default());
        Ok(Self { template, request, whole, messages, recent, known, tried: Cell::new(false), marks })
    }

    /// The first `count` messages. The last few renderings are kept: finding one turn takes them several times.
    pub(super) fn prefix(&self, count: usize, prompt: bool) -> Result<Rc<str>, TemplateError> {
        let mut recent = self.recent.borrow_mut();
        if let Some((_, text)) = recent.iter().find(|(key, _)| *key == (count, prompt)) {
            return Ok(text.clone());
        }
        let messages = self.messages[..count].to_vec();
        let text: Rc<str> = self.template.render(&self.with(messages, prompt), None)?.into();
        recent.truncate(RECENT - 1);
        recent.insert(0, ((count, prompt), text.clone()));
        Ok(text)
    }

    /// What the template sees of these messages.
    fn with(&self, messages: Vec<TemplateValue>, prompt: bool) -> Context {
        let mut context = self.whole.clone();
        context.variables.retain(|(name, _)| name != "add_generation_prompt");
        context.variables.insert(0, ("messages".to_owned(), messages.into()));
        context.variables.insert(1, ("add_generation_prompt".to_owned(), prompt.into()));
        context
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
        self.found(Place::End, message, count, prompt, text)
    }

    /// Where the first visible character of a message's content begins.
    pub(super) fn start_of_content(
        &self,
        message: usize,
        count: usize,
        prompt: bool,
        text: &str,
    ) -> Option<usize> {
        self.found(Place::Start, message, count, prompt, text)
    }

    /// Where the last text in the arguments of a message's last tool call ends.
    pub(super) fn end_of_calls(
        &self,
        message: usize,
        count: usize,
        prompt: bool,
        text: &str,
    ) -> Option<usize> {
        self.found(Place::Calls, message, count, prompt, text)
    }

    /// A place in a message: asked for once, since every answer takes a rendering.
    fn found(&self, place: Place, message: usize, count: usize, prompt: bool, text: &str) -> Option<usize> {
        let whole = count == self.messages.len() && prompt == self.request.add_generation_prompt;
        if whole && place != Place::Calls && !self.tried.replace(true) {
            self.find_all(text);
        }
        let key = (place, message, count, prompt);
        if let Some(known) = self.known.borrow().get(&key) {
            return *known;
        }
        let found = self.marked_at(place, message, count, prompt, text);
        self.known.borrow_mut().insert(key, found);
        found
    }

    /// Where a mark comes out that is put into a place of one of the first `count` messages, if it changes nothing else.
    fn marked_at(
        &self,
        place: Place,
        message: usize,
        count: usize,
        prompt: bool,
        text: &str,
    ) -> Option<usize> {
        let mark = self.marks[0];
        let mut changed = self.request.messages[message].clone();
        place.put(&mut changed, mark)?;
        let mut messages = self.messages[..count].to_vec();
        messages[message] = request::template_message(changed.as_object()?);
        let marked = self.template.render(&self.with(messages, prompt), None).ok()?;
        let found = marked.find(mark)?;
        let unchanged = text.get(..found)? == &marked[..found]
            && text.get(found..)? == &marked[found + mark.len_utf8()..];
        unchanged.then_some(found)
    }

    /// Looks for the contents of all messages in one rendering. What it does not find for certain is left to
    /// [`Self::marked_at`].
    fn find_all(&self, text: &str) {
        let [start, end] = self.marks;
        let mut messages = self.messages.clone();
        let mut contents = Vec::new();
        for (at, message) in self.request.messages.iter().enumerate() {
            let Some(content) = message.get("content").and_then(Value::as_str).map(str::trim) else {
                continue;
            };
            let mut changed = message.clone();
            let put = || {
                Place::End.put(&mut changed, end)?;
                Place::Start.put(&mut changed, start)?;
                Some(request::template_message(changed.as_object()?))
            };
            if let (false, Some(changed)) = (content.is_empty(), { put }()) {
                messages[at] = changed;
                contents.push((at, content));
            }
        }
        let context = self.with(messages, self.request.add_generation_prompt);
        let Ok(marked) = self.template.render(&context, None) else { return };
        let mut plain = String::with_capacity(text.len());
        let mut spans = Vec::with_capacity(contents.len());
        let mut open = None;
        for character in marked.chars() {
            if character == start {
                open = Some(plain.len());
            } else if character == end {
                let Some(from) = open.take() else { return };
                spans.push(from..plain.len());
            } else {
                plain.push(character);
            }
        }
        let same = plain == text
            && spans.len() == contents.len()
            && spans
                .iter()
                .zip(&contents)
                .all(|(span, (_, content))| text.get(span.clone()) == Some(content));
        if same {
            let (count, prompt) = (self.messages.len(), self.request.add_generation_prompt);
            let mut known = self.known.borrow_mut();
            for (span, (at, _)) in spans.iter().zip(&contents) {
                known.insert((Place::Start, *at, count, prompt), Some(span.start));
                known.insert((Place::End, *at, count, prompt), Some(span.end));
            }
        }
    }
}

/// A place in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Before the first visible character of the content.
    Start,
    /// Behind its last visible character.
    End,
    /// Behind the last text in the arguments of the last tool call.
    Calls,
}

impl Place {
    /// Puts a mark there, if the message has such a place.
    fn put(self, message: &mut Value, mark: char) -> Option<()> {
        if self == Self::Calls {
            let call = message.get_mut("tool_calls")?.as_array_mut()?.last_mut()?;
            let call = if call.get("function").is_some() { call.get_mut("function")? } else { call };
            let arguments = call.get_mut("arguments")?;
            if let Value::String(json) = arguments {
                let quote = json.trim_end_matches(|c: char| c.is_whitespace() || "}]".contains(c)).len();
                let inside = json[..quote].ends_with('"') && quote > 1;
                json.insert(if inside { quote - 1 } else { json.trim_end().len() }, mark);
                return Some(());
            }
            last_text(arguments)?.push(mark);
            return Some(());
        }
        let first = self == Self::Start;
        let place = match message.get_mut("content")? {
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
