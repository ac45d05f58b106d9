use serde_json::{Value, json};

use super::*;

fn base() -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 320, "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "something_else": [1],
    })
}

fn read(changes: Value) -> Result<Config, ConfigError> {
    let (Value::Object(mut map), Value::Object(changes)) = (base(), changes) else { unreachable!() };
    map.extend(changes);
    Config::from_map(map)
}

fn refused(changes: Value) -> String {
    read(changes).expect_err("must be refused").to_string()
}

#[test]
fn both_spellings_of_the_rotation_mean_the_same() {
    let old =
        read(json!({ "rope_theta": 5e5, "rope_scaling": { "type": "linear", "factor": 4 } })).expect("valid");
    let new = json!({ "rope_parameters": { "rope_type": "linear", "rope_theta": 5e5, "factor": 4.0 } });
    let new = read(new).expect("valid");
    assert_eq!(old.rope, new.rope);
    assert_eq!(old.rope, Rope { theta: 5e5, scaling: RopeScaling::Linear { factor: 4.0 } });
    assert_eq!(read(json!({})).expect("valid").rope, Rope { theta: 10_000.0, scaling: RopeScaling::Default });
}

#[test]
fn windows_follow_the_family() {
    let on = json!({ "use_sliding_window": true, "sliding_window": 8, "max_window_layers": 1 });
    assert_eq!(read(on).expect("valid").windows, [None, Some(8), Some(8)]);
    let off = json!({ "use_sliding_window": false, "sliding_window": 8, "max_window_layers": 1 });
    assert_eq!(read(off).expect("valid").windows, [None; 3]);
    let types = ["sliding_attention", "full_attention", "sliding_attention"];
    let listed = json!({ "use_sliding_window": true, "sliding_window": 8, "layer_types": types });
    assert_eq!(read(listed).expect("valid").windows, [Some(8), None, Some(8)]);
    let mistral = |window: Value| json!({ "architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": window });
    assert_eq!(read(mistral(json!(8))).expect("valid").windows, [Some(8); 3]);
    assert_eq!(read(mistral(Value::Null)).expect("valid").windows, [None; 3]);
}

#[test]
fn what_is_not_computed_is_refused_by_the_name_of_its_field() {
    let cases = [
        (json!({ "hidden_act": "gelu" }), "hidden_act"),
        (json!({ "model_type": "gemma3" }), "model_type"),
        (json!({ "architectures": ["Qwen2MoeForCausalLM"] }), "architectures"),
        (json!({ "architectures": ["Qwen2ForRewardModel"] }), "architectures"),
        (json!({ "model_type": "qwen3" }), "model_type"),
        (json!({ "rope_scaling": { "rope_type": "dynamic", "factor": 2.0 } }), "rope_scaling.rope_type"),
        (json!({ "rope_scaling": { "type": "longrope", "factor": 2.0 } }), "rope_scaling.type"),
        (
            json!({ "rope_scaling": { "type": "default", "mrope_section": [1, 1, 2] } }),
            "rope_scaling.mrope_section",
        ),
        (json!({ "rope_parameters": { "full_attention": {} } }), "rope_parameters.full_attention"),
        (json!({ "rope_scaling": { "type": "llama3", "factor": 2.0 } }), "rope_scaling.low_freq_factor"),
        (json!({ "rope_scaling": { "type": "linear" } }), "rope_scaling.factor"),
        (json!({ "partial_rotary_factor": 0.5 }), "partial_rotary_factor"),
        (json!({ "mlp_bias": true }), "mlp_bias"),
        (json!({ "quantization_config": { "quant_method": "awq" } }), "quantization_config"),
        (json!({ "num_experts": 8 }), "num_experts"),
        (json!({ "final_logit_softcapping": 30.0 }), "final_logit_softcapping"),
        (json!({ "layer_types": ["full_attention"] }), "layer_types"),
        (json!({ "layer_types": ["full_attention", "full_attention", "sliding_attention"] }), "layer_types"),
        (json!({ "layer_types": ["full_attention", "chunked_attention", "full_attention"] }), "layer_types"),
        (json!({ "num_key_value_heads": 3 }), "num_key_value_heads"),
        (json!({ "head_dim": 7 }), "head_dim"),
        (json!({ "pad_token_id": 0.5 }), "pad_token_id"),
        (json!({ "hidden_size": null }), "hidden_size"),
        (json!({ "hidden_size": -4 }), "hidden_size"),
        (json!({ "vocab_size": "many" }), "vocab_size"),
        (json!({ "tie_word_embeddings": 1 }), "tie_word_embeddings"),
    ];
    for (changes, field) in cases {
        let error = refused(changes);
        assert!(error.contains(&format!("`{field}`")), "{field}: {error}");
    }
}

#[test]
fn labels_come_from_the_names_or_their_number() {
    let scores = |extra: Value| {
        let Value::Object(mut map) = extra else { unreachable!() };
        map.insert("architectures".to_owned(), json!(["Qwen2ForSequenceClassification"]));
        read(Value::Object(map))
    };
    assert_eq!(scores(json!({ "num_labels": 1 })).expect("valid").labels(), ["LABEL_0"]);
    assert_eq!(scores(json!({})).expect("valid").labels().len(), 2);
    let named = scores(json!({ "id2label": { "1": "good", "0": "bad" } })).expect("valid");
    assert_eq!(named.labels(), ["bad", "good"]);
    let clash = scores(json!({ "id2label": { "0": "bad" }, "num_labels": 3 })).expect_err("clash");
    assert!(clash.to_string().contains("num_labels"), "{clash}");
    assert!(scores(json!({ "id2label": { "5": "bad" } })).is_err());
}

#[test]
fn unknown_fields_are_kept() {
    let config = read(json!({})).expect("valid").with_scores(vec!["success".to_owned()]);
    assert_eq!(config.raw()["something_else"], json!([1]));
    let again = Config::from_map(config.raw().clone()).expect("valid");
    assert_eq!(again.labels(), ["success"]);
    assert_eq!(again, config);
}

#[test]
fn yarn_keeps_short_wavelengths_and_divides_long_ones() {
    let scaling = json!({ "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096 });
    let config = read(json!({ "rope_scaling": scaling, "head_dim": 128 })).expect("valid");
    let plain = read(json!({ "head_dim": 128 })).expect("valid");
    let (stretched, attention) = config.rope.frequencies(128);
    let (plain, one) = plain.rope.frequencies(128);
    assert_eq!(stretched[0], plain[0]);
    assert!((stretched[63] * 4.0 - plain[63]).abs() < 1e-9);
    assert!((f64::from(attention) - (0.1 * 4_f64.ln() + 1.0)).abs() < 1e-6);
    assert_eq!(one, 1.0);
}

proptest::proptest! {
    /// Whatever stands in the fields, the answer is a configuration or an error, and a configuration makes finite angles.
    #[test]
    fn no_configuration_panics(
        field in proptest::sample::select(&[
            "vocab_size", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "num_hidden_layers",
            "layer_types", "rope_scaling", "rope_theta", "id2label", "num_labels", "max_position_embeddings",
            "sliding_window", "max_window_layers", "use_sliding_window", "architectures", "model_type", "rms_norm_eps",
        ][..]),
        value in proptest::sample::select(&[
            "0", "-1", "1", "2", "3.5", "1e300", "18446744073709551615", "true", "\"\"", "\"Qwen2\"", "[]", "[1]",
            "[\"sliding_attention\"]", "{}", "{\"0\":\"a\"}", "{\"type\":\"yarn\",\"factor\":1e-9}",
            "{\"type\":\"yarn\",\"factor\":2,\"original_max_position_embeddings\":1e-300}",
            "{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4}",
        ][..]),
        scores in proptest::bool::ANY,
    ) {
        let class = if scores { "Qwen2ForSequenceClassification" } else { "Qwen2ForCausalLM" };
        let (Value::Object(mut map), value) = (base(), serde_json::from_str(value).expect("JSON")) else { unreachable!() };
        map.insert("architectures".to_owned(), json!([class]));
        map.insert(field.to_owned(), value);
        if let Ok(config) = Config::from_map(map) {
            let (angles, factor) = config.rope.frequencies(config.head_size.min(256));
            proptest::prop_assert!(factor.is_finite() && angles.iter().all(|angle| !angle.is_nan()), "{:?}", config.rope);
        }
    }
}
