//! Runs written for TRL: the files, without Python. `tests/export_trl.sh` runs them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use trainer::{
    config::RunConfig,
    data::{Encoded, Encoder, load_rows},
    export,
    run::Unwatched,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(name)
}

fn config(run: &str, more: &str) -> RunConfig {
    let run = fixture(run);
    let path = |name: &str| run.join(name).display().to_string();
    let toml = format!("model.path = {:?}\ndata.train = {:?}\n{more}", path("model"), path("rows.jsonl"));
    RunConfig::from_toml("run.toml", &toml, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn written(config: &RunConfig) -> (tempfile::TempDir, export::Exported) {
    let folder = tempfile::tempdir().expect("a folder");
    let done = export::trl(config, folder.path(), &Unwatched).unwrap_or_else(|error| panic!("{error}"));
    (folder, done)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("readable");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_run_over_pairs_is_written_with_its_masks() {
    let config = config(
        "dpo-tools-accumulated",
        "objective.alpha = 0.12\nobjective.cap = 3.0\n\
         training.rows_per_step = 5\ntraining.micro_batch_rows = 5\ntraining.epochs = 1.5\n\
         training.warmup_ratio = 0.25\ntraining.schedule = \"cosine\"\ntraining.optimizer = \"sgd\"\n\
         training.momentum = 0.9\ndata.order = \"fixed\"\nmodel.precision = \"bf16\"\nlora.rank = 4\n",
    );
    let (folder, done) = written(&config);
    assert_eq!((done.rows, done.eval_rows, done.dropped, done.steps), (12, 0, 0, 5));
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let all =
        ["README.md", "fsdp.yaml", "requirements.txt", "run.json", "steps.jsonl", "train.jsonl", "train.py"];
    assert_eq!(names, [&all[..], &["zero3.yaml"]].concat());

    let text = fs::read_to_string(folder.path().join("run.json")).expect("readable");
    insta::assert_snapshot!(text.replace(&*fixture("").to_string_lossy(), "FIXTURES/"));
    let text = fs::read_to_string(folder.path().join("fsdp.yaml")).expect("readable");
    assert!(text.contains("mixed_precision: \"bf16\""), "{text}");

    let encoder = Encoder::open(&config.model.path, config.data.encode_rules()).expect("opens");
    let rows = load_rows(&config.data.train[0], config.data.mask).expect("readable").rows;
    let found = lines(&folder.path().join("train.jsonl"));
    assert_eq!(found.len(), rows.len());
    for (at, (found, row)) in found.iter().zip(&rows).enumerate() {
        let Ok(Encoded::Pair { chosen, rejected, .. }) = encoder.encode(row) else { panic!("a pair") };
        assert_eq!(found["row"], at);
        assert_eq!(found["prompt"], chosen.prompt);
        for (side, tokens) in [("chosen", chosen), ("rejected", rejected)] {
            assert_eq!(found[format!("{side}_ids")], serde_json::json!(tokens.ids));
            let mask: Vec<u8> = tokens.trained.iter().map(|&trained| u8::from(trained)).collect();
            assert_eq!(found[format!("{side}_mask")], serde_json::json!(mask));
            assert!(mask.contains(&1) && mask[tokens.prompt..].contains(&0), "observations carry no loss");
        }
    }
    // Whole epochs, though the run ends within the second.
    let steps: Vec<_> = lines(&folder.path().join("steps.jsonl"));
    let steps: Vec<String> = steps.iter().map(|step| step["rows"].to_string()).collect();
    let epoch = ["[0,1,2,3,4]", "[5,6,7,8,9]", "[10,11]"];
    assert_eq!(steps, [epoch, epoch].concat());
}

#[test]
fn mismatched_rows_have_other_prompts() {
    let config = config(
        "kto",
        "objective.kind = \"entropo-kto\"\ntraining.rows_per_step = 4\ntraining.epochs = 3\n\
         training.tokens_per_micro_batch = 300\n",
    );
    let (folder, done) = written(&config);
    let rows = lines(&folder.path().join("train.jsonl"));
    let prompt = |row: &Value| {
        let row = &rows[row.as_u64().expect("a row") as usize];
        let count = row["prompt"].as_u64().expect("a count") as usize;
        row["ids"].as_array().expect("ids")[..count].to_vec()
    };
    let steps = lines(&folder.path().join("steps.jsonl"));
    assert_eq!((steps.len(), done.steps), (12, 12));
    let mut orders = Vec::new();
    for epoch in steps.chunks(4) {
        let mut seen = Vec::new();
        for step in epoch {
            let (own, other) = (step["rows"].as_array().expect("rows"), step["mismatched"].as_array());
            let other = other.expect("rows");
            assert_eq!(own.len(), other.len());
            let one = own.iter().all(|row| prompt(row) == prompt(&own[0]));
            for (own, other) in own.iter().zip(other) {
                assert!(one || prompt(own) != prompt(other), "{step}");
            }
            seen.extend(own.iter().map(|row| row.as_u64().expect("a row")));
        }
        orders.push(seen.clone());
        seen.sort_unstable();
        assert_eq!(seen, (0..16).collect::<Vec<u64>>());
    }
    assert!(orders[0] != orders[1], "every epoch has its own order");
    let settings: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("run.json")).expect("readable"))
            .expect("JSON");
    assert_eq!(settings["objective"]["reference_scope"], "step");
    assert_eq!(settings["rows_are"], "labelled");
    let micro = settings["micro_batch_rows"].as_u64().expect("a count");
    assert!([1, 2].contains(&micro), "as many as fit into the budget: {micro}");
    let (again, _) = written(&config);
    for name in ["train.jsonl", "steps.jsonl", "run.json"] {
        let read = |folder: &tempfile::TempDir| fs::read(folder.path().join(name)).expect("readable");
        assert!(read(&folder) == read(&again), "{name} is the same every time");
    }
}

#[test]
fn what_trl_has_no_equal_of_is_refused_by_name() {
    let cases = [
        ("objective.kind = \"binary\"", "objective.kind"),
        ("objective.kind = \"listwise\"", "objective.kind"),
        ("training.optimizer = \"sgd\"\ntraining.weight_decay = 0.1", "training.weight_decay"),
        ("training.rows_per_step = 8\ntraining.micro_batch_rows = 3", "training.micro_batch_rows"),
        ("lora.targets = [\"q_proj\", \"lm_head\"]", "lora.targets"),
        ("log.micro_batches = true", "log.micro_batches"),
        ("log.gradients = true", "log.gradients"),
        (
            "data.eval = \"x.jsonl\"\ncheckpoint.keep_best = true\ncheckpoint.metric = \"eval_saturated\"",
            "checkpoint.metric",
        ),
        (
            "data.eval = \"x.jsonl\"\nevaluation.patience = 2\nevaluation.every_steps = 0",
            "evaluation.every_steps",
        ),
        (
            "data.eval = \"x.jsonl\"\ncheckpoint.keep_best = true\nevaluation.every_steps = 30",
            "checkpoint.every_steps",
        ),
        ("data.eval = \"x.jsonl\"\nobjective.kind = \"kto\"", "data.eval"),
    ];
    for (more, field) in cases {
        // Dotted keys of one table stand together.
        let eval = more.lines().filter(|line| line.starts_with("data.")).collect::<Vec<_>>().join("\n");
        let rest = more.lines().filter(|line| !line.starts_with("data.")).collect::<Vec<_>>().join("\n");
        let config = config("dpo-tools-accumulated", &format!("{eval}\n{rest}\n"));
        let folder = tempfile::tempdir().expect("a folder");
        let error = export::trl(&config, folder.path(), &Unwatched).expect_err(field).to_string();
        assert!(error.starts_with("cannot be exported for trl: ") && error.contains(field), "{error}");
        assert!(fs::read_dir(folder.path()).expect("readable").next().is_none(), "nothing is written");
    }
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let config = config("kto", "objective.kind = \"sft\"\n");
    let (folder, _) = written(&config);
    let error = export::trl(&config, folder.path(), &Unwatched).expect_err("is in use");
    assert!(error.to_string().contains("not empty: choose another folder"), "{error}");
}
