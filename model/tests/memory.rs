//! What loading costs in memory. The only test of its program, so that no other one's memory is counted.
#![cfg(target_os = "linux")]

use std::fs;

use model::{Config, Dtype, LanguageModel, LoadOptions, SaveOptions, device};
use serde_json::json;

/// A field of `/proc/self/status`, in bytes.
fn memory(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    line.split_whitespace().nth(1).expect("a number").parse::<usize>().expect("a number") * 1024
}

#[test]
fn single_precision_is_not_copied_and_half_precision_is_held_once() {
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8192, "hidden_size": 192,
        "intermediate_size": 384, "num_hidden_layers": 1, "num_attention_heads": 6, "tie_word_embeddings": true,
    });
    let home = tempfile::tempdir().expect("a folder");
    let config = Config::parse(&config.to_string()).expect("valid");
    let bytes = {
        let model = LanguageModel::init(config, 0, &device::cpu());
        for (name, dtype) in [("single", Dtype::F32), ("half", Dtype::Bf16)] {
            let options = SaveOptions { dtype: Some(dtype), ..SaveOptions::default() };
            model.save(&home.path().join(name), &options).expect("saves");
        }
        model.parameters() * 4
    };
    let load = |name: &str| {
        let before = (memory("RssAnon"), memory("RssFile"));
        let model = LanguageModel::load(&home.path().join(name), &device::cpu(), &LoadOptions::default());
        let model = model.expect("loads");
        let after = (memory("RssAnon"), memory("RssFile"));
        drop(model);
        (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1))
    };
    // Once more first: what the loader itself allocates for good is not counted.
    load("half");
    let (own, _) = load("single");
    assert!(own < bytes / 8, "{own} bytes of its own for {bytes} bytes of weights that are mapped");
    let (own, mapped) = load("half");
    assert!(own < bytes + bytes / 8, "{own} bytes of its own for {bytes} bytes of weights");
    assert!(mapped < bytes / 16, "{mapped} bytes of the file are still in memory after they were converted");
}
