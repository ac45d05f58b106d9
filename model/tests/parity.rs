//! What `transformers` computes with tiny models of every kind, computed here. `fixtures/record.py` recorded it.

mod fixture;

use std::{fs, sync::Arc};

use burn::tensor::Tensor;
use fixture::{Fixture, distance};
use model::{Dtype, LanguageModel, Layout, LoadOptions, device};
use serde_json::{Map, Value, json};

/// Hidden states and logits within this of the recorded ones.
const LOGITS: f32 = 1e-5;
/// Scores, which are of smaller numbers.
const SCORES: f32 = 1e-5;

#[test]
fn every_model_gives_what_transformers_gives() {
    let names = Fixture::names();
    assert!(names.len() >= 20, "the fixtures are there: {names:?}");
    for name in names {
        let Fixture { model, tokens, expected } = Fixture::load(&name);
        let layout = Arc::new(Layout::packed(&[tokens.len()]).expect("not empty"));
        let hidden = model.hidden(&tokens, &layout).expect("valid tokens");
        let off = distance(&hidden, &expected["hidden"]);
        assert!(off <= LOGITS, "{name}: hidden states are off by {off}");
        let logits = expected
            .get("logits")
            .map(|logits| distance(&model.logits(hidden.clone()).expect("a language head"), logits));
        let scores = expected
            .get("scores")
            .map(|scores| distance(&model.scores(hidden.clone()).expect("a head of scores"), scores));
        assert_eq!(model.logits(hidden.clone()).is_some(), logits.is_some(), "{name}");
        assert_eq!(model.scores(hidden).is_some(), scores.is_some(), "{name}");
        assert!(logits.is_none_or(|off| off <= LOGITS), "{name}: logits are off by {logits:?}");
        assert!(scores.is_none_or(|off| off <= SCORES), "{name}: scores are off by {scores:?}");
    }
}

/// A fixture under an altered configuration.
fn altered(name: &str, change: impl FnOnce(&mut Map<String, Value>)) -> LanguageModel {
    let home = tempfile::tempdir().expect("a folder");
    let from = fixture::folder(name);
    let text = fs::read_to_string(from.join("config.json")).expect("readable");
    let mut config: Map<String, Value> = serde_json::from_str(&text).expect("an object");
    change(&mut config);
    fs::write(home.path().join("config.json"), Value::Object(config).to_string()).expect("writes");
    fs::copy(from.join("model.safetensors"), home.path().join("model.safetensors")).expect("copies");
    LanguageModel::load(home.path(), &device::cpu(), &LoadOptions::default()).expect("loads")
}

/// Parity would prove nothing of an option that changes nothing.
#[test]
fn every_option_of_the_fixtures_matters() {
    let rope = |key: &'static str, value: Value| {
        move |config: &mut Map<String, Value>| {
            let name = if config.contains_key("rope_scaling") { "rope_scaling" } else { "rope_parameters" };
            config[name].as_object_mut().expect("an object").insert(key.to_owned(), value);
        }
    };
    let set = |key: &'static str, value: Value| {
        move |config: &mut Map<String, Value>| {
            config.insert(key.to_owned(), value);
        }
    };
    let cases = vec![
        ("qwen2-window", altered("qwen2-window", set("sliding_window", json!(8)))),
        ("qwen2-window", altered("qwen2-window", set("layer_types", Value::from(vec!["full_attention"; 3])))),
        (
            "qwen2-layer-types",
            altered("qwen2-layer-types", set("layer_types", Value::from(vec!["full_attention"; 2]))),
        ),
        ("mistral-window", altered("mistral-window", set("sliding_window", Value::Null))),
        ("qwen2-untied", altered("qwen2-untied", set("rms_norm_eps", json!(1e-6)))),
        ("qwen2-linear", altered("qwen2-linear", rope("factor", json!(4.1)))),
        ("qwen2-linear", altered("qwen2-linear", rope("rope_theta", json!(9e3)))),
        ("qwen2-yarn", altered("qwen2-yarn", rope("factor", json!(4.1)))),
        (
            "qwen2-yarn-mscale",
            altered("qwen2-yarn-mscale", rope("original_max_position_embeddings", json!(20))),
        ),
        ("qwen2-yarn-old", altered("qwen2-yarn-old", rope("type", json!("linear")))),
        ("qwen2-yarn-mscale", altered("qwen2-yarn-mscale", rope("mscale", json!(0.9)))),
        ("qwen2-yarn-mscale", altered("qwen2-yarn-mscale", rope("mscale_all_dim", json!(1.0)))),
        ("qwen2-yarn-mscale", altered("qwen2-yarn-mscale", rope("truncate", json!(true)))),
        ("qwen2-yarn-mscale", altered("qwen2-yarn-mscale", rope("beta_fast", json!(1.2)))),
        ("qwen2-yarn-mscale", altered("qwen2-yarn-mscale", rope("beta_slow", json!(0.3)))),
        ("qwen2-yarn-attention", altered("qwen2-yarn-attention", rope("attention_factor", json!(0.9)))),
        ("llama3", altered("llama3", rope("factor", json!(4.5)))),
        ("llama3", altered("llama3", rope("low_freq_factor", json!(0.9)))),
        ("llama3", altered("llama3", rope("high_freq_factor", json!(4.4)))),
        ("llama3", altered("llama3", rope("original_max_position_embeddings", json!(20)))),
    ];
    for (name, model) in cases {
        let Fixture { tokens, expected, .. } = Fixture::load(name);
        let layout = Arc::new(Layout::packed(&[tokens.len()]).expect("not empty"));
        let off = distance(&model.hidden(&tokens, &layout).expect("valid tokens"), &expected["hidden"]);
        assert!(off > 1e-4, "{name} with {:?}: hidden states differ by {off} only", model.config().rope);
    }
}

/// Half the bits: what is left of the agreement is their rounding.
#[test]
fn bf16_stays_close_and_makes_scores_in_single_precision() {
    for name in ["llama-reward-bf16", "qwen2-reward", "qwen3-labels"] {
        let Fixture { tokens, expected, .. } = Fixture::load(name);
        let options = LoadOptions { precision: Dtype::Bf16, ..LoadOptions::default() };
        let model = LanguageModel::load(&fixture::folder(name), &device::cpu(), &options).expect("loads");
        let layout = Arc::new(Layout::packed(&[tokens.len()]).expect("not empty"));
        let hidden = model.hidden(&tokens, &layout).expect("valid tokens");
        let mut cache = model.cache();
        let first = model.hidden_cached(&tokens[..9], &mut cache).expect("valid tokens");
        let rest = model.hidden_cached(&tokens[9..], &mut cache).expect("valid tokens");
        for hidden in [hidden, Tensor::cat(vec![first, rest], 0)] {
            let scores = model.scores(hidden).expect("a head of scores");
            let off = distance(&scores, &expected["scores"]);
            assert!(off > 0.0 && off < 0.05, "{name}: scores are off by {off}");
        }
    }
}
