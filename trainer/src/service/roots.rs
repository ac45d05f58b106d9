//! Requests name files; only those below the configured folders are read.

use std::path::{Component, Path, PathBuf};

use store::Tenant;
use uuid::Uuid;

use super::TrainerSettings;
use crate::config::{FieldProblem, RunConfig};

/// Stands in a root for the name of the tenant whose run it is.
const TENANT: &str = "{tenant}";

/// A configuration that reads nothing outside the roots.
#[derive(Debug)]
pub(crate) struct Confined {
    /// With real paths.
    pub(crate) config: RunConfig,
    /// The runs that it reads from, with the fields that name them: whose they are is not checked yet.
    pub(crate) runs: Vec<(String, Uuid)>,
}

/// The configuration with every file and folder that it reads as a real path below the roots, or what is wrong.
///
/// Links are followed first, so that none leads out. What lies outside, what does not exist and what belongs to another
/// tenant get the same answer: whether a file exists elsewhere is nobody's business.
pub(crate) fn confine(
    config: &RunConfig,
    settings: &TrainerSettings,
    tenant: &Tenant,
) -> Result<Confined, Vec<FieldProblem>> {
    let of_tenant = |roots: &[PathBuf]| -> Vec<PathBuf> {
        let named = |root: &PathBuf| root.to_string_lossy().replace(TENANT, tenant.as_str()).into();
        roots.iter().map(named).collect()
    };
    let data = of_tenant(&settings.data_roots);
    let mut models = of_tenant(&settings.model_roots);
    models.push(settings.runs.clone());
    let all_runs = settings.runs.canonicalize().ok();
    let mut runs = Vec::new();
    let mut problems = Vec::new();
    let mut confined = config.clone();
    let mut place = |field: String, path: &mut PathBuf| {
        let roots = if field.starts_with("data.") { &data } else { &models };
        let Some(real) = find(path, roots) else {
            problems.push(missing(field));
            return;
        };
        match all_runs.as_ref().and_then(|all| real.strip_prefix(all).ok()).map(run_of) {
            None => *path = real,
            Some(Some(run)) => {
                runs.push((field, run));
                *path = real;
            }
            // In the folder of runs and of no run: the service's own.
            Some(None) => problems.push(missing(field)),
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
    if problems.is_empty() { Ok(Confined { config: confined, runs }) } else { Err(problems) }
}

/// What is said of a file that is not there, or not for this tenant.
pub(crate) fn missing(field: String) -> FieldProblem {
    let key = if field.starts_with("data.") { "data_roots" } else { "model_roots" };
    let message = format!("there is no such file or folder below the folders of trainer.{key}");
    FieldProblem::new(field, message)
}

/// The run that a path in the folder of runs belongs to.
fn run_of(path: &Path) -> Option<Uuid> {
    match path.components().next()? {
        Component::Normal(name) => Uuid::try_parse(name.to_str()?).ok(),
        _ => None,
    }
}

/// The real path of what `path` names: as it stands, or below one of the roots.
fn find(path: &Path, roots: &[PathBuf]) -> Option<PathBuf> {
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

    /// A checkpoint of a run.
    const RUN: &str = "runs/019ab000-0000-7000-8000-000000000001/checkpoint-1";

    fn places() -> (tempfile::TempDir, TrainerSettings) {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["data", "data/of-acme", "models/m", RUN, "runs/reference", "secret"] {
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
        let found =
            confine(&config("m", "rows.jsonl"), &settings, &Tenant::DEFAULT).expect("is inside").config;
        assert_eq!(found.model.path.display().to_string(), path("models/m"));
        assert_eq!(found.data.train[0].display().to_string(), path("data/rows.jsonl"));
        let of_run = confine(&config(&path(RUN), &path("data/rows.jsonl")), &settings, &Tenant::DEFAULT);
        let run = Uuid::try_parse(&RUN[5..41]).expect("an id");
        assert_eq!(of_run.expect("is inside").runs, [("model.path".to_owned(), run)]);
        for no_run in ["runs", "runs/reference"] {
            let found = confine(&config(&path(no_run), "rows.jsonl"), &settings, &Tenant::DEFAULT);
            assert_eq!(found.expect_err(no_run)[0].field, "model.path");
        }
        let outside =
            ["../secret/rows.jsonl", "link.jsonl", "/etc/passwd", "nothing", &path("secret/rows.jsonl"), "m"];
        for data in outside {
            let problems = confine(&config("m", data), &settings, &Tenant::DEFAULT).expect_err(data);
            assert_eq!(problems[0].field, "data.train[0]", "{data}");
            assert!(problems[0].message.contains("trainer.data_roots"), "{data}");
        }
        assert_eq!(
            confine(&config("rows.jsonl", "rows.jsonl"), &settings, &Tenant::DEFAULT).expect_err("no model")
                [0]
            .field,
            "model.path"
        );
        let mut cached = config("m", "rows.jsonl");
        cached.reference.cache = Some("x".into());
        assert_eq!(
            confine(&cached, &settings, &Tenant::DEFAULT).expect_err("is ours")[0].field,
            "reference.cache"
        );
    }

    #[test]
    fn a_root_may_be_of_one_tenant() {
        let (folder, mut settings) = places();
        fs::write(folder.path().join("data/of-acme/rows.jsonl"), "x").expect("written");
        settings.data_roots = vec![folder.path().join("data/of-{tenant}")];
        let acme = "acme".parse().expect("a name");
        assert!(confine(&config("m", "rows.jsonl"), &settings, &acme).is_ok());
        let theirs = folder.path().join("data/of-acme/rows.jsonl").display().to_string();
        for data in ["rows.jsonl", &theirs, "../of-acme/rows.jsonl"] {
            let other = "other".parse().expect("a name");
            let problems = confine(&config("m", data), &settings, &other).expect_err(data);
            assert_eq!(problems[0].field, "data.train[0]", "{data}");
        }
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
