//! Whole runs against records of TRL: metrics of every micro-batch, clipped gradients, weights after every step.
//!
//! The records lie in `fixtures/parity`, with the script that made them. More of them, made by the same script, are
//! compared where `ENTROPO_PARITY` names a folder.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use model::weights::TensorFile;
use serde_json::Value;
use trainer::{
    config::RunConfig,
    engine::Native,
    run::{Engine, Metrics, Unwatched},
};

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn tensors(path: &Path) -> Tensors {
    TensorFile::read(path).unwrap_or_else(|error| panic!("{error}")).0.into_tensors()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(
        &fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    )
    .expect("JSON")
}

fn lines(path: &Path) -> Vec<Metrics> {
    let text = fs::read_to_string(path).expect("readable");
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).expect("JSON");
            let fields = value.as_object().expect("an object").iter();
            fields.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
        })
        .collect()
}

/// The configuration that does what TRL did.
fn config(run: &Path, args: &Value) -> RunConfig {
    let text = |name: &str| args[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| args[name].as_u64().unwrap_or(1);
    let kind = match (text("algo").as_str(), args["loss"].as_str()) {
        ("dpo", None) => "dpo",
        ("dpo", Some(loss)) => loss,
        ("kto", _) => "kto",
        ("reward", _) => "bradley-terry",
        other => panic!("{other:?}"),
    }
    .to_owned();
    let beta = &args["beta"];
    let more = match kind.as_str() {
        "bradley-terry" => "center_rewards_coefficient = 0.01".to_owned(),
        "kto" => format!("beta = {beta}\nreference_scope = \"micro-batch\""),
        _ => format!("beta = {beta}"),
    };
    let objective = format!("kind = \"{kind}\"\n{more}\n");
    let path = |name: &str| run.join(name).display().to_string();
    let toml = format!(
        "[model]\npath = {:?}\n[data]\ntrain = {:?}\nmask = \"completion\"\norder = \"fixed\"\nmax_length = {}\n\
         over_long = {:?}\n\
         [objective]\n{objective}[training]\nmax_steps = {}\nrows_per_step = {}\nmicro_batch_rows = {}\n\
         learning_rate = {}\noptim = {:?}\nlr_scheduler_type = {:?}\nwarmup_steps = {}\nweight_decay = {}\n\
         [checkpoint]\nevery_steps = 1\nkeep_last = 0\n[log]\nmicro_batches = true\ngradients = true\n",
        path("model"),
        path("rows.jsonl"),
        number("max_length"),
        if kind == "bradley-terry" { "drop" } else { "cut-right" },
        number("steps"),
        number("bs") * number("ga"),
        number("bs"),
        args["lr"],
        text("opt"),
        text("sched"),
        args["warmup"],
        args["wd"],
    );
    RunConfig::from_toml("the record", &toml, &[]).unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

/// How far metrics may be off; shared/parity's bounds.
fn bound(name: &str) -> Option<f64> {
    Some(match name {
        "microbatch_loss" | "loss" | "entropy" => 2e-6,
        "kl" => 2e-5,
        name if name.starts_with("logps/") => 1e-4,
        "num_tokens" | "mean_token_accuracy" | "accuracy" => 1e-9,
        name if name.starts_with("rewards/") => 2e-5,
        name if name.starts_with("logits/") => 2e-6,
        "margin" | "mean_reward" | "min_reward" | "max_reward" => 1e-5,
        _ => return None,
    })
}

fn close(found: f64, expected: f64, bound: f64, what: &str) {
    // Single precision: beside the bound, a few units in the last place of large numbers.
    let bound = bound.max(4e-7 * expected.abs());
    assert!((found - expected).abs() <= bound, "{what}: {found}, but TRL has {expected}");
}

fn compare(run: &Path) {
    let name = run.file_name().expect("named").to_string_lossy().into_owned();
    let trace = json(&run.join("trace.json"));
    let args = &trace["args"];
    let out = tempfile::tempdir().expect("a folder");
    let config = config(run, args);
    Native.train(&config, out.path(), &Unwatched).unwrap_or_else(|error| panic!("{name}: {error}"));

    let found = lines(&out.path().join("micro_batches.jsonl"));
    let expected = trace["microbatches"].as_array().expect("a list");
    assert_eq!(found.len(), expected.len(), "{name}");
    let accumulation = args["ga"].as_u64().unwrap_or(1) as usize;
    // Weights that differ in the last place differ in more after each step, with AdamW sooner.
    let adam = args["opt"].as_str().is_some_and(|opt| opt.starts_with("adam"));
    let drift = |step: usize| 1.0 + step as f64 * if adam { 5.0 } else { 1.0 };
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (field, value) in expected.as_object().expect("an object") {
            let value = value.as_f64().expect("a number");
            let ours = if field == "microbatch_loss" { "loss" } else { field.as_str() };
            // Tokens are counted a step at a time here.
            let Some(bound) = bound(field).filter(|_| field != "num_tokens") else { continue };
            let bound = bound * drift(index / accumulation);
            let found = found.get(ours).unwrap_or_else(|| panic!("{name}: no {ours} in {found:?}"));
            close(*found, value, bound, &format!("{name}, micro-batch {index}, {field}"));
        }
    }
    let steps = lines(&out.path().join("metrics.jsonl"));
    let log =
        trace["log_history"].as_array().expect("a list").iter().filter(|line| line["grad_norm"].is_f64());
    for (found, expected) in steps.iter().zip(log) {
        let value = |field: &str| expected[field].as_f64().expect("a number");
        let norm = value("grad_norm");
        close(found["grad_norm"], norm, 1e-5 * norm, &format!("{name}, gradient norm"));
        close(found["learning_rate"], value("learning_rate"), 1e-12, &format!("{name}, learning rate"));
        close(found["num_tokens"], value("num_tokens"), 1e-9, &format!("{name}, tokens"));
        close(found["epoch"], value("epoch"), 1e-9, &format!("{name}, epoch"));
    }
    let mut tiny: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for step in 1..=args["steps"].as_u64().expect("a number") {
        let path = run.join(format!("grads_step{step}.safetensors"));
        if path.is_file() {
            let found = tensors(&out.path().join(format!("gradients/step-{step}.safetensors")));
            for (tensor, (_, expected)) in tensors(&path) {
                let found = &found.get(&tensor).unwrap_or_else(|| panic!("{name}: no {tensor}")).1;
                let tiny = tiny.entry(tensor.clone()).or_insert_with(|| vec![false; expected.len()]);
                for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let what = format!("{name}, step {step}, gradient of {tensor}");
                    let bound = 1e-6 * drift(step as usize - 1);
                    close(f64::from(*found), f64::from(*expected), bound, &what);
                    tiny[index] |= expected.abs() < 1e-6;
                }
            }
        }
        let path = run.join(format!("weights_step{step}.safetensors"));
        if path.is_file() {
            let found = tensors(&out.path().join(format!("checkpoint-{step}/model.safetensors")));
            let expected = tensors(&path);
            let (mut differences, mut worst) = (Vec::new(), (0.0, String::new()));
            for (tensor, (_, expected)) in &expected {
                // A tied head is stored once here.
                let Some((_, found)) = found.get(tensor) else { continue };
                let tiny = tiny.get(tensor);
                for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                    if adam && tiny.is_some_and(|tiny| tiny[index]) {
                        continue;
                    }
                    let difference = f64::from((found - expected).abs());
                    if difference > worst.0 {
                        worst = (difference, format!("{tensor}[{index}]"));
                    }
                    differences.push(difference);
                }
            }
            differences.sort_by(f64::total_cmp);
            let (median, largest) = (differences[differences.len() / 2], worst.0);
            let rate = args["lr"].as_f64().expect("a number");
            // AdamW amplifies gradients that are all but zero, which were left out, and small ones.
            let bounds = if adam { (rate / 1000.0, 0.02 * rate * step as f64) } else { (1e-6, 1e-6) };
            assert!(
                median <= bounds.0 && largest <= bounds.1,
                "{name}, step {step}: weights differ by {median:e} (median) and {largest:e} ({}), {bounds:?} allowed",
                worst.1
            );
        }
    }
}

fn runs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut runs: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    runs.retain(|run| run.join("trace.json").is_file());
    runs.sort();
    runs
}

#[test]
fn runs_are_those_of_trl() {
    let folder = std::env::var_os("ENTROPO_PARITY").map(PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"));
    let runs = runs(&folder);
    assert!(!runs.is_empty(), "{}", folder.display());
    let failures: Vec<_> = runs
        .iter()
        .filter(|run| std::panic::catch_unwind(|| compare(run)).is_err())
        .map(|run| run.display().to_string())
        .collect();
    assert!(failures.is_empty(), "{failures:?}");
}
