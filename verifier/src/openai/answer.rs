//! The judge's answer, read off log-probabilities.
//!
//! The paper's verifier takes the distribution at a fixed token index, gives a missing answer a log-probability of
//! −10,000, and divides zero by zero when both are missing. Here the token after `<judgement>` is found by its text, the
//! variants of an answer are added up, and an answer that is no answer is `None` with a reason. Where only one of the two
//! is listed the paper's −10,000 is kept, so that published scores can be reproduced.

use serde_json::Value;

use crate::input::ANSWER_PREFIX;

/// Log-probability of an answer that is not among the listed ones while the other one is.
const ABSENT: f64 = -10_000.0;

/// The least probability that YES and NO must have together.
const LEAST_MASS: f64 = 0.01;

/// A generated token and what could have stood in its place.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Position {
    /// The token that was generated.
    pub(super) token: String,
    /// Tokens with their log-probabilities; null where the server gave no number.
    pub(super) alternatives: Vec<(String, Option<f64>)>,
}

/// The logit of YES against NO: the log-odds, σ of which is the probability of YES.
pub(super) fn logit(positions: &[Position]) -> Result<f64, String> {
    let (at, skip) = answer_at(positions).ok_or("the answer is empty")?;
    let cut = &positions[at].token[..skip];
    let mut yes = Vec::new();
    let mut no = Vec::new();
    for (token, logprob) in &positions[at].alternatives {
        let Some(token) = token.strip_prefix(cut) else { continue };
        let side = match side(token) {
            Some(true) => &mut yes,
            Some(false) => &mut no,
            None => continue,
        };
        match logprob {
            Some(value) if *value <= 1e-3 => side.push(*value),
            Some(value) => return Err(format!("{value} of `{token}` is no log-probability")),
            None => return Err(format!("the server gave no number for `{token}`")),
        }
    }
    if yes.is_empty() && no.is_empty() {
        return Err(format!("neither YES nor NO is among the likely answers, {} is", shown(&positions[at])));
    }
    let (yes, no) = (log_sum(&yes), log_sum(&no));
    if yes.exp() + no.exp() < LEAST_MASS {
        return Err(format!("neither YES nor NO is likely, {} is", shown(&positions[at])));
    }
    Ok(yes - no)
}

/// The position of the answer, and how many bytes of its token still belong to the mark before it.
fn answer_at(positions: &[Position]) -> Option<(usize, usize)> {
    let text: String = positions.iter().map(|position| position.token.as_str()).collect();
    // A model that thinks aloud may mention the mark before it answers: the last one counts.
    let start = text.rfind(ANSWER_PREFIX).map_or(0, |at| at + ANSWER_PREFIX.len());
    let mut before = 0;
    for (at, position) in positions.iter().enumerate() {
        let end = before + position.token.len();
        let skip = start.saturating_sub(before);
        if end > start && !position.token[skip..].trim().is_empty() {
            return Some((at, skip));
        }
        before = end;
    }
    None
}

/// YES is true, NO false. Tokenizers write a leading space in several ways, and some split the words.
fn side(token: &str) -> Option<bool> {
    let word =
        token.trim_matches(|c: char| c.is_whitespace() || matches!(c, 'Ġ' | '▁' | 'Ċ' | '<' | '/' | '.'));
    let is = |whole: &str| {
        !word.is_empty() && word.len() <= whole.len() && whole[..word.len()].eq_ignore_ascii_case(word)
    };
    match (is("YES"), is("NO")) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

fn log_sum(values: &[f64]) -> f64 {
    let highest = values.iter().copied().fold(ABSENT, f64::max);
    if values.is_empty() {
        return ABSENT;
    }
    highest + values.iter().map(|value| (value - highest).exp()).sum::<f64>().ln()
}

fn shown(position: &Position) -> String {
    let text: String = position.token.chars().take(40).collect();
    format!("{text:?}")
}

/// The generated tokens of a reply of chat completions or completions; both shapes of log-probabilities are read.
pub(super) fn positions(reply: &Value) -> Result<Vec<Position>, String> {
    let choice = reply.get("choices").and_then(|choices| choices.get(0)).ok_or("the reply has no choices")?;
    let logprobs = choice.get("logprobs").filter(|value| !value.is_null());
    let logprobs =
        logprobs.ok_or("the reply has no log-probabilities; the server must support `logprobs`")?;
    if let Some(content) = logprobs.get("content").and_then(Value::as_array) {
        return Ok(content.iter().map(of_chat).collect());
    }
    let list = |name: &str| logprobs.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (tokens, chosen, top) = (list("tokens"), list("token_logprobs"), list("top_logprobs"));
    if tokens.is_empty() {
        return Err("the reply's log-probabilities are empty".to_owned());
    }
    let position = |(at, token): (usize, &Value)| {
        let token = text(token);
        let listed = top.get(at).and_then(Value::as_object).into_iter().flatten();
        let alternatives = listed.map(|(token, logprob)| (token.clone(), logprob.as_f64())).collect();
        with_chosen(token, chosen.get(at).and_then(Value::as_f64), alternatives)
    };
    Ok(tokens.iter().enumerate().map(position).collect())
}

fn of_chat(entry: &Value) -> Position {
    let listed = entry.get("top_logprobs").and_then(Value::as_array).into_iter().flatten();
    let alternatives = listed.map(|one| (text(&one["token"]), one["logprob"].as_f64())).collect();
    with_chosen(text(&entry["token"]), entry["logprob"].as_f64(), alternatives)
}

/// The chosen token counts too, once.
fn with_chosen(token: String, logprob: Option<f64>, listed: Vec<(String, Option<f64>)>) -> Position {
    let mut alternatives: Vec<(String, Option<f64>)> = Vec::with_capacity(listed.len() + 1);
    for (token, logprob) in listed.into_iter().chain([(token.clone(), logprob)]) {
        if alternatives.iter().all(|(known, _)| *known != token) {
            alternatives.push((token, logprob));
        }
    }
    Position { token, alternatives }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at(token: &str, alternatives: &[(&str, f64)]) -> Position {
        let alternatives =
            alternatives.iter().map(|(token, value)| ((*token).to_owned(), Some(*value))).collect();
        Position { token: token.into(), alternatives }
    }

    fn probability(positions: &[Position]) -> Result<f64, String> {
        logit(positions).map(|logit| 1.0 / (1.0 + (-logit).exp()))
    }

    #[test]
    fn published_scores_are_reproduced() {
        let p = |alternatives| probability(&[at("YES", alternatives)]).unwrap();
        assert!((p(&[("YES", -0.05), ("NO", -3.0)]) - 0.950_263_49).abs() < 1e-8);
        assert_eq!(p(&[("NO", -0.1)]), 0.0);
        assert!((p(&[("YES", -5.0), ("NO", -0.2)]) - 0.008_162_57).abs() < 1e-8);
    }

    #[test]
    fn variants_are_added_up() {
        let variants =
            [("YES", -1.0), (" yes", -1.0), ("ĠYes", -1.5), ("NO", -2.0), ("maybe", -0.1), ("Y", -3.0)];
        let yes = f64::ln((-1.0_f64).exp() * 2.0 + (-1.5_f64).exp() + (-3.0_f64).exp());
        assert!((logit(&[at("YES", &variants)]).unwrap() - (yes + 2.0)).abs() < 1e-12);
        for word in ["YES", "yes ", "▁Yes", "YES</", "Y", "Ye"] {
            assert_eq!(side(word), Some(true), "{word}");
        }
        for word in ["NO", "n", " No."] {
            assert_eq!(side(word), Some(false), "{word}");
        }
        for word in ["", " ", "NOT", "YESS", "yet", "Nö", "?", "<"] {
            assert_eq!(side(word), None, "{word}");
        }
    }

    #[test]
    fn the_answer_is_found_by_the_mark_before_it() {
        let yes = [("YES", -0.05), ("NO", -3.0)];
        let wanted = logit(&[at("YES", &yes)]).unwrap();
        let word = |token: &str| at(token, &[("NO", -0.01)]);
        for before in [
            &["<", "jud", "gement", ">"][..],
            &["<judgement>"],
            &["<judgement>NO", "</judgement>", " wait ", "<judgement", ">", "\n"],
            &["\n"],
        ] {
            let mut positions: Vec<Position> = before.iter().map(|token| word(token)).collect();
            positions.push(at("YES", &yes));
            assert_eq!(logit(&positions), Ok(wanted), "{before:?}");
        }
        let joined = [word("<judgement"), at(">YES", &[(">YES", -0.05), (">NO", -3.0), (" NO", -0.01)])];
        assert_eq!(logit(&joined), Ok(wanted));
    }

    #[test]
    fn no_answer_is_no_score() {
        for (positions, words) in [
            (vec![], "empty"),
            (vec![at("I", &[("I", -0.1), ("The", -2.0)])], "neither YES nor NO"),
            (
                vec![at("I", &[("I", -0.001), ("YES", -9.0), ("NO", -9.0)])],
                "neither YES nor NO is likely, \"I\" is",
            ),
            (vec![at("YES", &[("YES", 3.0)])], "is no log-probability"),
            (vec![Position { token: "YES".into(), alternatives: vec![("YES".into(), None)] }], "no number"),
        ] {
            let reason = logit(&positions).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[test]
    fn both_shapes_of_replies_are_read() {
        let chat = json!({"choices": [{"logprobs": {"content": [
            {"token": "YES", "logprob": -0.05, "top_logprobs": [{"token": "YES", "logprob": -0.05}, {"token": "NO", "logprob": -3.0}]}
        ]}}]});
        let plain = json!({"choices": [{"logprobs": {
            "tokens": ["YES"], "token_logprobs": [-0.05], "top_logprobs": [{"YES": -0.05, "NO": -3.0}], "text_offset": [0]
        }}]});
        let bare = json!({"choices": [{"logprobs": {"content": [{"token": "NO", "logprob": -0.1, "top_logprobs": []}]}}]});
        assert_eq!(positions(&chat), positions(&plain));
        assert!((probability(&positions(&chat).unwrap()).unwrap() - 0.950_263_49).abs() < 1e-8);
        assert_eq!(probability(&positions(&bare).unwrap()), Ok(0.0));
        for broken in
            [json!({}), json!({"choices": []}), json!({"choices": [{"logprobs": null}]}), json!([1])]
        {
            assert!(positions(&broken).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn a_logit_is_always_finite(values in prop::collection::vec((0_usize..6, prop::option::of(-50.0..0.0_f64)), 0..8)) {
            let words = ["YES", "NO", "Yes", "no", "maybe", "<judgement>"];
            let alternatives = values.iter().map(|(word, value)| (words[*word].to_owned(), *value)).collect();
            if let Ok(logit) = logit(&[Position { token: "YES".into(), alternatives }]) {
                prop_assert!(logit.is_finite());
            }
        }
    }
}
