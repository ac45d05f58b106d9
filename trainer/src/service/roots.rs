//! Requests name files; only those below the configured folders are read.

use std::path::{Component, Path, PathBuf};

use super::TrainerSettings;
use crate::config::{FieldProblem, RunConfig};

/// The configuration with every file and folder that it reads as a real path below the roots, or what is wrong.
///
/// Links are followed first, so that none leads out. What lies outside and what does not exist get the same answer:
/// whether a file exists elsewhere is nobody's business.
pub(crate) fn confine(
    config: &RunConfig,
    settings: &TrainerSettings,
) -> Result<RunConfig, Vec<FieldProblem>> {
    let data: Vec<&Path> = settings.data_roots.iter().map(PathBuf::as_path).collect();
    let mut models: Vec<&Path> = settings.model_roots.iter().map(PathBuf::as_path).collect();
    models.push(&settings.runs);
    let mut problems = Vec::new();
    let mut confined = config.clone();
    let mut place = |field: String, path: &mut PathBuf| {
        let (roots, key) =
            if field.starts_with("data.") { (&data, "data_roots") } else { (&models, "model_roots") };
        match find(path, roots) {
            Some(real) => *path = real,
            None => problems.push(FieldProblem::new(
                field,
                format!("there is no such file or folder below the folders of trainer.{key}"),
            )),
        }
    };
    let model = &mut confined.model;
    place("model.path".to_owned(), &mut model.path);
    let optional = [
        ("model.reference", &mut model.reference),
        ("model.tokenizer", &mut model.tokenizer),
        ("model.chat_template", &mut model.chat_template),
    ];
    for (field, path) in optional {
        if let Some(path) = path {
            place(field.to_owned(), path);
        }
    }
    for (name, files) in [("data.train", &mut confined.data.train), ("data.eval", &mut confined.data.eval)] {
        for (index, file) in files.iter_mut().enumerate() {
            place(format!("{name}[{index}]"), file);
        }
    }
    if config.reference.cache.is_some() {
        let message = "cannot be chosen over HTTP: the service keeps one cache for all runs";
        problems.push(FieldProblem::new("reference.cache", message));
    }
    if problems.is_empty() { Ok(confined) } else { Err(problems) }
}

/// The real path of what `path` names: as it stands, or below one of the roots.
fn find(path: &Path, roots: &[&Path]) -> Option<PathBuf> {
    let real: Vec<PathBuf> = roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
    let inside = |path: PathBuf| {
        let path = path.canonicalize().ok()?;
        real.iter().any(|root| path.starts_with(root)).then_some(path)
    };
    if path.is_absolute() {
        return inside(path.to_owned());
    }
    real.iter().map(|root| root.join(path)).chain([path.to_owned()]).find_map(inside)
}

/// A file of a run's folder by its relative name; none for a name that leads out or names no regular file.
pub(crate) fn file_below(folder: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    if !name.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let folder = folder.canonicalize().ok()?;
    let path = folder.join(name).canonicalize().ok()?;
    (path.starts_with(&folder) && path.is_file()).then_some(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn places() -> (tempfile::TempDir, TrainerSettings) {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["data", "models/m", "runs/r/checkpoint-1", "secret"] {
            fs::create_dir_all(at(name)).expect("made");
        }
        for name in ["data/rows.jsonl", "secret/rows.jsonl", "models/m/config.json"] {
            fs::write(at(name), "x").expect("written");
        }
        std::os::unix::fs::symlink(at("secret/rows.jsonl"), at("data/link.jsonl")).expect("linked");
        let settings = TrainerSettings {
            runs: at("runs"),
            data_roots: vec![at("data")],
            model_roots: vec![at("models"), at("missing")],
            ..TrainerSettings::default()
        };
        (folder, settings)
    }

    fn config(model: &str, data: &str) -> RunConfig {
        let value = serde_json::json!({"model": {"path": model}, "data": {"train": data}});
        RunConfig::from_json("body", value).expect("is sound")
    }

    #[test]
    fn only_what_is_below_the_roots_is_read() {
        let (folder, settings) = places();
        let path =
            |name: &str| folder.path().canonicalize().expect("exists").join(name).display().to_string();
        let found = confine(&config("m", "rows.jsonl"), &settings).expect("is inside");
        assert_eq!(found.model.path.display().to_string(), path("models/m"));
        assert_eq!(found.data.train[0].display().to_string(), path("data/rows.jsonl"));
        assert!(confine(&config(&path("runs/r/checkpoint-1"), &path("data/rows.jsonl")), &settings).is_ok());
        let outside =
            ["../secret/rows.jsonl", "link.jsonl", "/etc/passwd", "nothing", &path("secret/rows.jsonl"), "m"];
        for data in outside {
            let problems = confine(&config("m", data), &settings).expect_err(data);
            assert_eq!(problems[0].field, "data.train[0]", "{data}");
            assert!(problems[0].message.contains("trainer.data_roots"), "{data}");
        }
        assert_eq!(
            confine(&config("rows.jsonl", "rows.jsonl"), &settings).expect_err("no model")[0].field,
            "model.path"
        );
        let mut cached = config("m", "rows.jsonl");
        cached.reference.cache = Some("x".into());
        assert_eq!(confine(&cached, &settings).expect_err("is ours")[0].field, "reference.cache");
    }

    #[test]
    fn files_of_a_run_do_not_lead_out() {
        let (folder, _) = places();
        let data = folder.path().join("data");
        assert!(file_below(&data, "rows.jsonl").is_some());
        for name in
            ["", ".", "..", "../secret/rows.jsonl", "/etc/passwd", "link.jsonl", "a/../rows.jsonl", "x"]
        {
            assert!(file_below(&data, name).is_none(), "{name}");
        }
    }
}
