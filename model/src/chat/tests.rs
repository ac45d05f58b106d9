use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat")
}

fn template(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.jinja"))).unwrap()
}

fn render(source: &str, messages: &[Value], tools: Option<&[Value]>) -> Result<Rendering, ChatError> {
    let tokenizer = Tokenizer::load(&folder()).unwrap();
    tokenizer.render_chat(&ChatRequest { messages, tools, template: Some(source), ..ChatRequest::default() })
}

/// What the policy wrote, by turn; panics if a turn's tokens are not one run.
fn written(rendering: &Rendering) -> Vec<(usize, String)> {
    let mut runs: Vec<(usize, String)> = Vec::new();
    let mut last = None;
    for (at, span) in rendering.spans.iter().enumerate().filter(|(at, _)| rendering.policy[*at]) {
        let turn = rendering.turns[at].unwrap();
        let text = &rendering.text[span.clone()];
        match runs.last_mut() {
            Some((run, so_far)) if *run == turn => {
                assert_eq!(last, Some(at - 1), "turn {turn} has a gap");
                // Tokens of one character share it.
                if rendering.spans[at - 1] != *span {
                    so_far.push_str(text);
                }
            }
            _ => runs.push((turn, text.to_owned())),
        }
        last = Some(at);
    }
    runs
}

fn tools() -> Vec<Value> {
    vec![json!({"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}})]
}

fn call(arguments: &Value) -> Value {
    json!({"id": "call12345", "type": "function", "function": {"name": "bash", "arguments": arguments}})
}

fn agent() -> Vec<Value> {
    vec![
        json!({"role": "system", "content": "Be good."}),
        json!({"role": "user", "content": "Fix <|im_end|> it"}),
        json!({"role": "assistant", "content": "Looking.", "tool_calls": [call(&json!({"command": "ls"}))]}),
        json!({"role": "tool", "content": "a.py", "tool_call_id": "call12345"}),
        json!({"role": "tool", "content": "b.py", "tool_call_id": "call12345"}),
        json!({"role": "assistant", "content": "Done 😀"}),
    ]
}

#[test]
fn appended_turns_are_the_policys() {
    let rendering = render(&template("chatml_tools"), &agent(), Some(&tools())).unwrap();
    let call = "Looking.\n<tool_call>\n{\"name\": \"bash\", \"arguments\": {\"command\": \"ls\"}}\n</tool_call><|im_end|>";
    assert_eq!(written(&rendering), [(2, call.to_owned()), (5, "Done 😀<|im_end|>".to_owned())]);
    assert_eq!((rendering.source, &rendering.unstable[..]), (MaskSource::StablePrefixes, &[][..]));
    assert_eq!(rendering.turn_ends.iter().map(|(turn, _)| *turn).collect::<Vec<_>>(), [2, 5]);
    // Each message's own text comes from it.
    for (turn, part) in [(0, "Be good."), (1, "Fix"), (3, "a.py"), (4, "b.py")] {
        let at = rendering.text.find(part).unwrap();
        let token = rendering.spans.iter().position(|span| span.contains(&at)).unwrap();
        assert_eq!(rendering.turns[token], Some(turn), "{part}");
    }
    assert_eq!(rendering.straddling, Vec::<usize>::new());
}

#[test]
fn the_generation_prompt_belongs_to_nobody() {
    let tokenizer = Tokenizer::load(&folder()).unwrap();
    let (source, messages) = (template("chatml_tools"), agent());
    let request = ChatRequest {
        messages: &messages,
        template: Some(&source),
        add_generation_prompt: true,
        ..ChatRequest::default()
    };
    let rendering = tokenizer.render_chat(&request).unwrap();
    let prompt = tokenizer.encode("<|im_start|>assistant\n", false).unwrap().ids;
    let end = rendering.ids.len() - prompt.len();
    assert_eq!(rendering.ids[end..], prompt);
    assert!(rendering.turns[end..].iter().all(Option::is_none));
    assert!(rendering.turns[..end].iter().all(Option::is_some));
    assert!(!rendering.policy[end..].contains(&true));
}

#[test]
fn dropped_thoughts_are_reported_and_the_rest_is_found() {
    let messages = [
        json!({"role": "user", "content": "one"}),
        json!({"role": "assistant", "content": "<think>\nhm\n</think>\n\nFirst."}),
        json!({"role": "user", "content": "two"}),
        json!({"role": "assistant", "content": "Second.", "reasoning_content": "well"}),
    ];
    let rendering = render(&template("thinking"), &messages, None).unwrap();
    assert_eq!(rendering.source, MaskSource::Located);
    assert_eq!(rendering.unstable.iter().map(|unstable| unstable.turn).collect::<Vec<_>>(), [1]);
    assert!(rendering.unstable[0].to_string().contains("<think>"), "{}", rendering.unstable[0]);
    assert_eq!(
        written(&rendering),
        [(1, "First.<|im_end|>".to_owned()), (3, "<think>\nwell\n</think>\n\nSecond.<|im_end|>".to_owned())]
    );
}

#[test]
fn a_prompt_with_an_empty_thought_is_cut_back_to_its_header() {
    let tokenizer = Tokenizer::load(&folder()).unwrap();
    let messages = [
        json!({"role": "user", "content": "one"}),
        json!({"role": "assistant", "content": null, "tool_calls": [call(&json!({}))]}),
        json!({"role": "tool", "content": "out"}),
        json!({"role": "assistant", "content": "<b>"}),
        json!({"role": "user", "content": "two"}),
        json!({"role": "assistant", "content": "ok"}),
    ];
    let source = template("thinking");
    let kwargs = json!({"enable_thinking": false}).as_object().unwrap().clone();
    let request = ChatRequest {
        messages: &messages,
        template: Some(&source),
        kwargs: Some(&kwargs),
        ..ChatRequest::default()
    };
    let rendering = tokenizer.render_chat(&request).unwrap();
    assert_eq!(
        written(&rendering),
        [
            (1, "<tool_call>\n{\"name\": \"bash\", \"arguments\": {}}\n</tool_call><|im_end|>".to_owned()),
            (3, "<b><|im_end|>".to_owned()),
            (5, "ok<|im_end|>".to_owned()),
        ]
    );
    assert_eq!(rendering.unstable.iter().map(|unstable| unstable.turn).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn tools_that_move_to_the_last_question() {
    let messages = [
        json!({"role": "user", "content": "one"}),
        json!({"role": "assistant", "content": "First."}),
        json!({"role": "user", "content": "two"}),
        json!({"role": "assistant", "content": "Second."}),
    ];
    let rendering = render(&template("brackets_strict"), &messages, Some(&tools())).unwrap();
    assert_eq!(rendering.source, MaskSource::Located);
    assert_eq!(
        written(&rendering),
        [(1, " First.<|im_end|>".to_owned()), (3, " Second.<|im_end|>".to_owned())]
    );
    assert_eq!(rendering.unstable[0].turn, 1);
    let plain = render(&template("brackets_strict"), &messages, None).unwrap();
    assert_eq!((plain.source, written(&plain)), (MaskSource::StablePrefixes, written(&rendering)));
}

#[test]
fn what_cannot_be_found_is_an_error() {
    // The length of the conversation changes its beginning, and a text that is written twice has no place.
    let source = "{{ messages | length }}{% for m in messages %}{{ m.content * 2 }}<|im_end|>{% endfor %}";
    let messages = [
        json!({"role": "user", "content": "one"}),
        json!({"role": "assistant", "content": "two"}),
        json!({"role": "user", "content": ""}),
    ];
    let error = render(source, &messages[..], None).unwrap_err();
    assert!(matches!(&error, ChatError::Lost(unstable) if unstable.turn == 1), "{error}");
    assert!(error.to_string().contains("messages[1]"), "{error}");
}

/// Renders calls with a header of special tokens, and every turn but the last without its reasoning.
const CALLS: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n\
    {% if m.reasoning_content and loop.last %}{{ m.reasoning_content }}{% endif %}{{ m.content }}\
    {% for c in m.tool_calls %}<|im_start|>{{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}\
    <|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn located(source: &str, messages: &[Value]) -> Vec<String> {
    let rendering = render(source, messages, None).unwrap();
    assert_eq!(rendering.source, MaskSource::Located);
    written(&rendering).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn calls_behind_special_tokens_belong_to_the_turn() {
    let call = |arguments: Value| json!([{"function": {"name": "run", "arguments": arguments}}]);
    let messages = [
        json!({"role": "user", "content": "go"}),
        json!({"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": call(json!({"x": "ls", "n": 1}))}),
        json!({"role": "tool", "content": ""}),
        json!({"role": "assistant", "content": "", "reasoning_content": "so", "tool_calls": call(json!({"x": "pwd"}))}),
        json!({"role": "tool", "content": "/"}),
        json!({"role": "assistant", "content": "done"}),
    ];
    let expected = [
        "<|im_start|>run {\"x\": \"ls\", \"n\": 1}<|im_end|>",
        "<|im_start|>run {\"x\": \"pwd\"}<|im_end|>",
        "done<|im_end|>",
    ];
    assert_eq!(located(CALLS, &messages), expected);
    // Arguments as a text, which the template writes as such.
    let plain = CALLS.replace(" | tojson", "");
    let mut texts = messages.clone();
    texts[1]["tool_calls"] = call(json!("{\"x\": \"ls\", \"n\": 1}"));
    texts[3]["tool_calls"] = call(json!("{\"x\": \"pwd\"}"));
    assert_eq!(located(&plain, &texts), expected);
}

#[test]
fn generation_blocks_that_are_rewritten_are_not_trusted() {
    let source = "{% for m in messages %}{% set text %}{% if m.role == 'assistant' %}{% generation %}  {{ m.content }}\
                  {% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endset %}[{{ text | trim }}]\n{% endfor %}";
    let messages =
        [json!({"role": "user", "content": "one"}), json!({"role": "assistant", "content": "two"})];
    let rendering = render(source, &messages, None).unwrap();
    assert_eq!(rendering.text, "[one]\n[two]\n");
    assert_eq!(rendering.source, MaskSource::StablePrefixes);
}

#[test]
fn tokens_on_the_border_are_never_trained() {
    // The header ends with a line break that joins those of the content.
    let source = "{% for m in messages %}{{ m.role }}:\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}\
                  {% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}";
    let messages =
        [json!({"role": "user", "content": "a"}), json!({"role": "assistant", "content": "\n\n\n\nb"})];
    let rendering = render(source, &messages, None).unwrap();
    for at in &rendering.straddling {
        assert!(!rendering.policy[*at] && rendering.assistant_mask[*at]);
    }
    let whole = rendering.text.find("\n\n\n\nb").unwrap();
    for (at, span) in rendering.spans.iter().enumerate() {
        assert!(!rendering.policy[at] || span.start >= whole, "{span:?}");
    }
}

#[test]
fn a_template_without_a_prompt_has_headers() {
    let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
    let messages = [json!({"role": "user", "content": "a"}), json!({"role": "assistant", "content": "b"})];
    assert_eq!(written(&render(source, &messages, None).unwrap()), [(1, "b<|im_end|>".to_owned())]);
}

#[test]
fn requests_are_checked() {
    assert!(matches!(render("x", &[], None), Err(ChatError::Request(_) | ChatError::NoTemplate(_))));
    assert!(matches!(render("{{ 1 }}", &[], None), Err(ChatError::Request(_))));
    let error = render("{{ 1 }}", &[json!("text")], None).unwrap_err();
    assert!(error.to_string().starts_with("messages[0]"), "{error}");
    let tokenizer = Tokenizer::load(&folder()).unwrap();
    let messages = [json!({"role": "user", "content": "a"})];
    let error =
        tokenizer.render_chat(&ChatRequest { messages: &messages, ..ChatRequest::default() }).unwrap_err();
    assert!(matches!(error, ChatError::NoTemplate(_)), "{error}");
}
