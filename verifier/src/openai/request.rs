//! What is sent: a body for each mode, and the ways in which servers take a judge's question.

use serde_json::{Map, Value, json};

use super::settings::{Mode, Prefill};
use crate::input::ANSWER_PREFIX;

/// Tokens that a model may write before it answers, when it has to open the answer itself.
const ANSWER_TOKENS: u32 = 16;

/// A way to ask for a judgement that some servers take and others refuse or ignore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// The server continues a message that begins with `<judgement>`; otherwise the model writes that itself.
    pub(super) prefill: bool,
    /// Alternatives a token: 20 as OpenAI and vLLM allow, 5 as TGI does.
    pub(super) top: u32,
}

/// The ways to try, best first.
pub(super) fn dialects(mode: Mode, prefill: Prefill) -> Vec<Dialect> {
    let of = |prefill, top| Dialect { prefill, top };
    match (mode, prefill) {
        (Mode::Classify | Mode::Score | Mode::Rerank, _) => vec![of(false, 0)],
        (Mode::Completions, _) | (Mode::Judge, Prefill::Always) => vec![of(true, 20), of(true, 5)],
        (Mode::Judge, Prefill::Never) => vec![of(false, 20), of(false, 5)],
        (Mode::Judge, Prefill::Auto) => vec![of(true, 20), of(false, 20), of(true, 5), of(false, 5)],
    }
}

/// Where the question of a mode goes.
pub(super) fn path(mode: Mode) -> &'static str {
    match mode {
        Mode::Judge => "/v1/chat/completions",
        Mode::Completions => "/v1/completions",
        Mode::Classify => "/classify",
        Mode::Score => "/score",
        Mode::Rerank => "/v1/rerank",
    }
}

/// The body of a request: messages for the judge; for pairs the first message is the query and the rest the document.
pub(super) fn body(
    mode: Mode,
    dialect: Dialect,
    model: &str,
    messages: &[(String, String)],
    extra: &Map<String, Value>,
) -> Value {
    let text = |messages: &[(String, String)]| {
        messages.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n\n")
    };
    let (query, document) = messages.split_at(messages.len().min(1));
    let mut body = match mode {
        Mode::Judge => judge(dialect, messages),
        Mode::Completions => json!({
            "prompt": format!("{}\n\n{ANSWER_PREFIX}", text(messages)),
            "temperature": 0.0,
            "max_tokens": 1,
            "logprobs": dialect.top,
        }),
        Mode::Classify => json!({"input": [text(messages)]}),
        Mode::Score => json!({"text_1": text(query), "text_2": [text(document)]}),
        Mode::Rerank => json!({"query": text(query), "documents": [text(document)]}),
    };
    body["model"] = model.into();
    for (name, value) in extra {
        body[name] = value.clone();
    }
    body
}

fn judge(dialect: Dialect, messages: &[(String, String)]) -> Value {
    let mut turns: Vec<Value> =
        messages.iter().map(|(role, text)| json!({"role": role, "content": text})).collect();
    if dialect.prefill {
        turns.push(json!({"role": "assistant", "content": ANSWER_PREFIX}));
    }
    let mut body = json!({
        "messages": turns,
        "temperature": 0.0,
        "max_tokens": if dialect.prefill { 1 } else { ANSWER_TOKENS },
        "logprobs": true,
        "top_logprobs": dialect.top,
        "stream": false,
    });
    if dialect.prefill {
        body["add_generation_prompt"] = false.into();
        body["continue_final_message"] = true.into();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Vec<(String, String)> {
        vec![("system".into(), "rules".into()), ("user".into(), "log".into())]
    }

    #[test]
    fn a_judge_continues_the_opened_answer() {
        let ways = dialects(Mode::Judge, Prefill::Auto);
        let asked = body(Mode::Judge, ways[0], "m", &messages(), &Map::new());
        assert_eq!(asked["messages"][2], json!({"role": "assistant", "content": "<judgement>"}));
        assert_eq!(
            (&asked["continue_final_message"], &asked["add_generation_prompt"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(
            (&asked["max_tokens"], &asked["top_logprobs"], &asked["model"]),
            (&json!(1), &json!(20), &json!("m"))
        );
        let plain = body(Mode::Judge, ways[1], "m", &messages(), &Map::new());
        assert_eq!(plain["messages"].as_array().unwrap().len(), 2);
        assert!(plain.get("continue_final_message").is_none());
    }

    #[test]
    fn every_mode_has_its_fields() {
        let of = |mode| body(mode, dialects(mode, Prefill::Auto)[0], "m", &messages(), &Map::new());
        assert_eq!(of(Mode::Completions)["prompt"], "rules\n\nlog\n\n<judgement>");
        assert_eq!(of(Mode::Classify)["input"], json!(["rules\n\nlog"]));
        assert_eq!(
            (&of(Mode::Score)["text_1"], &of(Mode::Score)["text_2"]),
            (&json!("rules"), &json!(["log"]))
        );
        assert_eq!(
            (&of(Mode::Rerank)["query"], &of(Mode::Rerank)["documents"]),
            (&json!("rules"), &json!(["log"]))
        );
    }

    #[test]
    fn further_fields_win() {
        let extra = json!({"temperature": 0.5, "seed": 1}).as_object().unwrap().clone();
        let asked = body(Mode::Judge, Dialect { prefill: false, top: 5 }, "m", &messages(), &extra);
        assert_eq!((&asked["temperature"], &asked["seed"]), (&json!(0.5), &json!(1)));
    }
}
