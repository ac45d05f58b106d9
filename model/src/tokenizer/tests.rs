use std::path::{Path, PathBuf};

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat")
}

fn with(files: &[(&str, &str)]) -> Result<Tokenizer, TokenizerError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(folder().join("tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Tokenizer::load(dir.path())
}

#[test]
fn there_and_back() {
    let tokenizer = Tokenizer::load(&folder()).unwrap();
    for text in ["", "plain", "naïve 😀\n\t x<|im_end|><tool_call>", "日本語 ✓"] {
        let encoded = tokenizer.encode(text, true).unwrap();
        assert_eq!(tokenizer.decode(&encoded.ids, false).unwrap(), text);
        let mut end = 0;
        for span in &encoded.spans {
            assert!(
                span.start <= end && text.is_char_boundary(span.start) && text.is_char_boundary(span.end)
            );
            end = span.end;
        }
        assert_eq!(end, text.len());
    }
    let ids = tokenizer.encode("a<|im_end|>", false).unwrap().ids;
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "a");
}

#[test]
fn what_the_small_files_say() {
    let tokenizer = Tokenizer::load(&folder()).unwrap();
    let id = |token: &str| tokenizer.id(token).unwrap();
    assert_eq!(tokenizer.eos(), [id("<|im_end|>"), id("<|eot_id|>"), id("<|endoftext|>")]);
    assert_eq!(tokenizer.bos(), Some(id("<|begin_of_text|>")));
    assert_eq!(tokenizer.pad(), Some(id("<|endoftext|>")));
    assert_eq!(tokenizer.generation_defaults().top_k, Some(20));
    assert_eq!(tokenizer.vocabulary(), 411);

    let bare = with(&[]).unwrap();
    assert_eq!((bare.eos(), bare.bos(), bare.special().len()), (&[][..], None, 0));
    let config = r#"{"eos_token": {"content": "<|eot_id|>", "__type": "AddedToken"}, "image_token": "<|new|>", "pad_token": null}"#;
    let tokenizer =
        with(&[("tokenizer_config.json", config), ("config.json", r#"{"eos_token_id": 7}"#)]).unwrap();
    assert_eq!(tokenizer.eos(), [7]);
    assert!(tokenizer.is_stop(tokenizer.id("<|eot_id|>").unwrap()) && tokenizer.is_stop(7));
    assert_eq!(tokenizer.id("<|new|>"), Some(411));
    assert_eq!(tokenizer.encode("x<|new|>", false).unwrap().ids.last(), Some(&411));
    let map = r#"{"bos_token": {"content": "<|im_start|>"}, "additional_special_tokens": ["<|more|>"]}"#;
    let tokenizer = with(&[("special_tokens_map.json", map)]).unwrap();
    assert_eq!(tokenizer.special()["bos_token"], "<|im_start|>");
    assert_eq!(tokenizer.id("<|more|>"), Some(411));
}

#[test]
fn templates_in_every_place() {
    let named =
        r#"{"chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]}"#;
    let source = |tokenizer: &Tokenizer, name, tools| {
        tokenizer.chat_template(name, tools).map(|template| template.source().to_owned())
    };
    let tokenizer = with(&[("tokenizer_config.json", named)]).unwrap();
    assert_eq!(source(&tokenizer, None, false).as_deref(), Some("a"));
    assert_eq!(source(&tokenizer, None, true).as_deref(), Some("b"));
    assert_eq!(source(&tokenizer, Some("tool_use"), false).as_deref(), Some("b"));
    assert_eq!(source(&tokenizer, Some("other"), false), None);
    let tokenizer = with(&[
        ("tokenizer_config.json", named),
        ("chat_template.jinja", "c"),
        ("additional_chat_templates/rag.jinja", "d"),
    ])
    .unwrap();
    assert_eq!(tokenizer.chat_templates().collect::<Vec<_>>(), ["default", "rag"]);
    assert_eq!(source(&tokenizer, None, true).as_deref(), Some("c"));
    let tokenizer = with(&[("chat_template.json", r#"{"chat_template": "e"}"#)]).unwrap();
    assert_eq!(source(&tokenizer, None, false).as_deref(), Some("e"));
    assert_eq!(source(&with(&[]).unwrap(), None, false), None);
}

#[test]
fn errors_name_the_file() {
    for (file, text) in [
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", r#"{"chat_template": 1}"#),
        ("tokenizer_config.json", r#"{"chat_template": [{"name": "x"}]}"#),
        ("generation_config.json", "[]"),
        ("tokenizer.json", "{}"),
    ] {
        let error = with(&[(file, text)]).unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
    }
    let error = with(&[("chat_template.jinja", "{% if %}")]).unwrap_err().to_string();
    assert!(error.starts_with("chat template `default`"), "{error}");
    assert!(matches!(Tokenizer::load(Path::new("/nowhere")), Err(TokenizerError::Io { .. })));
}

#[test]
fn one_beginning_is_enough() {
    let mut json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join("tokenizer.json")).unwrap()).unwrap();
    let bos = Tokenizer::load(&folder()).unwrap().bos().unwrap();
    json["post_processor"] = serde_json::json!({
        "type": "Sequence",
        "processors": [
            {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            {"type": "TemplateProcessing",
             "single": [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
             "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
             "special_tokens": {"<|begin_of_text|>": {"id": "<|begin_of_text|>", "ids": [bos], "tokens": ["<|begin_of_text|>"]}}},
        ],
    });
    let config = r#"{"bos_token": "<|begin_of_text|>"}"#;
    let tokenizer =
        with(&[("tokenizer.json", &json.to_string()), ("tokenizer_config.json", config)]).unwrap();
    let once = tokenizer.encode("is message", true).unwrap();
    assert_eq!(once.ids[0], bos);
    assert_eq!(tokenizer.encode("<|begin_of_text|>is message", true).unwrap().ids, once.ids);
    assert_eq!(tokenizer.encode("is message", false).unwrap().ids, once.ids[1..]);
    // The post-processor trims the space; the spans do not.
    assert_eq!(once.spans, [0..0, 0..1, 1..2, 2..10]);
    assert_eq!(once.trimmed, [0..0, 0..1, 1..2, 3..10]);
}
