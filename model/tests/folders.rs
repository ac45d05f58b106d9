//! Model folders: written as they were read, and refused with every tensor that does not fit.

mod fixture;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use fixture::{Fixture, folder, values};
use model::{
    Config, Dtype, LanguageModel, Layout, LoadError, LoadOptions, NewScores, SaveError, SaveOptions, device,
    weights::Checkpoint,
};
use safetensors::{SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

/// Type, shape and bytes of every tensor in the files of a folder.
fn contents(dir: &Path) -> BTreeMap<String, (safetensors::Dtype, Vec<usize>, Vec<u8>)> {
    let mut contents = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("named").to_string_lossy().into_owned();
        if name.starts_with("model") && name.ends_with(".safetensors") {
            let bytes = fs::read(&path).expect("readable");
            for (name, view) in SafeTensors::deserialize(&bytes).expect("valid").iter() {
                contents.insert(name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
            }
        }
    }
    contents
}

fn config(dir: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(dir.join("config.json")).expect("readable")).expect("JSON")
}

fn load(dir: &Path) -> Result<LanguageModel, LoadError> {
    LanguageModel::load(dir, &device::cpu(), &LoadOptions::default())
}

#[test]
fn what_is_loaded_is_saved_bit_for_bit() {
    let home = tempfile::tempdir().expect("a folder");
    for name in Fixture::names() {
        let (from, to) = (folder(&name), home.path().join(&name));
        load(&from).expect("loads").save(&to, &SaveOptions::default()).expect("saves");
        assert_eq!(contents(&to), contents(&from), "{name}");
        let (old, new) = (config(&from), config(&to));
        assert_eq!(new, old, "{name}");
    }
}

#[test]
fn shards_have_an_index_and_load_again() {
    let home = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder("qwen2-untied"), home.path().join("sharded"));
    let options = SaveOptions { shard_bytes: 9000, dtype: Some(Dtype::Bf16), ..SaveOptions::default() };
    load(&from).expect("loads").save(&to, &options).expect("saves");
    let index: Value =
        serde_json::from_slice(&fs::read(to.join("model.safetensors.index.json")).expect("an index"))
            .expect("JSON");
    let files: BTreeSet<_> = index["weight_map"]
        .as_object()
        .expect("a map")
        .values()
        .map(|file| file.as_str().expect("a name"))
        .collect();
    assert!(
        files.len() > 1 && files.first().is_some_and(|file| file.starts_with("model-00001-of-000")),
        "{files:?}"
    );
    let parameters: usize = contents(&to).values().map(|(_, shape, _)| shape.iter().product::<usize>()).sum();
    assert_eq!(index["metadata"]["total_size"], json!(parameters * 2));
    for entry in fs::read_dir(&to).expect("a folder") {
        let entry = entry.expect("readable");
        assert!(entry.metadata().expect("there").len() < 9000 + 4096, "{:?}", entry.path());
    }
    assert_eq!(config(&to)["dtype"], "bfloat16");
    let model = load(&to).expect("loads");
    assert_eq!(model.parameters(), parameters);
}

#[test]
fn a_folder_is_replaced_only_when_asked() {
    let home = tempfile::tempdir().expect("a folder");
    let to = home.path().join("model");
    let model = load(&folder("qwen2-tied")).expect("loads");
    let companions = Some(folder("qwen2-untied"));
    fs::write(home.path().join("tokenizer.json"), "{}").expect("writes");
    model.save(&to, &SaveOptions { companions, ..SaveOptions::default() }).expect("saves");
    fs::write(to.join("mark"), "").expect("writes");
    assert!(matches!(model.save(&to, &SaveOptions::default()), Err(SaveError::Exists(_))));
    assert!(to.join("mark").exists());
    let companions = Some(home.path().to_owned());
    model.save(&to, &SaveOptions { overwrite: true, companions, ..SaveOptions::default() }).expect("saves");
    assert!(!to.join("mark").exists() && to.join("tokenizer.json").exists());
    let left: Vec<_> =
        fs::read_dir(home.path()).expect("a folder").map(|entry| entry.expect("there").file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left over: {left:?}");
}

#[test]
fn a_weight_too_large_for_its_type_is_not_saved() {
    let home = tempfile::tempdir().expect("a folder");
    rewrite(&folder("qwen2-tied"), home.path(), |tensors| {
        tensors.get_mut("model.norm.weight").expect("there").2[..4].copy_from_slice(&1e6_f32.to_le_bytes());
    });
    let to = home.path().join("half");
    let options = SaveOptions { dtype: Some(Dtype::F16), ..SaveOptions::default() };
    let error = load(home.path()).expect("loads").save(&to, &options).expect_err("too large").to_string();
    assert!(error.contains("model.norm.weight") && error.contains("float16"), "{error}");
    assert!(!to.exists());
}

type Tensors = BTreeMap<String, (safetensors::Dtype, Vec<usize>, Vec<u8>)>;

/// Copies a model, its tensors changed.
fn rewrite(from: &Path, to: &Path, change: impl FnOnce(&mut Tensors)) {
    let mut tensors = contents(from);
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).expect("sizes agree"))
    });
    safetensors::serialize_to_file(views, None, &to.join("model.safetensors")).expect("writes");
    fs::copy(from.join("config.json"), to.join("config.json")).expect("copies");
}

#[test]
fn every_tensor_that_does_not_fit_is_named_at_once() {
    let home = tempfile::tempdir().expect("a folder");
    rewrite(&folder("qwen2-untied"), home.path(), |tensors| {
        tensors.remove("model.layers.1.mlp.up_proj.weight");
        tensors.remove("lm_head.weight");
        let norm = tensors.remove("model.norm.weight").expect("there");
        tensors.insert("model.norm.gamma".to_owned(), norm);
        let bias = tensors.get_mut("model.layers.0.self_attn.q_proj.bias").expect("there");
        *bias = (safetensors::Dtype::F32, vec![3], vec![0; 12]);
        let bias = tensors.get_mut("model.layers.0.self_attn.k_proj.bias").expect("there");
        *bias = (safetensors::Dtype::I64, vec![8], vec![0; 64]);
        // Old versions stored these; they follow from the configuration.
        let frequencies = (safetensors::Dtype::F32, vec![2], vec![0; 8]);
        tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(), frequencies);
    });
    let error = load(home.path()).expect_err("nothing fits");
    let LoadError::Tensors { problems, .. } = &error else { panic!("{error}") };
    let missing = ["model.layers.1.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight"];
    assert_eq!(problems.missing, missing);
    assert_eq!(problems.unexpected, ["model.norm.gamma"]);
    assert_eq!(problems.misshapen, [("model.layers.0.self_attn.q_proj.bias".to_owned(), vec![3], vec![16])]);
    assert_eq!(problems.types, [("model.layers.0.self_attn.k_proj.bias".to_owned(), "I64".to_owned())]);
    let message = error.to_string();
    for name in missing {
        assert!(message.contains(name), "{message}");
    }
}

/// Logits of a few tokens.
fn logits(model: &LanguageModel) -> Vec<f32> {
    let layout = Arc::new(Layout::packed(&[5]).expect("not empty"));
    let hidden = model.hidden(&[1, 2, 3, 5, 8], &layout).expect("valid");
    values(&model.logits(hidden).expect("a language head"))
}

#[test]
fn a_stored_head_that_repeats_the_embedding_is_tied_and_another_is_used() {
    let from = folder("qwen2-tied");
    let expected = logits(&load(&from).expect("loads"));
    let home = tempfile::tempdir().expect("a folder");
    let embedding = "model.embed_tokens.weight";
    rewrite(&from, home.path(), |tensors| {
        let copy = tensors[embedding].clone();
        tensors.insert("lm_head.weight".to_owned(), copy);
    });
    let tied = load(home.path()).expect("loads");
    assert_eq!(logits(&tied), expected);
    assert_eq!(tied.parameters(), load(&from).expect("loads").parameters());
    rewrite(&from, home.path(), |tensors| {
        let copy = tensors.remove(embedding).expect("there");
        tensors.insert("lm_head.weight".to_owned(), copy);
    });
    assert_eq!(logits(&load(home.path()).expect("loads")), expected);
    rewrite(&from, home.path(), |tensors| {
        let mut copy = tensors[embedding].clone();
        copy.2.rotate_left(4);
        tensors.insert("lm_head.weight".to_owned(), copy);
    });
    assert_ne!(logits(&load(home.path()).expect("loads")), expected);
}

#[test]
fn names_without_their_prefix_are_known_too() {
    let from = folder("llama");
    let home = tempfile::tempdir().expect("a folder");
    rewrite(&from, home.path(), |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, tensor)| (name.trim_start_matches("model.").to_owned(), tensor))
            .collect();
    });
    assert_eq!(logits(&load(home.path()).expect("loads")), logits(&load(&from).expect("loads")));
}

#[test]
fn a_language_model_can_be_given_a_head_of_scores() {
    let new_scores = Some(NewScores { labels: vec!["success".to_owned()], seed: 7 });
    let options = LoadOptions { new_scores, ..LoadOptions::default() };
    let model = LanguageModel::load(&folder("qwen2-untied"), &device::cpu(), &options).expect("loads");
    assert!(model.vocabulary_weight().is_none());
    let home = tempfile::tempdir().expect("a folder");
    let to = home.path().join("reward");
    model.save(&to, &SaveOptions::default()).expect("saves");
    assert_eq!(config(&to)["architectures"], json!(["Qwen2ForSequenceClassification"]));
    let again = load(&to).expect("loads");
    assert_eq!(again.config().labels(), ["success"]);
    let layout = Arc::new(Layout::packed(&[3]).expect("not empty"));
    let scores = |model: &LanguageModel| {
        let hidden = model.hidden(&[1, 2, 3], &layout).expect("valid");
        values(&model.scores(hidden).expect("a head of scores"))
    };
    assert_eq!(scores(&again), scores(&model));
    assert!(scores(&model).iter().any(|score| *score != 0.0));
}

#[test]
fn the_end_of_a_text_is_before_its_padding() {
    let home = tempfile::tempdir().expect("a folder");
    rewrite(&folder("qwen2-reward"), home.path(), |_| ());
    let mut padded = config(home.path());
    padded["pad_token_id"] = json!(9);
    fs::write(home.path().join("config.json"), padded.to_string()).expect("writes");
    let model = load(home.path()).expect("loads");
    let at = |tokens: &[u32]| model.scored_at(tokens);
    assert_eq!((at(&[1, 2, 3]), at(&[1, 9, 3]), at(&[1, 2, 9, 9]), at(&[9, 9])), (2, 2, 1, 0));
    assert_eq!(load(&folder("qwen2-reward")).expect("loads").scored_at(&[1, 9]), 1);
}

#[test]
fn broken_folders_are_refused_with_their_file() {
    let home = tempfile::tempdir().expect("a folder");
    let refused = |what: &str| {
        let error = load(home.path()).expect_err("refused").to_string();
        assert!(error.contains(what), "{what}: {error}");
    };
    refused("config.json");
    fs::copy(folder("qwen2-tied").join("config.json"), home.path().join("config.json")).expect("copies");
    refused("neither model.safetensors");
    fs::write(home.path().join("pytorch_model.bin"), "").expect("writes");
    refused("pytorch_model.bin is not read");
    let weights = home.path().join("model.safetensors");
    let whole = fs::read(folder("qwen2-tied").join("model.safetensors")).expect("readable");
    for broken in [&b""[..], &[255; 16], &whole[..whole.len() - 1], &whole[..40]] {
        fs::write(&weights, broken).expect("writes");
        refused("model.safetensors");
    }
    fs::remove_file(&weights).expect("removes");
    let index = home.path().join("model.safetensors.index.json");
    for (map, what) in [
        (json!({ "a": "../other.safetensors" }), "not the name of a file"),
        (json!({ "a": "absent.safetensors" }), "absent.safetensors"),
    ] {
        fs::write(&index, json!({ "weight_map": map }).to_string()).expect("writes");
        refused(what);
    }
    fs::write(home.path().join("part.safetensors"), &whole).expect("writes");
    fs::write(&index, json!({ "weight_map": { "model.norm.weight": "part.safetensors" } }).to_string())
        .expect("writes");
    refused("is not listed");
}

#[test]
fn random_models_depend_on_their_seed_alone() {
    let text = fs::read_to_string(folder("qwen3").join("config.json")).expect("readable");
    let init = |seed| LanguageModel::init(Config::parse(&text).expect("valid"), seed, &device::cpu());
    assert_eq!(logits(&init(1)), logits(&init(1)));
    assert_ne!(logits(&init(1)), logits(&init(2)));
    let names = Checkpoint::open(&folder("qwen3")).expect("opens");
    let home = tempfile::tempdir().expect("a folder");
    init(1).save(&home.path().join("m"), &SaveOptions::default()).expect("saves");
    let saved = Checkpoint::open(&home.path().join("m")).expect("opens");
    assert!(saved.names().eq(names.names()));
}
