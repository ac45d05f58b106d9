//! Several replicas on the processor compute what one does, to rounding, and the same bits every time.

use super::*;

/// What devices are tried with: settings of `[training]` first, then tables.
fn cases() -> Vec<(&'static str, String)> {
    let sgd = "optimizer = \"sgd\"\nmomentum = 0.9\n";
    let adamw = "weight_decay = 0.01\nschedule = \"cosine\"\nwarmup_steps = 1\n";
    let lora = "[lora]\nrank = 2\ndropout = 0.2\n";
    let [dpo, kto, simpo, sft, reward, turns] = OBJECTIVES;
    let released = "[objective]\nkind = \"entropo-kto\"\nreference_scope = \"micro-batch\"\n";
    vec![
        ("dpo", format!("{sgd}micro_batch_rows = 1\n{dpo}")),
        ("dpo, packed", format!("{sgd}tokens_per_micro_batch = 200\nactivation_checkpointing = true\n{dpo}")),
        ("dpo, AdamW", format!("{adamw}micro_batch_rows = 1\n{dpo}")),
        (
            "dpo, second model",
            format!("{sgd}micro_batch_rows = 1\n{dpo}[reference]\nmode = \"second-model\"\n"),
        ),
        ("kto", format!("{sgd}micro_batch_rows = 1\ntokens_per_micro_batch = 100\n{kto}")),
        ("kto, released", format!("{sgd}micro_batch_rows = 2\n{released}")),
        ("simpo", format!("{sgd}packing = false\n{simpo}")),
        ("sft", format!("{sgd}micro_batch_rows = 1\n{sft}")),
        ("reward", format!("{sgd}micro_batch_rows = 1\n{reward}")),
        ("turns", format!("{sgd}micro_batch_rows = 1\n{turns}")),
        ("LoRA", format!("{sgd}micro_batch_rows = 1\n{dpo}{lora}[reference]\nmode = \"adapter-off\"\n")),
        ("LoRA, reward", format!("{sgd}micro_batch_rows = 1\n{reward}{lora}")),
        ("LoRA, KTO", format!("{sgd}micro_batch_rows = 1\n{kto}{lora}")),
    ]
}

impl World {
    /// The case on so many replicas; evaluated after every other step.
    fn on(&self, count: usize, more: &str) -> RunConfig {
        let mut config = self.config("pairs.jsonl", more);
        config.model.device = vec!["cpu"; count].join(",");
        config.data.eval = vec![self.path("pairs.jsonl").into()];
        config.evaluation.every_steps = 2;
        config.log.micro_batches = true;
        config
    }
}

/// Weights of a run's last checkpoint.
fn weights(more: &str) -> &'static str {
    if more.contains("[lora]") { "adapter_model.safetensors" } else { "model.safetensors" }
}

/// The largest difference of figures of the same name, relative where they are large: of loss and norm, and of all. Many
/// of the others are small differences of long sums of log-probabilities.
fn deviation(left: &[Value], right: &[Value]) -> [f64; 2] {
    assert_eq!(left.len(), right.len());
    let mut largest = [0.0_f64; 2];
    for (left, right) in left.iter().zip(right) {
        for (name, value) in right.as_object().expect("an object") {
            let (Some(value), Some(other)) = (value.as_f64(), left[name].as_f64()) else {
                assert_eq!(left[name], *value, "{name}");
                continue;
            };
            let difference = (value - other).abs() / value.abs().max(1.0);
            largest[1] = largest[1].max(difference);
            if ["loss", "eval_loss", "grad_norm"].contains(&name.as_str()) {
                largest[0] = largest[0].max(difference);
            }
        }
    }
    largest
}

fn differing(
    left: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    right: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
) -> f32 {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    let pairs = left.iter().flat_map(|(name, (_, values))| values.iter().zip(&right[name].1));
    pairs.fold(0.0, |largest, (left, right)| largest.max((left - right).abs()))
}

#[test]
fn replicas_compute_what_one_device_does() {
    let world = World::new();
    for (index, (name, more)) in cases().iter().enumerate() {
        let run = |count: usize| {
            let out = format!("{index}-{count}");
            world.train(&out, &world.on(count, more));
            out
        };
        let alone = run(1);
        // Four rows a step, eight with KTO: five devices are more than micro-batches.
        for count in [2, 3, 5] {
            let out = run(count);
            let [loss, metrics] = deviation(&world.metrics(&out), &world.metrics(&alone));
            let (mut slopes, file) = (0.0_f32, weights(more));
            for step in 1..=4 {
                let of = |out: &str| world.tensors(&format!("{out}/gradients/step-{step}.safetensors"));
                slopes = slopes.max(distance(&of(&out), &of(&alone)));
            }
            let of = |out: &str| world.tensors(&format!("{out}/checkpoint-4/{file}"));
            let moved = differing(&of(&out), &of(&alone));
            println!(
                "{name}, {count} devices: loss {loss:.1e}, metrics {metrics:.1e}, gradients {slopes:.1e}, weights {moved:.1e}"
            );
            assert!(loss < 1e-6 && metrics < 5e-6, "{name}, {count} devices: {loss}, metrics {metrics}");
            assert!(slopes < 5e-6, "{name}, {count} devices: gradients {slopes}");
            assert!(moved < 1e-6, "{name}, {count} devices: weights {moved}");
            let lines = world.metrics(&out);
            assert!(
                lines[0]["devices"].as_f64().is_some_and(|busy| (1.0..=5.0).contains(&busy)),
                "{}",
                lines[0]
            );
        }
        assert!(world.metrics(&alone)[0].get("devices").is_none());
    }
}

/// Files of a run that say how it went, to the bit; metrics last.
fn bits(world: &World, out: &str, more: &str) -> Vec<Vec<u8>> {
    let checkpoint = [weights(more), "optimizer.safetensors", "trainer_state.json"];
    let files = checkpoint.map(|file| format!("{out}/checkpoint-4/{file}"));
    files.iter().chain([&format!("{out}/metrics.jsonl")]).map(|file| world.read(file)).collect()
}

#[test]
fn the_same_devices_compute_the_same_bits_also_after_a_stop() {
    let world = World::new();
    for (index, (name, more)) in cases().iter().enumerate() {
        // Packed rows, plain KTO and LoRA with dropout: what else there is has no state of its own.
        if !["dpo, packed", "dpo, AdamW", "kto", "LoRA"].contains(name) {
            continue;
        }
        let mut config = world.on(3, more);
        config.checkpoint.every_steps = 1;
        let whole = format!("{index}-whole");
        world.train(&whole, &config);
        let whole = bits(&world, &whole, more);
        for after in 1..=4 {
            let out = format!("{index}-{after}");
            let folder = world.dir.path().join(&out);
            let stopping = Stopping { after, ..Stopping::default() };
            Native.train(&config, &folder, &stopping).unwrap_or_else(|error| panic!("{error}"));
            world.train(&out, &config);
            assert!(bits(&world, &out, more) == whole, "{name}, stopped after {after}");
        }
    }
}

#[test]
fn a_run_goes_on_with_other_devices() {
    let world = World::new();
    for (index, (name, more)) in cases().iter().enumerate() {
        if !["dpo", "LoRA"].contains(name) {
            continue;
        }
        let alone = format!("{index}-alone");
        world.train(&alone, &world.on(1, more));
        let out = format!("{index}-changing");
        for count in [2, 1, 3, 4] {
            let stopping = Stopping { after: 1, ..Stopping::default() };
            let folder = world.dir.path().join(&out);
            let summary = Native.train(&world.on(count, more), &folder, &stopping);
            summary.unwrap_or_else(|error| panic!("{count} devices: {error}"));
        }
        let of = |out: &str| world.tensors(&format!("{out}/checkpoint-4/{}", weights(more)));
        let moved = differing(&of(&out), &of(&alone));
        assert!(moved < 1e-6, "{name}: {moved}");
    }
}

#[test]
fn plans_count_devices_and_their_memory() {
    let world = World::new();
    let plan = |count| Native.plan(&world.on(count, OBJECTIVES[0]), &Unwatched).expect("valid");
    let (one, three) = (plan(1), plan(3));
    assert_eq!((one.devices, three.devices), (1, 3));
    for (what, factor) in [("weights", 1), ("gradients", 3), ("optimizer", 1), ("activations", 3)] {
        assert_eq!(three.memory[what], factor * one.memory[what], "{what}");
    }
    assert_eq!(three.memory["replicas"], 4 * three.trainable);
    assert!(!one.memory.contains_key("replicas"));
    assert_eq!(three.memory_bytes, three.memory.values().sum::<u64>());
}

#[test]
fn what_fails_on_a_device_is_told_with_its_name() {
    let world = World::new();
    let refused = |device: &str, parts: &[&str]| {
        let mut config = world.config("pairs.jsonl", OBJECTIVES[0]);
        config.model.device = device.to_owned();
        let out = tempfile::tempdir().expect("a folder");
        let error = Native.train(&config, out.path(), &Unwatched).expect_err("refused");
        assert!(!error.is_transient(), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("model.device: ") && parts.iter().all(|part| text.contains(part)), "{text}");
    };
    refused("cpu,tpu", &["`tpu`"]);
    refused("cuda:0,cuda:0", &["`cuda:0` is named twice"]);
    // Not built, or not there.
    refused("cuda:700,cuda:701", &["`cuda:700`"]);
    // The tokenizer has tokens that the model does not.
    let path = world.dir.path().join("model/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("readable")).expect("JSON");
    config["vocab_size"] = json!(100);
    config["eos_token_id"] = json!(1);
    config["pad_token_id"] = json!(0);
    let model = LanguageModel::init(Config::parse(&config.to_string()).expect("valid"), 3, &device::cpu());
    let companions = Some(world.dir.path().join("model"));
    let options = SaveOptions { companions, ..SaveOptions::default() };
    model.save(&world.dir.path().join("small"), &options).expect("saved");
    let mut config = world.on(2, OBJECTIVES[2]);
    config.model.path = world.dir.path().join("small");
    let error = Native.train(&config, &world.dir.path().join("out"), &Unwatched).expect_err("too small");
    let text = error.to_string();
    assert!(!error.is_transient() && text.starts_with("device cpu (1 of 2): token "), "{text}");
}
