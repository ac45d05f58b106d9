//! Text out of tokens as they come: nothing is given out that later tokens could still change or cut off.

use crate::tokenizer::{Tokenizer, TokenizerError};

/// The text of a growing sequence of tokens.
#[derive(Debug)]
pub struct TextStream<'t> {
    /// Without one there is no text.
    tokenizer: Option<&'t Tokenizer>,
    stop: Vec<String>,
    ids: Vec<u32>,
    /// Tokens before this are settled: their text is in `text`.
    settled: usize,
    /// Tokens from here on are decoded together, so that a token that is written differently at the start of a text
    /// is not.
    context: usize,
    text: String,
    /// Bytes of `text` that were given out.
    given: usize,
}

impl<'t> TextStream<'t> {
    /// A stream that ends before any of the stop texts.
    pub fn new(tokenizer: &'t Tokenizer, stop: &[String]) -> Self {
        let stop = stop.iter().filter(|text| !text.is_empty()).cloned().collect();
        Self { tokenizer: Some(tokenizer), stop, ..Self::without_text() }
    }

    /// A stream of tokens that nobody can turn into text.
    pub(super) fn without_text() -> Self {
        Self {
            tokenizer: None,
            stop: Vec::new(),
            ids: Vec::new(),
            settled: 0,
            context: 0,
            text: String::new(),
            given: 0,
        }
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.tokenizer.map_or_else(|| Ok(String::new()), |tokenizer| tokenizer.decode(ids, true))
    }

    /// Takes a token. The stop text that the text now holds, if it does: what is before it is the result.
    pub fn push(&mut self, id: u32) -> Result<Option<String>, TokenizerError> {
        self.ids.push(id);
        let before = self.decode(&self.ids[self.context..self.settled])?;
        let now = self.decode(&self.ids[self.context..])?;
        // A character of which bytes are still to come decodes to a replacement character.
        if now.ends_with('\u{fffd}') || !now.starts_with(&before) {
            return Ok(None);
        }
        self.settle(&now[before.len()..]);
        Ok(self.stopped())
    }

    fn settle(&mut self, text: &str) {
        self.text.push_str(text);
        self.context = self.settled;
        self.settled = self.ids.len();
    }

    fn stopped(&mut self) -> Option<String> {
        let found = self.stop.iter().filter_map(|stop| Some((self.text.find(stop.as_str())?, stop.clone())));
        let (at, stop) = found.min_by_key(|(at, _)| *at)?;
        self.text.truncate(at);
        Some(stop)
    }

    /// The text that can be given out: all but what may be the beginning of a stop text.
    pub fn ready(&mut self) -> &str {
        let held = self.stop.iter().map(|stop| overlap(&self.text, stop)).max().unwrap_or(0);
        let from = self.given.min(self.text.len());
        let until = (self.text.len() - held).max(from);
        self.given = until;
        &self.text[from..until]
    }

    /// The end: text that was held back becomes part of the result.
    pub fn finish(mut self) -> Result<(String, String), TokenizerError> {
        if self.settled < self.ids.len() && self.stop.iter().all(|stop| !self.text.contains(stop.as_str())) {
            let before = self.decode(&self.ids[self.context..self.settled])?;
            let now = self.decode(&self.ids[self.context..])?;
            let tail = now.strip_prefix(before.as_str()).unwrap_or_default().to_owned();
            self.settle(&tail);
        }
        let rest = self.text[self.given.min(self.text.len())..].to_owned();
        Ok((self.text, rest))
    }
}

/// The length of the longest end of `text` that `stop` begins with.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = stop.len().saturating_sub(1).min(text.len());
    let starts = (text.len() - longest..text.len()).filter(|at| text.is_char_boundary(*at));
    starts
        .map(|at| text.len() - at)
        .find(|length| stop.starts_with(&text[text.len() - length..]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_the_longest() {
        assert_eq!(overlap("abcab", "abd"), 2);
        assert_eq!(overlap("abc", "x"), 0);
        assert_eq!(overlap("aaa", "aaaa"), 3);
        assert_eq!(overlap("é", "é!"), 2);
        assert_eq!(overlap("", "a"), 0);
    }
}
