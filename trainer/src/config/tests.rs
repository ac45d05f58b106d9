use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::objectives::{Entropy, PairObjective};

const LEAST: &str = "[model]\npath = \"m\"\n[data]\ntrain = \"rows.jsonl\"\n";

fn with(more: &str, sets: &[&str]) -> Result<RunConfig, ConfigError> {
    let sets: Vec<Set> = sets.iter().map(|text| text.parse().expect("an assignment")).collect();
    RunConfig::from_toml("run.toml", &format!("{LEAST}{more}"), &sets)
}

fn refused(more: &str, sets: &[&str]) -> Vec<String> {
    let error = with(more, sets).expect_err("refused");
    error.fields().iter().map(ToString::to_string).collect()
}

#[test]
fn the_least_configuration_is_the_papers() {
    let config = with("", &[]).expect("reads");
    let Objective::Pair(PairObjective::EntropoDpo(Entropy { alpha, beta, cap })) =
        config.objective.objective()
    else {
        panic!("not EntroPO-DPO")
    };
    assert!((alpha - 0.11).abs() < 1e-12 && beta == 0.1 && cap.is_none());
    assert_eq!(config.training.length(), Length::Epochs(1.0));
    assert_eq!(config.reference_mode(), ReferenceMode::Precomputed);
    assert_eq!(config.data.train, [PathBuf::from("rows.jsonl")]);
}

#[test]
fn what_is_written_reads_the_same() {
    let config = with("[lora]\nrank = 4\n[objective]\nkind = \"kto\"\nbeta = 0.2\n", &[]).expect("reads");
    let text = config.to_toml();
    assert_eq!(RunConfig::from_toml("again", &text, &[]).expect("reads"), config, "{text}");
    let value = serde_json::to_value(&config).expect("is JSON");
    assert_eq!(RunConfig::from_json("again", value).expect("reads"), config);
}

#[test]
fn assignments_go_over_the_file() {
    let sets = [
        "training.learning_rate=1e-3",
        "objective.kind=dpo",
        "data.train=[\"a\", \"b\"]",
        "lora.rank=2",
        "data.order=fixed",
        "model.path=some folder/2024-01-01",
        "training.packing = false",
    ];
    let config = with("[training]\nlearning_rate = 1.0\n", &sets).expect("reads");
    assert_eq!(config.training.learning_rate, 1e-3);
    assert!(!config.training.packing);
    assert_eq!(config.objective.kind, ObjectiveKind::Dpo);
    assert_eq!(config.data.train.len(), 2);
    assert_eq!(config.data.order, RowOrder::Fixed);
    assert_eq!(config.lora.expect("has adapters").rank, 2);
    assert_eq!(config.model.path, Path::new("some folder/2024-01-01"));
    assert!("training.learning_rate".parse::<Set>().is_err() && "=1".parse::<Set>().is_err());
}

#[test]
fn names_of_trl_count() {
    let more = "max_length = 1024\norder = \"sequential\"\n[training]\nmax_steps = 3\nmax_grad_norm = 0.5\n\
                per_device_train_batch_size = 2\nlr_scheduler_type = \"cosine\"\noptim = \"adamw_torch\"\n\
                gradient_checkpointing = true\n[objective]\nloss_type = \"sigmoid\"\n";
    let config = with(more, &[]).expect("reads");
    assert_eq!((config.data.max_tokens, config.data.order), (1024, RowOrder::Fixed));
    assert_eq!((config.training.length(), config.training.clip), (Length::Steps(3), 0.5));
    assert_eq!(config.training.micro_batch_rows, Some(2));
    assert_eq!(config.objective.kind, ObjectiveKind::Dpo);
}

#[test]
fn every_name_of_trl_on_the_page_is_a_field() {
    let page = include_str!("../../../docs/train.md");
    let (_, list) = page.split_once("answer to TRL's name: ").expect("the list");
    let (list, _) = list.split_once("They stand in the tables above").expect("its end");
    let words = ["`random`", "`sequential`"];
    let names: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    assert!(names.len() > 25);
    for name in names.into_iter().filter(|name| !words.contains(&&*format!("`{name}`"))) {
        let tables = ["model", "data", "objective", "training", "lora", "checkpoint", "evaluation", "log"];
        let known = tables.iter().any(|table| {
            let set = format!("{table}.{name}={{}}");
            // A known field refuses the value, an unknown one its name.
            with("", &[&set]).is_err_and(|error| !error.to_string().contains("unknown field"))
        });
        assert!(known, "{name}");
    }
}

#[test]
fn errors_name_the_field() {
    let unknown = refused("[training]\nlearning_rat = 1.0\n", &[]);
    assert!(unknown[0].starts_with("training.learning_rat: unknown field"), "{unknown:?}");
    let typed = refused("", &["training.learning_rate=fast"]);
    assert!(typed[0].starts_with("training.learning_rate: invalid type"), "{typed:?}");
    let kind = refused("[objective]\nkind = \"dop\"\n", &[]);
    assert!(kind[0].starts_with("objective.kind: unknown variant `dop`"), "{kind:?}");
    let error = RunConfig::from_toml("run.toml", "[model]\npath = \n", &[]).expect_err("is no TOML");
    assert!(error.to_string().starts_with("run.toml:2: not valid TOML"), "{error}");
    let missing = RunConfig::from_toml("run.toml", "[model]\npath = \"m\"\n", &[]).expect_err("has no data");
    assert!(missing.to_string().contains("missing field `data`"), "{missing}");
}

#[test]
fn senseless_settings_are_refused_all_at_once() {
    let cases: [(&[&str], &[&str]); 11] = [
        (&["lora.modules_to_save=[\"embed_tokens\"]", "objective.kind=binary"], &["lora.modules_to_save"]),
        (&["lora.modules_to_save=[\"score\"]"], &["lora.modules_to_save"]),
        (&["training.learning_rate=-1", "training.clip=-1"], &["training.learning_rate", "training.clip"]),
        (&["training.steps=3", "training.epochs=1"], &["training.epochs"]),
        (&["objective.kind=dpo", "objective.alpha=0.2"], &["objective.alpha"]),
        (&["objective.alpha=0.05"], &["objective"]),
        (&["reference.mode=none"], &["reference.mode"]),
        (&["reference.mode=adapter-off"], &["reference.mode"]),
        (
            &["objective.kind=binary", "objective.beta=1", "model.reference=r"],
            &["objective.beta", "model.reference"],
        ),
        (&["checkpoint.keep_best=true", "lora.rank=0"], &["lora.rank", "checkpoint.keep_best"]),
        (
            &["training.micro_batch_rows=9", "training.momentum=0.9"],
            &["training.micro_batch_rows", "training.momentum"],
        ),
    ];
    for (sets, fields) in cases {
        let found = with("", sets).expect_err("refused");
        let found: Vec<&str> = found.fields().iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(found, fields, "{sets:?}");
    }
    for number in ["nan", "inf", "-0.0"] {
        assert!(with("", &[&format!("training.learning_rate={number}")]).is_err(), "{number}");
    }
}

#[test]
fn an_identity_is_what_is_computed() {
    let identity = |sets: &[&str]| with("", sets).expect("reads").identity();
    let plain = identity(&[]);
    let same = ["log.every_steps=7", "checkpoint.every_steps=1", "reference.cache=c", "log.tensorboard=true"];
    assert_eq!(identity(&same), plain);
    for other in ["training.seed=1", "objective.beta=0.05", "data.order=fixed", "lora.rank=1", "model.path=x"]
    {
        assert_ne!(identity(&[other]), plain, "{other}");
    }
}

#[test]
fn lengths_and_warm_up() {
    let config = |sets: &[&str]| with("", sets).expect("reads").training;
    assert_eq!(config(&["training.epochs=1.5", "training.rows_per_step=4"]).total_steps(10), 5);
    assert_eq!(config(&["training.steps=7"]).total_steps(1), 7);
    assert_eq!(config(&["training.warmup_ratio=0.1"]).warmup(25), 3);
    assert_eq!(config(&["training.warmup_steps=2"]).warmup(25), 2);
}

#[test]
fn every_field_is_on_the_page() {
    let page = include_str!("../../../docs/train.md");
    let tree = serde_json::to_value(with("[lora]\n", &[]).expect("reads")).expect("is JSON");
    for (table, fields) in tree.as_object().expect("tables") {
        for field in fields.as_object().expect("fields").keys() {
            assert!(
                page.contains(&format!("`{table}.{field}`")),
                "docs/train.md does not have `{table}.{field}`"
            );
        }
    }
    for kind in ObjectiveKind::ALL {
        assert!(
            page.contains(&format!("`{}`", kind.word())),
            "docs/train.md does not have `{}`",
            kind.word()
        );
    }
}

/// Any JSON in the place of any field.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[a-z-]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::from))
}

fn names() -> Vec<(String, String)> {
    let tree = serde_json::to_value(with("[lora]\n", &[]).expect("reads")).expect("is JSON");
    let tables = tree.as_object().expect("tables").iter();
    tables
        .flat_map(|(table, fields)| {
            fields.as_object().expect("fields").keys().map(|field| (table.clone(), field.clone()))
        })
        .collect()
}

proptest! {
    /// Whatever stands in a field: it is read, or refused with its name, and what is read is sound and stays the same.
    #[test]
    fn anything_is_read_or_refused_by_name(at in 0..names().len(), value in anything()) {
        let (table, field) = names()[at].clone();
        let mut tree = json!({"model": {"path": "m"}, "data": {"train": ["r"]}});
        tree[table.as_str()][field.as_str()] = value;
        match RunConfig::from_json("body", tree) {
            Ok(config) => {
                prop_assert!(config.problems().is_empty());
                let text = config.to_toml();
                let again = RunConfig::from_toml("again", &text, &[]);
                prop_assert_eq!(again.expect("what is written reads"), config);
            }
            Err(error) => {
                let named = error.fields().iter().any(|problem| {
                    problem.field.starts_with(&table) || problem.message.contains(field.as_str())
                });
                prop_assert!(named, "{}", error);
            }
        }
    }
}

#[test]
fn several_devices_are_a_list_or_a_text() {
    let read = |device: &str| {
        let text = format!("model.path = \"m\"\nmodel.device = {device}\ndata.train = \"t\"");
        RunConfig::from_toml("run.toml", &text, &[]).map_err(|error| error.to_string())
    };
    for (given, device, first) in [
        ("[\"cuda:1\"]", "cuda:1", "cuda:1"),
        ("[\"cuda:0\", \"cuda:1\"]", "cuda:0,cuda:1", "cuda:0"),
        ("\"cuda:2, cuda:1\"", "cuda:2, cuda:1", "cuda:2"),
        ("\"cuda:all\"", "cuda:all", "cuda:0"),
        ("[\"cpu\", \"cpu\", \"cpu\"]", "cpu,cpu,cpu", "cpu"),
    ] {
        let config = read(given).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((config.model.device.as_str(), config.model.first_device().as_str()), (device, first));
        // Other devices beside the first make no other run.
        let alone = read(&format!("{first:?}")).expect("valid");
        assert_eq!(config.identity(), alone.identity(), "{given}");
        let again = RunConfig::from_toml("again", &config.to_toml(), &[]).expect("what is written reads");
        assert_eq!(again, config);
    }
    assert_ne!(read("\"cuda:0\"").expect("valid").identity(), read("\"cuda:1\"").expect("valid").identity());
    for (given, part) in [
        ("\"cuda:0,1\"", "`1` is not a device"),
        ("[\"cpu\", \"cuda:0\"]", "different kinds"),
        ("[\"cuda:0\", \"cuda\"]", "`cuda` is named twice"),
        ("[\"cuda:all\", \"cuda:1\"]", "`cuda:all` is not a device"),
        ("\"cpu:all\"", "`cpu:all` is not a device"),
        ("[]", "`` is not a device"),
        ("[1, 2]", "a list of names"),
    ] {
        let error = read(given).expect_err("refused");
        assert!(error.contains("model.device") && error.contains(part), "{error}");
    }
}
