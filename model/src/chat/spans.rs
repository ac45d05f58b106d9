//! Which bytes of a rendered conversation belong to which message, and which of them the policy wrote.

use std::{collections::BTreeMap, fmt, ops::Range, rc::Rc};

use serde_json::Value;

use super::{ChatError, ChatRequest, ChatTemplate, locate::Renderer};
use crate::tokenizer::Tokenizer;

/// How the policy's tokens were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskSource {
    /// From the template's `{% generation %}` blocks.
    GenerationBlocks,
    /// From what an appended assistant turn adds to the text.
    #[default]
    StablePrefixes,
    /// Some turns are not stable and were found by their place in the whole text.
    Located,
}

/// A turn that is rendered differently once others follow, so that a model trained on the whole conversation does not
/// see what it saw when it wrote the turn.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unstable {
    /// The message.
    pub turn: usize,
    /// The text from the first difference on, as the turn's own rendering has it (cut).
    pub alone: String,
    /// The same in the whole conversation (cut).
    pub whole: String,
}

impl fmt::Display for Unstable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { turn, alone, whole } = self;
        write!(
            f,
            "messages[{turn}]: rendered alone it goes on with {alone:?}, in the whole conversation with {whole:?}"
        )
    }
}

/// The text and what is known about it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) text: String,
    /// The bytes of each message.
    pub(super) regions: Vec<Range<usize>>,
    /// What the policy wrote, ascending, with the message.
    pub(super) policy: Vec<(usize, Range<usize>)>,
    /// The template's generation blocks.
    pub(super) blocks: Vec<Range<usize>>,
    pub(super) source: MaskSource,
    pub(super) unstable: Vec<Unstable>,
}

/// A conversation's text with all of the above.
pub(super) fn find(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    request: &ChatRequest,
) -> Result<Found, ChatError> {
    let renderer = Renderer::new(tokenizer, template, request)?;
    let count = request.messages.len();
    let text = renderer.prefix(count, request.add_generation_prompt)?.to_string();
    let body = renderer.prefix(count, false)?;
    let end = common(&text, &body);
    let blocks = if template.has_generation_blocks() { blocks(&renderer, &text)? } else { None };
    let mut search = Search {
        renderer,
        tokenizer,
        request,
        text: &text,
        body,
        end,
        unstable: Vec::new(),
        ends: BTreeMap::new(),
    };
    let mut policy = Vec::new();
    let mut source = MaskSource::StablePrefixes;
    for turn in (0..count).filter(|turn| is_assistant(&request.messages[*turn])) {
        let written = search.appended(turn);
        if blocks.is_none() {
            let written = if let Some(written) = written {
                written
            } else {
                source = MaskSource::Located;
                search.located(turn)?
            };
            policy.push((turn, written));
        }
    }
    if let Some(blocks) = &blocks {
        source = MaskSource::GenerationBlocks;
        policy = search.turns_of(blocks);
    }
    policy.retain(|(_, written)| !written.is_empty());
    let regions = search.regions(&policy);
    let unstable = search.unstable;
    Ok(Found { regions, policy, blocks: blocks.unwrap_or_default(), source, unstable, text })
}

fn is_assistant(message: &Value) -> bool {
    message.get("role").and_then(Value::as_str) == Some("assistant")
}

/// The generation blocks of the text; None if the template does more with their text than write it.
fn blocks(renderer: &Renderer, text: &str) -> Result<Option<Vec<Range<usize>>>, ChatError> {
    let marked = renderer.marked()?;
    let [start, end] = renderer.marks;
    let mut plain = String::with_capacity(text.len());
    let (mut open, mut blocks) = (Vec::new(), Vec::new());
    for character in marked.chars() {
        if character == start {
            open.push(plain.len());
        } else if character == end {
            match open.pop() {
                Some(start) => blocks.push(start..plain.len()),
                None => return Ok(None),
            }
        } else {
            plain.push(character);
        }
    }
    Ok((open.is_empty() && plain == text).then_some(blocks))
}

struct Search<'a, 't> {
    renderer: Renderer<'a>,
    tokenizer: &'a Tokenizer,
    request: &'a ChatRequest<'a>,
    text: &'t str,
    /// The text without the generation prompt.
    body: Rc<str>,
    /// Where the last message ends in the text.
    end: usize,
    unstable: Vec<Unstable>,
    /// Numbers of messages whose rendering the text begins with, and how long that is.
    ends: BTreeMap<usize, usize>,
}

impl Search<'_, '_> {
    /// What the policy wrote in an assistant turn, if the text up to its prompt and up to its end is what the whole
    /// text begins with.
    fn appended(&mut self, turn: usize) -> Option<Range<usize>> {
        let last = turn + 1 == self.request.messages.len();
        let alone = if last { Ok(self.body.clone()) } else { self.renderer.prefix(turn + 1, false) };
        let alone = match alone {
            Ok(alone) => alone,
            // A template may refuse a conversation that ends here.
            Err(error) => {
                self.unstable.push(Unstable { turn, alone: error.to_string(), whole: String::new() });
                return None;
            }
        };
        let same = common(self.text, &alone);
        let prompt = match turn {
            0 => None,
            _ => self.renderer.prefix(turn, true).ok(),
        };
        let prompt = prompt?;
        if same < alone.len() {
            let (alone, whole) = (cut(&alone[same..]), cut(&self.text[same..]));
            self.unstable.push(Unstable { turn, alone, whole });
            return None;
        }
        self.ends.insert(turn + 1, same);
        if !alone.starts_with(&*prompt) {
            let same = common(&alone, &prompt);
            let (alone, whole) = (cut(&prompt[same..]), cut(&alone[same..]));
            self.unstable.push(Unstable { turn, alone, whole });
            return None;
        }
        let mut start = prompt.len();
        let headless = || self.renderer.prefix(turn, false).is_ok_and(|plain| plain == prompt);
        if self.begins_with_mark(&alone[start..]) && headless() {
            // The template has no generation prompt: what stands before the content is a header.
            match self.renderer.start_of_content(turn, self.request.messages.len(), self.asked(), self.text) {
                Some(content) if content >= start => start = content,
                _ => return None,
            }
        }
        // White space behind the token that ends the turn is glue.
        Some(start..start + alone.get(start..)?.trim_end().len())
    }

    fn asked(&self) -> bool {
        self.request.add_generation_prompt
    }

    fn begins_with_mark(&self, text: &str) -> bool {
        let text = text.trim_start();
        self.tokenizer.end_marks().iter().any(|mark| text.starts_with(mark.as_str()))
    }

    /// What the policy wrote in a turn of the whole text, found behind the text of the message before it.
    fn located(&self, turn: usize) -> Result<Range<usize>, ChatError> {
        let lost = || ChatError::Lost(self.explanation(turn));
        let count = self.request.messages.len();
        let start = if turn == 0 {
            self.renderer.start_of_content(0, count, self.asked(), self.text).ok_or_else(lost)?
        } else {
            let before =
                self.renderer.end_of_content(turn - 1, count, self.asked(), self.text).ok_or_else(lost)?;
            let prompt = self.renderer.prefix(turn, true).map_err(|_| lost())?;
            let there = self.renderer.end_of_content(turn - 1, turn, true, &prompt).ok_or_else(lost)?;
            let tail = &prompt[there..];
            let content = self.renderer.start_of_content(turn, count, self.asked(), self.text);
            let same = common(tail, &self.text[before..]);
            let header = if same == tail.len() { same } else { self.border(&tail[..same]) };
            if header == 0 && !tail.is_empty() {
                return Err(lost());
            }
            let start = before + header;
            content.map_or(start, |content| start.min(content.max(before)))
        };
        if let Some(end) = self.own(turn, start) {
            return Ok(start..end);
        }
        let asked = self.asked();
        let content = self.renderer.end_of_content(turn, count, asked, self.text);
        let calls = self.renderer.end_of_calls(turn, count, asked, self.text);
        let limit = (turn + 1..count)
            .find_map(|next| self.renderer.start_of_content(next, count, asked, self.text))
            .unwrap_or(self.end);
        let anchor = content.max(calls).unwrap_or(start).max(start);
        let rest = self.text.get(anchor..limit).ok_or_else(lost)?;
        if let Some(stop) = first_end(rest, &self.tokenizer.stop_marks()) {
            return Ok(start..anchor + stop);
        }
        // Any other special token ends the turn only where nothing of it can follow.
        let marks = self.tokenizer.end_marks();
        let message = &self.request.messages[turn];
        let called =
            message.get("tool_calls").and_then(Value::as_array).is_some_and(|calls| !calls.is_empty());
        let whole = if called { calls.is_some() } else { content.is_some() };
        let at_once = marks.iter().any(|mark| rest.trim_start().starts_with(mark.as_str()));
        let stop = first_end(rest, &marks).filter(|_| whole || (at_once && !called));
        Ok(start..anchor + stop.ok_or_else(lost)?)
    }

    /// Where a turn that begins at `start` ends, if it stands there as it is rendered alone.
    fn own(&self, turn: usize, start: usize) -> Option<usize> {
        let prompt = self.renderer.prefix(turn, true).ok()?;
        let alone = self.renderer.prefix(turn + 1, false).ok()?;
        let own = alone.strip_prefix(&*prompt)?.trim_end();
        let end = start + own.len();
        let rest = self.text.get(start..)?.strip_prefix(own).filter(|_| !own.is_empty())?;
        let marks = self.tokenizer.end_marks();
        if marks.iter().any(|mark| own.ends_with(mark.as_str())) {
            return Some(end);
        }
        // Rendered alone, a last turn may be left open.
        let open = rest.len() - rest.trim_start().len();
        let stop =
            self.tokenizer.stop_marks().into_iter().find(|mark| rest[open..].starts_with(mark.as_str()))?;
        Some(end + open + stop.len())
    }

    /// The last place in a header at which a line or a special token ends.
    fn border(&self, header: &str) -> usize {
        let line = header.rfind('\n').map_or(0, |at| at + 1);
        let marks = self.tokenizer.end_marks();
        let mark = marks.iter().filter_map(|mark| Some(header.rfind(mark.as_str())? + mark.len())).max();
        line.max(mark.unwrap_or(0))
    }

    fn explanation(&self, turn: usize) -> Unstable {
        let known = self.unstable.iter().find(|unstable| unstable.turn == turn).cloned();
        known.unwrap_or_else(|| Unstable { turn, alone: String::new(), whole: cut(self.text) })
    }

    /// Gives each generation block the assistant turn it stands in.
    fn turns_of(&self, blocks: &[Range<usize>]) -> Vec<(usize, Range<usize>)> {
        let assistants: Vec<usize> = (0..self.request.messages.len())
            .filter(|turn| is_assistant(&self.request.messages[*turn]))
            .collect();
        let mut sorted = blocks.to_vec();
        sorted.sort_by_key(|block| (block.start, block.end));
        if sorted.len() == assistants.len() {
            return assistants.into_iter().zip(sorted).collect();
        }
        let regions = self.regions(&[]);
        let turn_at = |block: &Range<usize>| {
            let at = regions.partition_point(|region| region.end <= block.start);
            assistants
                .iter()
                .copied()
                .filter(|turn| *turn <= at)
                .max()
                .or(assistants.first().copied())
                .unwrap_or(0)
        };
        sorted.into_iter().map(|block| (turn_at(&block), block)).collect()
    }

    /// The bytes of each message, one after the other.
    fn regions(&self, policy: &[(usize, Range<usize>)]) -> Vec<Range<usize>> {
        let count = self.request.messages.len();
        let of =
            |turn: usize| policy.iter().filter(move |(written, _)| *written == turn).map(|(_, span)| span);
        let mut starts = vec![0];
        for turn in 1..count {
            let known = self.ends.get(&turn).copied();
            let alone = if known.is_some() { None } else { self.renderer.prefix(turn, false).ok() };
            let exact = known.or_else(|| {
                alone.as_ref().filter(|alone| self.text.starts_with(&***alone)).map(|alone| alone.len())
            });
            let start = exact
                .or_else(|| of(turn - 1).map(|span| span.end).max())
                .or_else(|| self.renderer.end_of_content(turn - 1, count, self.asked(), self.text))
                .or_else(|| alone.as_ref().map(|alone| common(alone, self.text)))
                .or_else(|| of(turn).map(|span| span.start).min());
            let least = starts.last().copied().unwrap_or(0);
            starts.push(start.unwrap_or(least).clamp(least, self.end));
        }
        starts.push(self.end);
        starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }
}

/// Where the first of the marks in a text ends.
fn first_end(text: &str, marks: &[String]) -> Option<usize> {
    marks.iter().filter_map(|mark| Some(text.find(mark.as_str())? + mark.len())).min()
}

/// The length of what two texts begin with alike, in whole characters.
fn common(one: &str, other: &str) -> usize {
    let mut length = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    while !one.is_char_boundary(length) || !other.is_char_boundary(length) {
        length -= 1;
    }
    length
}

/// The beginning of a text, for messages.
fn cut(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
