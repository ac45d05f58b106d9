//! Rules that hold for every conversation.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{path::Path, sync::LazyLock};

use model::{
    ChatRequest, Rendering, Tokenizer,
    chat::{MaskSource, Moment},
};
use proptest::prelude::*;
use serde_json::{Value, json};

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat")).unwrap()
});

fn template(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/chat/{name}.jinja"));
    std::fs::read_to_string(path).unwrap()
}

fn render(template: &str, messages: &[Value]) -> Rendering {
    let request =
        ChatRequest { messages, template: Some(template), now: Some(Moment(0)), ..ChatRequest::default() };
    TOKENIZER.render_chat(&request).unwrap()
}

/// Visible text, so that a template that trims does not change it; now and then special tokens and odd characters.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => "[a-zA-Z0-9 .,:{}<>/'\"-]{1,12}",
        1 => Just("<|im_end|>".to_owned()),
        1 => Just("日本😀é\u{fdd0}".to_owned()),
        1 => Just("\n\n  <think>".to_owned()),
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| format!("x{}y", parts.concat()))
}

/// A conversation of an agent: what it writes and what comes back.
fn conversation() -> impl Strategy<Value = Vec<Value>> {
    let step = (text(), text(), any::<bool>(), any::<bool>());
    (text(), prop::collection::vec(step, 1..5)).prop_map(|(question, steps)| {
        let mut messages = vec![json!({"role": "user", "content": question})];
        for (wrote, seen, calls, as_tool) in steps {
            let mut message = json!({"role": "assistant", "content": wrote});
            if calls {
                let call = json!({"type": "function", "function": {"name": "f", "arguments": {"a": &seen}}});
                message["tool_calls"] = json!([call]);
            }
            messages.push(message);
            messages.push(json!({"role": if as_tool { "tool" } else { "user" }, "content": seen}));
        }
        messages
    })
}

/// The text of the tokens that the policy wrote in a turn.
fn written(rendering: &Rendering, turn: usize) -> String {
    let own = |at: &usize| rendering.policy[*at] && rendering.turns[*at] == Some(turn);
    let mut end = 0;
    let mut text = String::new();
    for span in (0..rendering.ids.len()).filter(own).map(|at| rendering.spans[at].clone()) {
        text.push_str(&rendering.text[span.start.max(end)..span.end.max(end)]);
        end = end.max(span.end);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_the_policy_wrote_is_its_content_and_the_end_of_its_turn(messages in conversation()) {
        for name in ["chatml_tools", "chatml_generation"] {
            let rendering = render(&template(name), &messages);
            for (turn, message) in messages.iter().enumerate() {
                let text = written(&rendering, turn);
                if message["role"] != "assistant" {
                    prop_assert_eq!(text, "", "{} {}", name, turn);
                    continue;
                }
                let content = message["content"].as_str().unwrap();
                prop_assert!(text.starts_with(content), "{name} {turn}: {text:?}");
                prop_assert!(text.ends_with("<|im_end|>"), "{name} {turn}: {text:?}");
                if message.get("tool_calls").is_none() {
                    prop_assert_eq!(text, format!("{content}<|im_end|>"));
                }
            }
            prop_assert_eq!(&rendering.straddling, &Vec::<usize>::new());
        }
    }

    #[test]
    fn an_appended_turn_keeps_what_was_there(messages in conversation()) {
        let source = template("chatml_tools");
        let whole = render(&source, &messages);
        prop_assert!(whole.unstable.is_empty());
        for count in (1..messages.len()).filter(|count| messages[*count]["role"] != "tool") {
            let part = render(&source, &messages[..count]);
            prop_assert_eq!(&whole.ids[..part.ids.len()], &part.ids[..]);
            prop_assert_eq!(&whole.policy[..part.ids.len()], &part.policy[..]);
        }
    }

    #[test]
    fn generation_blocks_and_appended_turns_agree(messages in conversation()) {
        let source = template("chatml_generation");
        let exact = render(&source, &messages);
        // The same template without its marks.
        let plain = source.replace("{%- generation -%}", "{%- if true -%}").replace("{%- endgeneration %}", "{%- endif %}");
        let derived = render(&plain, &messages);
        prop_assert_eq!(exact.source, MaskSource::GenerationBlocks);
        prop_assert_eq!(derived.source, MaskSource::StablePrefixes);
        prop_assert_eq!(exact.ids, derived.ids);
        prop_assert_eq!(exact.policy, derived.policy);
        prop_assert_eq!(exact.turns, derived.turns);
    }

    #[test]
    fn unstable_templates_never_mark_what_the_policy_did_not_write(messages in conversation()) {
        let request = ChatRequest {
            messages: &messages,
            template: Some(&template("thinking")),
            ..ChatRequest::default()
        };
        let Ok(rendering) = TOKENIZER.render_chat(&request) else { return Ok(()) };
        for (turn, message) in messages.iter().enumerate() {
            let text = written(&rendering, turn);
            if message["role"] == "assistant" {
                prop_assert!(!text.contains("<|im_start|>"), "{turn}: {text:?}");
                prop_assert!(text.ends_with("<|im_end|>"), "{turn}: {text:?}");
            } else {
                prop_assert_eq!(text, "");
            }
        }
    }
}
