//! Every fast path computes what the plain one does, and an interrupted run ends where an uninterrupted one does.

mod devices;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use model::{Config, LanguageModel, LoadOptions, SaveOptions, device, weights::TensorFile};
use serde_json::{Value, json};
use trainer::{
    config::RunConfig,
    engine::Native,
    run::{AlarmKind, Engine, Event, Observer, Reason, RunError, Summary, Unwatched},
};

/// A folder with a tiny model and rows of several kinds.
struct World {
    dir: tempfile::TempDir,
}

fn say(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

/// Pairs of conversations with observations; most of a row is its prompt.
fn pairs() -> Vec<Value> {
    let pair = |n: usize| {
        let prompt =
            vec![say("system", "you fix issues"), say("user", &format!("issue {n}: {}", "words ".repeat(n)))];
        let chosen = vec![
            say("assistant", &format!("look at {n}")),
            say("tool", &"a.py b.py ".repeat(n % 3 + 1)),
            say("assistant", &"good ".repeat(n % 4 + 1)),
        ];
        let rejected = match n % 3 {
            // The first turn is that of the chosen one.
            0 => vec![chosen[0].clone(), chosen[1].clone(), say("assistant", "give up")],
            _ => vec![say("assistant", &"bad ".repeat(n % 5 + 1))],
        };
        json!({ "prompt": prompt, "chosen": chosen, "rejected": rejected })
    };
    (0..12).map(pair).collect()
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/trl");
        let config = json!({
            "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 264, "hidden_size": 16,
            "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 4, "max_position_embeddings": 4096, "tie_word_embeddings": true, "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0, "initializer_range": 0.15, "eos_token_id": 258, "pad_token_id": 256,
            "hidden_act": "silu", "attention_bias": false,
        });
        let config = Config::parse(&config.to_string()).expect("valid");
        let model = LanguageModel::init(config, 3, &device::cpu());
        let options = SaveOptions { companions: Some(fixtures), ..SaveOptions::default() };
        model.save(&dir.path().join("model"), &options).expect("saved");
        let world = Self { dir };
        world.write("pairs.jsonl", &pairs());
        world
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, rows: &[Value]) {
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        fs::write(self.dir.path().join(name), lines.join("\n")).expect("written");
    }

    /// A configuration with these tables beside the model, four rows a step and a high learning rate.
    fn config(&self, rows: &str, more: &str) -> RunConfig {
        let mut text = format!(
            "[model]\npath = {:?}\n[data]\ntrain = {:?}\n[log]\ngradients = true\n[training]\nrows_per_step = 4\n\
             learning_rate = 1e-2\nsteps = 4\n",
            self.path("model"),
            self.path(rows)
        );
        // Settings of [training] come first.
        text.push_str(more);
        RunConfig::from_toml("test", &text, &[]).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn train(&self, out: &str, config: &RunConfig) -> Summary {
        let out = self.dir.path().join(out);
        Native.train(config, &out, &Unwatched).unwrap_or_else(|error| panic!("{error}"))
    }

    fn tensors(&self, file: &str) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        TensorFile::read(&self.dir.path().join(file)).expect("readable").0.into_tensors()
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// Lines of metrics.
    fn metrics(&self, out: &str) -> Vec<Value> {
        let text = String::from_utf8(self.read(&format!("{out}/metrics.jsonl"))).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// The largest difference of two gradients, relative to the largest element.
fn distance(
    left: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    right: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
) -> f32 {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    let (mut largest, mut difference) = (0.0_f32, 0.0_f32);
    for (name, (_, left)) in left {
        for (left, right) in left.iter().zip(&right[name].1) {
            largest = largest.max(left.abs());
            difference = difference.max((left - right).abs());
        }
    }
    assert!(largest > 0.0);
    difference / largest
}

const OBJECTIVES: [&str; 6] = [
    "[objective]\nkind = \"entropo-dpo\"\nalpha = 0.12\nsft_weight = 0.1\n",
    "[objective]\nkind = \"entropo-kto\"\nalpha = 0.12\n",
    "[objective]\nkind = \"simpo\"\n",
    "[objective]\nkind = \"sft\"\n",
    "[objective]\nkind = \"bradley-terry\"\nmargin = 0.5\n",
    "[objective]\nkind = \"binary-turns\"\n",
];

#[test]
fn sharing_packing_splitting_and_recomputing_change_nothing_but_rounding() {
    let world = World::new();
    let plain = "share_prefix = false\npacking = false\n";
    let others = [
        ("shared", "share_prefix = true\npacking = false\n"),
        ("packed", "share_prefix = false\npacking = true\n"),
        ("both", ""),
        ("small", "tokens_per_micro_batch = 200\n"),
        ("split", "micro_batch_rows = 1\n"),
        ("halves", "micro_batch_rows = 2\nshare_prefix = false\n"),
        ("again", "activation_checkpointing = true\n"),
    ];
    for (index, objective) in OBJECTIVES.iter().enumerate() {
        let run = |name: &str, more: &str| {
            let out = format!("{index}-{name}");
            world.train(&out, &world.config("pairs.jsonl", &format!("{more}{objective}")));
            (world.tensors(&format!("{out}/gradients/step-1.safetensors")), world.metrics(&out))
        };
        let (expected, metrics) = run("plain", plain);
        for (name, more) in others {
            let (found, others) = run(name, more);
            let distance = distance(&found, &expected);
            assert!(distance < 2e-6, "{objective} {name}: {distance}");
            for field in ["loss", "grad_norm"] {
                let (found, expected) = (others[0][field].as_f64(), metrics[0][field].as_f64());
                let (found, expected) = (found.expect("there"), expected.expect("there"));
                assert!(
                    (found - expected).abs() < 1e-5 * expected.abs().max(1.0),
                    "{name} {field}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn the_order_of_the_rows_of_a_step_changes_nothing_but_rounding() {
    let world = World::new();
    let mut rows = pairs();
    rows.truncate(4);
    world.write("forward.jsonl", &rows);
    rows.reverse();
    world.write("backward.jsonl", &rows);
    for (index, objective) in OBJECTIVES.iter().enumerate() {
        let run = |file: &str| {
            let out = format!("{index}-{file}");
            // KTO makes two rows of a pair: all of them are one step.
            let mut config = world.config(&format!("{file}.jsonl"), objective);
            config.training.rows_per_step = 8;
            world.train(&out, &config);
            world.tensors(&format!("{out}/gradients/step-1.safetensors"))
        };
        let distance = distance(&run("forward"), &run("backward"));
        assert!(distance < 2e-6, "{objective}: {distance}");
    }
}

#[test]
fn without_a_bonus_training_is_that_of_dpo_and_kto_to_the_bit() {
    let world = World::new();
    for (entropo, plain) in [("entropo-dpo", "dpo"), ("entropo-kto", "kto")] {
        let alpha = "alpha = 0.1\nbeta = 0.1\n";
        world.train(
            entropo,
            &world.config("pairs.jsonl", &format!("[objective]\nkind = \"{entropo}\"\n{alpha}")),
        );
        world.train(
            plain,
            &world.config("pairs.jsonl", &format!("[objective]\nkind = \"{plain}\"\nbeta = 0.1\n")),
        );
        let weights = |out: &str| world.read(&format!("{out}/checkpoint-4/model.safetensors"));
        assert!(weights(entropo) == weights(plain), "{plain}");
        let more = format!("[objective]\nkind = \"{entropo}\"\nalpha = 0.2\n");
        world.train("more", &world.config("pairs.jsonl", &more));
        assert!(weights("more") != weights(plain), "{plain}");
        fs::remove_dir_all(world.dir.path().join("more")).expect("there");
    }
}

/// Stops after some looks at it, and remembers what happened.
#[derive(Default)]
struct Stopping {
    after: usize,
    steps: AtomicUsize,
    events: Mutex<Vec<Event>>,
}

impl Observer for Stopping {
    fn event(&self, event: &Event) {
        if matches!(event, Event::Step { .. }) {
            self.steps.fetch_add(1, Ordering::Relaxed);
        }
        self.events.lock().expect("no panic").push(event.clone());
    }

    fn stop(&self) -> bool {
        self.steps.load(Ordering::Relaxed) >= self.after
    }
}

#[test]
fn a_run_stopped_anywhere_ends_as_if_it_had_not_been() {
    let world = World::new();
    let adamw = "weight_decay = 0.01\nschedule = \"cosine\"\nwarmup_steps = 1\n[checkpoint]\nevery_steps = 1\nkeep_last = 1\n";
    let lora = "[lora]\nrank = 2\ndropout = 0.2\n";
    let cases = [
        format!("{adamw}{}", OBJECTIVES[0]),
        format!("{adamw}{}", OBJECTIVES[1]),
        format!("{adamw}{}{lora}", OBJECTIVES[0]),
        format!("{adamw}{}{lora}", OBJECTIVES[4]),
        format!(
            "optimizer = \"sgd\"\nmomentum = 0.9\n{}[reference]\nmode = \"second-model\"\n",
            OBJECTIVES[1]
        ),
        format!("optimizer = \"lion\"\n{}{lora}[reference]\nmode = \"adapter-off\"\n", OBJECTIVES[0]),
    ];
    for (index, more) in cases.iter().enumerate() {
        let config = world.config("pairs.jsonl", more);
        let whole = format!("{index}-whole");
        let summary = world.train(&whole, &config);
        assert_eq!((summary.reason, summary.step), (Reason::Completed, 4));
        for after in 1..4 {
            let out = format!("{index}-{after}");
            let folder = world.dir.path().join(&out);
            let stopping = Stopping { after, ..Stopping::default() };
            let summary = Native.train(&config, &folder, &stopping).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((summary.reason, summary.step), (Reason::Stopped, after as u64));
            let watching = Stopping { after: 100, ..Stopping::default() };
            let summary = Native.train(&config, &folder, &watching).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((summary.reason, summary.step), (Reason::Completed, 4));
            let events = watching.events.lock().expect("no panic");
            assert!(
                events
                    .iter()
                    .any(|event| matches!(event, Event::Resumed { step, .. } if *step == after as u64))
            );
            let weights =
                if more.contains("[lora]") { "adapter_model.safetensors" } else { "model.safetensors" };
            for file in [weights, "optimizer.safetensors", "trainer_state.json"] {
                let of = |out: &str| world.read(&format!("{out}/checkpoint-4/{file}"));
                assert!(of(&out) == of(&whole), "case {index}, stopped after {after}: {file}");
            }
            let metrics = |out: &str| world.read(&format!("{out}/metrics.jsonl"));
            assert!(metrics(&out) == metrics(&whole), "case {index}, stopped after {after}");
        }
    }
}

#[test]
fn a_model_stored_in_half_precision_resumes_exactly() {
    let world = World::new();
    let model = LanguageModel::load(&world.dir.path().join("model"), &device::cpu(), &LoadOptions::default())
        .expect("loads");
    let companions = Some(world.dir.path().join("model"));
    let options = SaveOptions { dtype: Some(model::Dtype::Bf16), companions, ..SaveOptions::default() };
    model.save(&world.dir.path().join("half"), &options).expect("saved");
    let mut config = world.config("pairs.jsonl", OBJECTIVES[0]);
    config.model.path = world.dir.path().join("half");
    world.train("whole", &config);
    let folder = world.dir.path().join("parts");
    for after in 1..=4 {
        let stopping = Stopping { after: 1, ..Stopping::default() };
        let summary = Native.train(&config, &folder, &stopping).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(summary.step, after);
    }
    for file in ["model.safetensors", "weights.safetensors", "optimizer.safetensors"] {
        let of = |out: &str| world.read(&format!("{out}/checkpoint-4/{file}"));
        assert!(of("parts") == of("whole"), "{file}");
    }
}

#[test]
fn references_from_anywhere_are_the_same() {
    let world = World::new();
    for (index, objective) in OBJECTIVES[..2].iter().enumerate() {
        let run = |out: &str, more: &str| {
            let out = format!("{index}-{out}");
            let lora = "[lora]\nrank = 2\n";
            world.train(&out, &world.config("pairs.jsonl", &format!("{objective}{lora}{more}")));
            world.metrics(&out)
        };
        let once = run("once", "");
        for (name, more) in [
            ("off", "[reference]\nmode = \"adapter-off\"\n"),
            ("second", "[reference]\nmode = \"second-model\"\n"),
        ] {
            for (found, expected) in run(name, more).iter().zip(&once) {
                let (found, expected) = (found["loss"].as_f64(), expected["loss"].as_f64());
                let difference = found.expect("there") - expected.expect("there");
                assert!(difference.abs() < 1e-5, "{name}: {found:?} {expected:?}");
            }
        }
    }
    // A second run computes nothing again, whatever its other settings.
    let cache = format!("{}[reference]\ncache = {:?}\n", OBJECTIVES[0], world.path("cache"));
    world.train("first", &world.config("pairs.jsonl", &cache));
    let watching = Stopping { after: 100, ..Stopping::default() };
    let config = world.config("pairs.jsonl", &format!("packing = false\n{cache}"));
    Native
        .train(&config, &world.dir.path().join("again"), &watching)
        .unwrap_or_else(|error| panic!("{error}"));
    let computes = |event: &Event| matches!(event, Event::Progress { stage, .. } if stage == "reference");
    assert!(!watching.events.lock().expect("no panic").iter().any(computes));
}

#[test]
fn a_wrong_reference_raises_an_alarm() {
    let world = World::new();
    let cache = format!("{}[reference]\ncache = {:?}\n", OBJECTIVES[0], world.path("cache"));
    let config = world.config("pairs.jsonl", &cache);
    world.train("first", &config);
    // Values of another model under this one's name.
    let file =
        fs::read_dir(world.path("cache")).expect("there").next().expect("one").expect("readable").path();
    let mut bytes = fs::read(&file).expect("readable");
    let (mut at, head) = (8, 36);
    while at < bytes.len() {
        let count = u32::from_le_bytes(bytes[at + 32..at + 36].try_into().expect("four")) as usize;
        let end = at + head + 4 * count;
        for value in bytes[at + head..end].chunks_exact_mut(4) {
            value.copy_from_slice(&(-0.1_f32).to_le_bytes());
        }
        let check = *blake3::hash(&bytes[at..end]).as_bytes();
        bytes[end..end + 4].copy_from_slice(&check[..4]);
        at = end + 4;
    }
    fs::write(&file, bytes).expect("written");
    let watching = Stopping { after: 100, ..Stopping::default() };
    Native
        .train(&config, &world.dir.path().join("second"), &watching)
        .unwrap_or_else(|error| panic!("{error}"));
    let alarm = |event: &Event| matches!(event, Event::Alarm { kind: AlarmKind::ReferenceMismatch, .. });
    assert!(watching.events.lock().expect("no panic").iter().any(alarm));
}

#[test]
fn verifiers_learn_to_tell_good_from_bad() {
    let world = World::new();
    for kind in ["bradley-terry", "binary", "binary-turns", "listwise"] {
        let more = format!("steps = 40\n[objective]\nkind = \"{kind}\"\n");
        let text = format!(
            "[model]\npath = {:?}\n[data]\ntrain = {:?}\neval = {:?}\n[training]\nrows_per_step = 6\nlearning_rate = 1e-2\n{more}",
            world.path("model"),
            world.path("pairs.jsonl"),
            world.path("pairs.jsonl"),
        );
        let config = RunConfig::from_toml("test", &text, &[]).unwrap_or_else(|error| panic!("{error}"));
        let summary = world.train(kind, &config);
        let name = if kind == "listwise" { "eval_best@k" } else { "eval_accuracy" };
        assert!(summary.evaluation[name] > 0.95, "{kind}: {:?}", summary.evaluation);
        // What was trained loads as a verifier.
        let folder = world.dir.path().join(kind).join(summary.checkpoint.expect("written"));
        let model = LanguageModel::load(&folder, &device::cpu(), &LoadOptions::default()).expect("loads");
        assert_eq!(model.config().labels().len(), 1);
    }
}

#[test]
fn the_best_is_kept_and_training_stops_when_it_gets_no_better() {
    let world = World::new();
    let text = format!(
        "[model]\npath = {:?}\n[data]\ntrain = {:?}\neval = {:?}\n[training]\nrows_per_step = 4\nlearning_rate = 0.3\nsteps = 30\n\
         clip = 0.0\noptimizer = \"sgd\"\nschedule = \"constant\"\n[checkpoint]\nkeep_best = true\nkeep_last = 1\n\
         [evaluation]\nevery_steps = 1\npatience = 3\n",
        world.path("model"),
        world.path("pairs.jsonl"),
        world.path("pairs.jsonl"),
    );
    let config = RunConfig::from_toml("test", &text, &[]).unwrap_or_else(|error| panic!("{error}"));
    let watching = Stopping { after: 100, ..Stopping::default() };
    let folder = world.dir.path().join("out");
    let summary = Native.train(&config, &folder, &watching).unwrap_or_else(|error| panic!("{error}"));
    let evaluated: Vec<(u64, f64)> = watching
        .events
        .lock()
        .expect("no panic")
        .iter()
        .filter_map(|event| match event {
            Event::Evaluated { step, metrics } => Some((*step, metrics["eval_loss"])),
            _ => None,
        })
        .collect();
    let best = evaluated.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("evaluated").0;
    assert_eq!(summary.best, Some(format!("checkpoint-{best}").into()), "{evaluated:?}");
    if summary.reason == Reason::EarlyStop {
        assert_eq!(summary.step, best + 3);
    }
    assert!(folder.join(format!("checkpoint-{best}")).is_dir());
    let kept = fs::read_dir(&folder).expect("there").filter(|entry| {
        entry.as_ref().expect("readable").file_name().to_string_lossy().starts_with("checkpoint-")
    });
    assert!(kept.count() <= 2);
}

#[test]
fn what_cannot_be_trained_is_refused_with_its_place() {
    let world = World::new();
    let refused = |config: &RunConfig, parts: &[&str]| {
        let out = tempfile::tempdir().expect("a folder");
        let error = Native.train(config, out.path(), &Unwatched).expect_err("refused");
        assert!(!error.is_transient(), "{error}");
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    world.write("labels.jsonl", &[json!({"prompt": "a", "completion": "b", "label": true})]);
    refused(&world.config("labels.jsonl", OBJECTIVES[0]), &["labels.jsonl", "line 1", "needs pairs"]);
    let user = json!({"prompt": [say("user", "a")], "chosen": [say("user", "b")], "rejected": [say("assistant", "c")]});
    world.write("user.jsonl", &[pairs()[0].clone(), user]);
    refused(&world.config("user.jsonl", OBJECTIVES[0]), &["user.jsonl", "line 2", "chosen", "no token"]);
    world.write("broken.jsonl", &[json!({"prompt": "a"})]);
    refused(&world.config("broken.jsonl", OBJECTIVES[0]), &["broken.jsonl", "line 1"]);
    let mut short = world.config("pairs.jsonl", OBJECTIVES[0]);
    short.data.max_tokens = 8;
    refused(&short, &["no row to train on", "too long"]);
    let mut nowhere = world.config("pairs.jsonl", OBJECTIVES[0]);
    nowhere.model.path = "nowhere".into();
    refused(&nowhere, &["nowhere"]);
    let mut gpu = world.config("pairs.jsonl", OBJECTIVES[0]);
    gpu.model.device = "tpu".to_owned();
    refused(&gpu, &["model.device", "tpu"]);
    // A folder of another run.
    let out = world.dir.path().join("taken");
    Native.train(&world.config("pairs.jsonl", OBJECTIVES[2]), &out, &Unwatched).expect("trains");
    let error =
        Native.train(&world.config("pairs.jsonl", OBJECTIVES[3]), &out, &Unwatched).expect_err("taken");
    assert!(matches!(error, RunError::OtherRun { .. }), "{error}");
    // Numbers that leave their range.
    let mut wild =
        world.config("pairs.jsonl", &format!("clip = 0.0\noptimizer = \"sgd\"\n{}", OBJECTIVES[3]));
    wild.training.learning_rate = 1e30;
    let error = Native.train(&wild, &world.dir.path().join("wild"), &Unwatched).expect_err("diverges");
    assert!(
        matches!(error, RunError::Diverged { .. }) && error.to_string().contains("learning_rate"),
        "{error}"
    );
}

#[test]
fn a_plan_says_what_will_be_done() {
    let world = World::new();
    let plan = Native.plan(&world.config("pairs.jsonl", OBJECTIVES[0]), &Unwatched).expect("valid");
    assert_eq!((plan.rows, plan.steps), (12, 4));
    assert!((plan.epochs - 4.0 / 3.0).abs() < 1e-9);
    let model = LanguageModel::load(&world.dir.path().join("model"), &device::cpu(), &LoadOptions::default())
        .expect("loads");
    assert_eq!(plan.parameters, model.parameters() as u64);
    assert_eq!(plan.trainable, plan.parameters);
    assert!(plan.trained_tokens > 0 && plan.trained_tokens < plan.tokens);
    assert_eq!(plan.memory_bytes, plan.memory.values().sum::<u64>());
    let lora = Native.plan(&world.config("pairs.jsonl", "[lora]\nrank = 2\n"), &Unwatched).expect("valid");
    let adapted =
        model.trained().with_adapters(&model::training::AdapterOptions { rank: 2, ..Default::default() });
    let adapted: usize =
        adapted.expect("valid").trainable().iter().map(|part| part.shape.iter().product::<usize>()).sum();
    assert_eq!(lora.trainable, adapted as u64);
}
