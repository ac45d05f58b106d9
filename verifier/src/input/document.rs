//! A trajectory laid out for a model: pieces of text, each known by what it is.

use std::borrow::Cow;
use std::ops::Range;

use serde::Serialize;

use crate::backend::Layout;

/// Who speaks, in a chat message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// Instructions.
    System,
    /// Everything else.
    User,
}

impl Speaker {
    /// The role in chat APIs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
        }
    }
}

/// What a piece of text is. Turns are positions in the trajectory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "part", content = "turn")]
pub enum Part {
    /// The layout's own words and marks.
    Frame,
    /// The text of the issue.
    Issue,
    /// What the assistant thought or said in a turn.
    Thought(usize),
    /// What it did.
    Action(usize),
    /// What came back: one turn of the environment or the user.
    Observation(usize),
    /// The final patch.
    Patch,
}

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<'a> {
    /// What it is.
    pub part: Part,
    /// The text, escaped.
    pub text: Cow<'a, str>,
    /// Whether it may be condensed: it is no part of the last turns.
    pub(super) may_go: bool,
}

/// A chat message: a run of segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub speaker: Speaker,
    /// Its segments.
    pub segments: Range<usize>,
}

/// A place between two segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The message, from 0.
    pub message: usize,
    /// Bytes of its text before the place.
    pub byte: usize,
}

/// A trajectory laid out: messages made of segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<'a> {
    /// The layout.
    pub layout: Layout,
    /// The texts, in order.
    pub segments: Vec<Segment<'a>>,
    /// The messages, which cover the segments in order.
    pub messages: Vec<Message>,
    /// For every assistant turn, the number of segments up to and including its last.
    pub(super) turn_ends: Vec<usize>,
    /// Leading segments that are the same for every candidate of the issue.
    pub(super) shared: usize,
}

impl Document<'_> {
    /// The text of a message.
    pub fn text(&self, message: &Message) -> String {
        self.segments[message.segments.clone()].iter().map(|segment| &*segment.text).collect()
    }

    /// All messages as (role, text), as a chat API takes them.
    pub fn chat(&self) -> Vec<(String, String)> {
        self.messages.iter().map(|message| (message.speaker.name().to_owned(), self.text(message))).collect()
    }

    /// Escapes further texts, such as the special tokens of one tokenizer, in everything that is no frame.
    pub fn escape_also(&mut self, texts: &[String]) {
        for segment in self.segments.iter_mut().filter(|segment| segment.part != Part::Frame) {
            for text in texts {
                if !segment.text.contains(text.as_str()) {
                    continue;
                }
                let first = text.chars().next().map_or(0, char::len_utf8);
                let escaped = format!("{}\\{}", &text[..first], &text[first..]);
                segment.text = segment.text.replace(text.as_str(), &escaped).into();
            }
        }
    }

    /// Where every assistant turn ends: right after its last mark.
    pub fn turn_ends(&self) -> Vec<Place> {
        self.turn_ends.iter().map(|&end| self.place(end)).collect()
    }

    /// Up to where all candidates of one issue have the same text.
    pub fn shared(&self) -> Place {
        self.place(self.shared)
    }

    /// The place after so many segments.
    fn place(&self, segments: usize) -> Place {
        let (at, message) = self
            .messages
            .iter()
            .enumerate()
            .rfind(|(_, message)| message.segments.start < segments)
            .unwrap_or((0, &self.messages[0]));
        let before = &self.segments[message.segments.start..segments.max(message.segments.start)];
        Place { message: at, byte: before.iter().map(|segment| segment.text.len()).sum() }
    }

    /// BLAKE3 over the layout and all messages: equal inputs have equal hashes.
    pub fn content_hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.layout.name().as_bytes());
        for message in &self.messages {
            hasher.update(&[0]);
            hasher.update(message.speaker.name().as_bytes());
            let segments = &self.segments[message.segments.clone()];
            let bytes: usize = segments.iter().map(|segment| segment.text.len()).sum();
            hasher.update(&(bytes as u64).to_le_bytes());
            for segment in segments {
                hasher.update(segment.text.as_bytes());
            }
        }
        *hasher.finalize().as_bytes()
    }
}

/// Puts a document together.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    document: Document<'a>,
    started: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(layout: Layout) -> Self {
        let document =
            Document { layout, segments: Vec::new(), messages: Vec::new(), turn_ends: Vec::new(), shared: 0 };
        Self { document, started: 0 }
    }

    /// Adds text of the layout itself to the segment before, if that is one of the layout too.
    pub(super) fn frame(&mut self, text: impl Into<Cow<'a, str>>) {
        self.push(Part::Frame, text.into(), false);
    }

    /// Adds text that somebody wrote, escaped; nothing for an empty one.
    pub(super) fn add(&mut self, part: Part, text: Cow<'a, str>, may_go: bool) {
        if !text.is_empty() {
            let text = match text {
                Cow::Borrowed(text) => super::escape::escape(text),
                Cow::Owned(text) => Cow::Owned(super::escape::escape(&text).into_owned()),
            };
            self.push(part, text, may_go);
        }
    }

    fn push(&mut self, part: Part, text: Cow<'a, str>, may_go: bool) {
        self.document.segments.push(Segment { part, text, may_go });
    }

    /// Everything up to here is the same for all candidates of the issue.
    pub(super) fn end_shared(&mut self) {
        self.document.shared = self.document.segments.len();
    }

    /// An assistant turn ends here.
    pub(super) fn end_turn(&mut self) {
        self.document.turn_ends.push(self.document.segments.len());
    }

    /// What was added since the last message is one of this speaker.
    pub(super) fn end_message(&mut self, speaker: Speaker) {
        let end = self.document.segments.len();
        self.document.messages.push(Message { speaker, segments: self.started..end });
        self.started = end;
    }

    pub(super) fn finish(self) -> Document<'a> {
        self.document
    }
}
