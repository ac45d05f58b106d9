//! Checkpoints as model folders that load anywhere; runs for other trainers.

mod trl;

use std::{
    fs,
    path::{Path, PathBuf},
};

use model::{LanguageModel, LoadOptions, NewScores, SaveOptions, config::Config, config::Head, device};
use serde_json::Value;

pub use self::trl::{Exported, trl};
use crate::{config::RunConfig, run::RunError};

/// What only a run that goes on needs.
const OF_THE_RUN: [&str; 3] = ["optimizer.safetensors", "trainer_state.json", "weights.safetensors"];
/// What PEFT calls an adapter's description.
const ADAPTER: &str = "adapter_config.json";
/// Files beside the weights that a checkpoint with adapters may have of its own.
const COMPANIONS: [&str; 4] = ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "README.md"];

/// Writes a checkpoint as a model folder: adapters merged into the weights, nothing of the optimiser. `base` is the
/// model that adapters are for, where it is not where the checkpoint says. `out` must not exist yet.
///
/// # Errors
/// When the folder is no checkpoint, or something cannot be read or written.
pub fn export(checkpoint: &Path, base: Option<&Path>, out: &Path) -> Result<(), RunError> {
    if out.exists() {
        return Err(RunError::Refused(format!("{} exists already: choose another folder", out.display())));
    }
    if checkpoint.join(ADAPTER).is_file() {
        merge(checkpoint, base, out)
    } else if checkpoint.join("config.json").is_file() {
        copy(checkpoint, out)
    } else {
        let folder = checkpoint.display();
        Err(RunError::Refused(format!(
            "{folder} holds neither a model (config.json) nor adapters ({ADAPTER}): name a checkpoint's folder"
        )))
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> RunError + '_ {
    move |source| RunError::Io { what: path.display().to_string(), source }
}

fn refused(error: impl std::fmt::Display) -> RunError {
    RunError::Refused(error.to_string())
}

fn copy(checkpoint: &Path, out: &Path) -> Result<(), RunError> {
    fs::create_dir_all(out).map_err(io(out))?;
    for entry in fs::read_dir(checkpoint).map_err(io(checkpoint))? {
        let path = entry.map_err(io(checkpoint))?.path();
        let Some(name) = path.file_name() else { continue };
        let text = name.to_string_lossy();
        if path.is_dir() {
            copy(&path, &out.join(name))?;
        } else if !text.starts_with('.') && !OF_THE_RUN.contains(&&*text) {
            fs::copy(&path, out.join(name)).map_err(io(&path))?;
        }
    }
    Ok(())
}

fn merge(checkpoint: &Path, base: Option<&Path>, out: &Path) -> Result<(), RunError> {
    let text = fs::read_to_string(checkpoint.join(ADAPTER)).map_err(io(checkpoint))?;
    let adapter: Value = serde_json::from_str(&text)
        .map_err(|error| refused(format!("{}: {error}", checkpoint.join(ADAPTER).display())))?;
    let base = match (base, adapter["base_model_name_or_path"].as_str()) {
        (Some(base), _) => base.to_owned(),
        (None, Some(name)) => PathBuf::from(name),
        (None, None) => return Err(refused(format!("{}: names no base model", checkpoint.display()))),
    };
    if !base.join("config.json").is_file() {
        let (adapters, base) = (checkpoint.display(), base.display());
        return Err(refused(format!("the model that {adapters} is for is not at {base}: name its folder")));
    }
    let new_scores = if adapter["task_type"] == "SEQ_CLS" { labels(checkpoint, &base)? } else { None };
    let options = LoadOptions { new_scores, ..LoadOptions::default() };
    let model = LanguageModel::load(&base, &device::cpu(), &options).map_err(refused)?;
    let (model, _) = model.load_adapters(checkpoint).map_err(refused)?;
    let options = SaveOptions { companions: Some(base), ..SaveOptions::default() };
    model.merged().save(out, &options).map_err(refused)?;
    for name in COMPANIONS {
        let path = checkpoint.join(name);
        if path.is_file() {
            fs::copy(&path, out.join(name)).map_err(io(&path))?;
        }
    }
    Ok(())
}

/// The head that was trained with the adapters, where the base has none: the run's configuration names its scores.
fn labels(checkpoint: &Path, base: &Path) -> Result<Option<NewScores>, RunError> {
    let path = base.join("config.json");
    let text = fs::read_to_string(&path).map_err(io(&path))?;
    let config = Config::parse(&text).map_err(|error| refused(format!("{}: {error}", path.display())))?;
    let run = checkpoint.parent().map(|run| run.join("run.toml"));
    let named = run.and_then(|run| RunConfig::load(&run, &[]).ok()).and_then(|run| run.model.new_scores);
    Ok(match (named, config.head) {
        (None, Head::Scores { .. }) => None,
        (named, _) => {
            Some(NewScores { labels: named.unwrap_or_else(|| vec!["resolved".to_owned()]), seed: 0 })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_run_needs_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("checkpoint-3"), folder.path().join("out"));
        fs::create_dir_all(from.join("additional_chat_templates")).expect("made");
        let kept = ["config.json", "model.safetensors", "additional_chat_templates/a.jinja", "README.md"];
        for name in kept.iter().chain(&OF_THE_RUN) {
            fs::write(from.join(name), *name).expect("written");
        }
        export(&from, None, &to).expect("exports");
        for name in kept {
            assert_eq!(fs::read_to_string(to.join(name)).expect("is there"), name);
        }
        for name in OF_THE_RUN {
            assert!(!to.join(name).exists(), "{name}");
        }
        assert!(export(&from, None, &to).is_err(), "what is there is never overwritten");
        let error = export(folder.path(), None, &folder.path().join("x")).expect_err("is no checkpoint");
        assert!(error.to_string().contains("name a checkpoint's folder"), "{error}");
    }

    #[test]
    fn adapters_need_their_base() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(ADAPTER), r#"{"base_model_name_or_path": "/nowhere"}"#)
            .expect("written");
        let error = export(folder.path(), None, &folder.path().join("out")).expect_err("has no base");
        assert!(error.to_string().contains("/nowhere: name its folder"), "{error}");
    }
}
