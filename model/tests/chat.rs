//! Chat templates and tokens as transformers has them; `fixtures/record_chat.py` recorded what is expected.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use model::{
    ChatRequest, Tokenizer,
    chat::{MaskSource, Moment},
};
use serde_json::{Map, Value};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat")
}

fn tokenizer() -> Tokenizer {
    Tokenizer::load(&folder()).unwrap()
}

fn template(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.jinja"))).unwrap()
}

fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("expected.json")).unwrap()).unwrap()
}

/// Runs `check` on every recorded case: its name, the request and what is expected.
fn each_case(check: impl Fn(&str, &ChatRequest, &Value)) {
    let expected = expected();
    let tools = expected["tools"].as_array().unwrap();
    for case in expected["cases"].as_array().unwrap() {
        let source = template(case["template"].as_str().unwrap());
        let kwargs: &Map<String, Value> = case["kwargs"].as_object().unwrap();
        let conversation = case["conversation"].as_str().unwrap();
        let request = ChatRequest {
            messages: expected["conversations"][conversation].as_array().unwrap(),
            tools: case["tools"].as_bool().unwrap().then_some(tools),
            add_generation_prompt: case["prompt"].as_bool().unwrap(),
            kwargs: Some(kwargs),
            template: Some(&source),
            now: Some(Moment(expected["now"].as_i64().unwrap())),
            ..ChatRequest::default()
        };
        let name =
            format!("{} {conversation} {} {} {kwargs:?}", case["template"], case["tools"], case["prompt"]);
        check(&name, &request, case);
    }
}

fn ids(case: &Value) -> Vec<u32> {
    case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// What is wrong with a case, if anything.
fn difference(tokenizer: &Tokenizer, request: &ChatRequest, case: &Value) -> Option<String> {
    match (tokenizer.apply(request), case.get("error")) {
        (Ok((text, encoded)), None) => {
            let expected = case["text"].as_str().unwrap();
            if text != expected {
                let at = text.bytes().zip(expected.bytes()).take_while(|(one, other)| one == other).count();
                let part = |text: &str| {
                    String::from_utf8_lossy(&text.as_bytes()[at..(at + 80).min(text.len())]).into_owned()
                };
                return Some(format!("byte {at}: {:?} instead of {:?}", part(&text), part(expected)));
            }
            (encoded.ids != ids(case)).then(|| "other tokens".to_owned())
        }
        (Err(error), Some(expected)) => {
            let message = expected.as_str().unwrap().strip_prefix("TemplateError: ")?;
            (!error.to_string().ends_with(message)).then(|| error.to_string())
        }
        (Ok((text, _)), Some(error)) => Some(format!("transformers refuses with {error}, got {text:?}")),
        (Err(error), None) => Some(error.to_string()),
    }
}

#[test]
fn texts_and_tokens_are_those_of_transformers() {
    let tokenizer = tokenizer();
    let wrong = std::cell::RefCell::new(Vec::new());
    each_case(|name, request, case| {
        if let Some(difference) = difference(&tokenizer, request, case) {
            wrong.borrow_mut().push(format!("{name}: {difference}"));
        }
    });
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn masks_of_generation_blocks_are_those_of_transformers() {
    let tokenizer = tokenizer();
    let masks = std::cell::Cell::new(0);
    each_case(|name, request, case| {
        let Some(mask) = case["mask"].as_str() else { return };
        let rendering = tokenizer.render_chat(request).unwrap();
        let got: String =
            rendering.assistant_mask.iter().map(|written| if *written { '1' } else { '0' }).collect();
        assert_eq!(got, mask, "{name}");
        assert_eq!(rendering.source, MaskSource::GenerationBlocks, "{name}");
        masks.set(masks.get() + 1);
    });
    assert!(masks.get() > 20);
}
