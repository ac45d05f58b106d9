//! Gradients by layers, adapters and their files.

mod fixture;

use std::{collections::BTreeMap, fs, sync::Arc};

use burn::tensor::{Tensor, TensorData};
use fixture::{Fixture, folder, recorded, values};
use model::{
    LanguageModel, Layout, LoadOptions, SaveOptions, device,
    training::{AdapterOptions, Gradients, Method, Optimizer},
};

/// The gradients of Σ cotangent · log-probability of each next token, by name.
fn gradients(
    model: &LanguageModel,
    tokens: &[u32],
    cotangent: &[f32],
    recompute: bool,
) -> BTreeMap<String, Vec<f32>> {
    let layout = Arc::new(Layout::packed(&[tokens.len()]).expect("not empty"));
    let places: Vec<usize> = (0..tokens.len() - 1).collect();
    let mut found = Gradients::default();
    let loss = |hidden: Tensor<2>| {
        let logp = model.token_stats(hidden, &tokens[1..]).expect("a language head").logp;
        let weights =
            Tensor::<1>::from_data(TensorData::new(cotangent.to_vec(), [cotangent.len()]), &logp.device());
        (logp * weights).sum()
    };
    model.backward(tokens, &layout, &places, recompute, &mut found, loss).expect("valid");
    found.iter().map(|(name, values)| (name.to_owned(), values)).collect()
}

#[test]
fn both_ways_back_give_the_gradients_of_pytorch() {
    let names =
        Fixture::names().into_iter().filter(|name| folder(name).join("gradients.safetensors").is_file());
    for name in names {
        let Fixture { model, tokens, expected } = Fixture::load_on(&name, &device::cpu().autodiff());
        let recorded = recorded(&fs::read(folder(&name).join("gradients.safetensors")).expect("readable"));
        let cotangent = &expected["cotangent"].1;
        let kept = gradients(&model, &tokens, cotangent, false);
        let again = gradients(&model, &tokens, cotangent, true);
        assert_eq!(kept.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>(), "{name}");
        assert_eq!(kept, again, "{name}");
        assert_eq!(model.trainable().len(), kept.len());
        for (parameter, (_, expected)) in &recorded {
            let largest = expected.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
            for (found, expected) in kept[parameter].iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-5 * largest, "{name} {parameter}: {found} {expected}");
            }
        }
        // A model loaded without gradients learns to record them.
        let plain = Fixture::load(&name).model;
        assert!(!plain.records_gradients() && plain.trainable().is_empty());
        assert_eq!(gradients(&plain.trained(), &tokens, cotangent, false), kept, "{name}");
    }
}

fn options() -> AdapterOptions {
    AdapterOptions { rank: 3, alpha: 6.0, seed: 5, ..AdapterOptions::default() }
}

/// A model with adapters that change something: after a step from where they change nothing.
fn stepped(name: &str, options: &AdapterOptions) -> (LanguageModel, Vec<u32>, Vec<f32>) {
    let Fixture { model, tokens, expected } = Fixture::load_on(name, &device::cpu().autodiff());
    let cotangent = expected["cotangent"].1.clone();
    let model = model.with_adapters(options).expect("valid");
    let mut optimizer = Optimizer::new(Method::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 }, 0.0);
    let mut model = model;
    for _ in 0..2 {
        let layout = Arc::new(Layout::packed(&[tokens.len()]).expect("not empty"));
        let places: Vec<usize> = (0..tokens.len() - 1).collect();
        let mut found = Gradients::default();
        let frozen = model.clone();
        let loss = |hidden| frozen.token_stats(hidden, &tokens[1..]).expect("a language head").logp.sum();
        model.backward(&tokens, &layout, &places, false, &mut found, loss).expect("valid");
        drop(frozen);
        model = optimizer.step(model, found, 0.05, 1.0);
    }
    (model, tokens, cotangent)
}

fn hidden(model: &LanguageModel, tokens: &[u32]) -> Vec<f32> {
    let layout = Arc::new(Layout::packed(&[tokens.len()]).expect("not empty"));
    values(&model.valid().hidden(tokens, &layout).expect("valid"))
}

fn distance(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max)
}

#[test]
fn new_adapters_change_nothing_and_only_they_are_trained() {
    let Fixture { model, tokens, expected } =
        Fixture::load_on("qwen3-bias-window", &device::cpu().autodiff());
    let cotangent = &expected["cotangent"].1;
    let full = gradients(&model, &tokens, cotangent, false);
    let before = hidden(&model, &tokens);
    let adapted = model.clone().with_adapters(&options()).expect("valid");
    assert_eq!(hidden(&adapted, &tokens), before);
    let found = gradients(&adapted, &tokens, cotangent, false);
    assert!(found.keys().all(|name| name.contains(".lora_")), "{:?}", found.keys());
    assert_eq!(found.len(), adapted.trainable().len());
    assert_eq!(found, gradients(&adapted, &tokens, cotangent, true));
    // A gets no gradient as long as B is zero, B does.
    for name in ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"] {
        let zero = |part: &str| found[&format!("{name}.{part}.weight")].iter().all(|&value| value == 0.0);
        assert!(zero("lora_A") && !zero("lora_B"), "{name}");
    }
    // Gradients of one adapter follow from that of its matrix: ∂/∂B = scale · ∂/∂W · Aᵀ.
    let dir = tempfile::tempdir().expect("a folder");
    adapted.save_adapters(dir.path().join("a").as_path(), &options(), "base").expect("saved");
    let file = recorded(&fs::read(dir.path().join("a/adapter_model.safetensors")).expect("readable"));
    let name = "model.layers.1.mlp.down_proj";
    let (shape, a) = &file[&format!("base_model.model.{name}.lora_A.weight")];
    let (dw, db) = (&full[&format!("{name}.weight")], &found[&format!("{name}.lora_B.weight")]);
    let (rank, inputs) = (shape[0], shape[1]);
    for (place, &db) in db.iter().enumerate() {
        let (row, column) = (place / rank, place % rank);
        let product: f32 = (0..inputs).map(|i| dw[row * inputs + i] * a[column * inputs + i]).sum();
        assert!((db - 2.0 * product).abs() < 1e-4 * product.abs().max(1.0), "{db} {product}");
    }
}

#[test]
fn merging_and_taking_off_adapters() {
    for options in [
        options(),
        AdapterOptions { rslora: true, targets: vec!["q_proj".into(), "down_proj".into()], ..options() },
    ] {
        let (model, tokens, _) = stepped("llama3-old-biases", &options);
        let plain = hidden(&Fixture::load("llama3-old-biases").model, &tokens);
        let adapted = hidden(&model, &tokens);
        assert!(distance(&adapted, &plain) > 1e-2, "two steps change something");
        assert_eq!(hidden(&model.clone().without_adapters(), &tokens), plain);
        let merged = model.clone().merged();
        assert!(!merged.has_adapters() && merged.parameters() < model.parameters());
        assert!(distance(&hidden(&merged, &tokens), &adapted) < 1e-5);
    }
}

#[test]
fn adapters_are_stored_as_peft_stores_them() {
    let (model, tokens, _) = stepped("llama3-old-biases", &options());
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("adapters");
    model.save_adapters(&path, &options(), "base").expect("saved");
    let file = recorded(&fs::read(path.join("adapter_model.safetensors")).expect("readable"));
    let a = &file["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"];
    assert_eq!(a.0[0], 3);
    assert!(file.keys().all(|name| name.starts_with("base_model.model.model.layers.")));
    let fresh = Fixture::load("llama3-old-biases").model;
    let (loaded, read) = fresh.load_adapters(&path).expect("loads");
    assert_eq!(read, AdapterOptions { seed: 0, targets: read.targets.clone(), ..options() });
    assert_eq!(read.targets.len(), 7);
    assert_eq!(hidden(&loaded, &tokens), hidden(&model, &tokens));
    // Of another model.
    let error = Fixture::load("qwen3").model.load_adapters(&path).expect_err("other shapes").to_string();
    assert!(
        error.contains("adapter_model.safetensors") && error.contains("belong to another model"),
        "{error}"
    );
}

#[test]
fn dropout_drops_the_same_in_the_same_round() {
    let options = AdapterOptions { dropout: 0.5, ..options() };
    let (model, tokens, cotangent) = stepped("llama3-old-biases", &options);
    let off = gradients(&model, &tokens, &cotangent, false);
    model.set_dropout_round(7);
    let first = gradients(&model, &tokens, &cotangent, false);
    assert_eq!(first, gradients(&model, &tokens, &cotangent, true));
    model.set_dropout_round(8);
    assert_ne!(first, gradients(&model, &tokens, &cotangent, false));
    assert_ne!(first, off);
    model.set_dropout_round(0);
    assert_eq!(off, gradients(&model, &tokens, &cotangent, false));
}

#[test]
fn targets_that_make_no_sense_are_refused() {
    let model = Fixture::load("qwen3").model;
    for (options, part) in [
        (AdapterOptions { targets: vec!["query".into()], ..options() }, "`query`"),
        (AdapterOptions { targets: vec![], ..options() }, "no targets"),
        (AdapterOptions { rank: 0, ..options() }, "rank"),
        (AdapterOptions { alpha: -1.0, ..options() }, "alpha"),
        (AdapterOptions { dropout: 1.0, ..options() }, "dropout"),
    ] {
        let error = model.clone().with_adapters(&options).expect_err("senseless").to_string();
        assert!(error.contains(part), "{error}");
    }
    let error = model.with_adapters(&options()).expect("valid").with_adapters(&options()).expect_err("twice");
    assert!(error.to_string().contains("already"));
}

#[test]
fn a_stored_state_goes_on_as_if_nothing_had_happened() {
    for method in [
        Method::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        Method::Sgd { momentum: 0.9 },
        Method::Lion { beta1: 0.9, beta2: 0.99 },
    ] {
        let Fixture { model, tokens, expected } = Fixture::load_on("qwen2-tied", &device::cpu().autodiff());
        let cotangent = expected["cotangent"].1.clone();
        let dir = tempfile::tempdir().expect("a folder");
        let step = |model: LanguageModel, optimizer: &mut Optimizer| {
            let layout = Arc::new(Layout::packed(&[tokens.len()]).expect("not empty"));
            let places: Vec<usize> = (0..tokens.len() - 1).collect();
            let mut found = Gradients::default();
            let seen = model.clone();
            let weights = TensorData::new(cotangent.clone(), [cotangent.len()]);
            let loss = |hidden: Tensor<2>| {
                let logp = seen.token_stats(hidden, &tokens[1..]).expect("a language head").logp;
                (logp.clone() * Tensor::from_data(weights, &logp.device())).sum()
            };
            model.backward(&tokens, &layout, &places, false, &mut found, loss).expect("valid");
            assert!(found.norm() > 0.0);
            drop(seen);
            optimizer.step(model, found, 1e-3, 0.5)
        };
        let mut optimizer = Optimizer::new(method, 0.01);
        let model = step(step(model, &mut optimizer), &mut optimizer);
        optimizer.save(&dir.path().join("state.safetensors")).expect("saved");
        model.save(&dir.path().join("model"), &SaveOptions::default()).expect("saved");
        let through = hidden(&step(model, &mut optimizer), &tokens);

        let device = device::cpu().autodiff();
        let model =
            LanguageModel::load(&dir.path().join("model"), &device, &LoadOptions::default()).expect("loads");
        let mut resumed = Optimizer::new(method, 0.01);
        resumed.load(&dir.path().join("state.safetensors"), &model).expect("loads");
        assert_eq!(resumed.steps(), 2);
        assert_eq!(hidden(&step(model.clone(), &mut resumed), &tokens), through);
        let mut other = Optimizer::new(Method::Sgd { momentum: 0.5 }, 0.0);
        let error =
            other.load(&dir.path().join("state.safetensors"), &model).expect_err("another").to_string();
        assert!(error.contains("state.safetensors") && error.contains("resume with"), "{error}");
    }
}
