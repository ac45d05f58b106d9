//! Tokens as text, with those marked that carry a loss.

use std::fmt::Write as _;

use anyhow::Result;
use model::Tokenizer;
use trainer::data::Tokens;

/// How text is printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Trained text in green instead of in brackets.
    pub(super) colour: bool,
    /// Characters at each end of an untrained stretch that are shown; everything without it.
    pub(super) shown: Option<usize>,
}

/// Around trained text where there is no colour.
const MARKS: [char; 2] = ['⟦', '⟧'];

/// The text of a sequence with trained stretches marked.
pub(super) fn marked(tokenizer: &Tokenizer, tokens: &Tokens, look: Look) -> Result<String> {
    let mut text = String::new();
    let mut start = 0;
    while start < tokens.ids.len() {
        let trained = tokens.trained[start];
        let length = tokens.trained[start..].iter().take_while(|&&other| other == trained).count();
        let piece = visible(&tokenizer.decode(&tokens.ids[start..start + length], false)?);
        match (trained, look.colour) {
            (true, true) => {
                let _ = write!(text, "\u{1b}[1;32m{piece}\u{1b}[0m");
            }
            (true, false) => {
                let _ = write!(text, "{}{piece}{}", MARKS[0], MARKS[1]);
            }
            (false, _) => text.push_str(&shortened(&piece, look.shown)),
        }
        start += length;
    }
    Ok(text)
}

/// Control characters of what tools printed do nothing to the terminal.
fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let harmless = !character.is_control() || matches!(character, '\n' | '\t');
            let escaped = (!harmless).then(|| character.escape_default());
            harmless.then_some(character).into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

fn shortened(text: &str, shown: Option<usize>) -> String {
    let Some(shown) = shown else { return text.to_owned() };
    let length = text.chars().count();
    if length <= 2 * shown + 40 {
        return text.to_owned();
    }
    let head: String = text.chars().take(shown).collect();
    let tail: String = text.chars().skip(length - shown).collect();
    format!("{head}\n… {} characters …\n{tail}", length - 2 * shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_shown_and_long_text_is_cut_in_the_middle() {
        assert_eq!(visible("a\u{1b}[31m\tb\n\r"), "a\\u{1b}[31m\tb\n\\r");
        let long = "é".repeat(200);
        let cut = shortened(&long, Some(10));
        assert_eq!(cut, format!("{}\n… 180 characters …\n{}", "é".repeat(10), "é".repeat(10)));
        assert_eq!(shortened(&long, Some(100)), long);
        assert_eq!(shortened(&long, None), long);
    }
}
