//! The models of the configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use server::Span;

use super::Loader;
use crate::{
    Backend,
    linear::Linear,
    native::{self, Native},
    openai::{self, OpenAi},
};

/// Name of the model that comes with the program.
const BUILT_IN: &str = "linear";
/// Name of the model of `[openai]` where that names none.
const OPENAI: &str = "openai";
/// Names that stand for something else in a path.
const RESERVED: [&str; 3] = ["active", "shadow", "none"];

/// `[models]`: which models there are and which one answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// Models besides the built-in one and that of `[openai]`: `NAME=burn:FOLDER` or `NAME=linear:FILE`, such as
    /// `coder=burn:/models/coder`.
    pub available: Vec<String>,
    /// Every model folder in this folder is available too, under its name: where the trainer puts promoted checkpoints.
    /// Looked at whenever it matters, so that new ones need no restart. Empty for none.
    pub folder: PathBuf,
    /// The model that answers until somebody activates another.
    pub active: String,
    /// A model that scores in the background until somebody decides otherwise; empty for none.
    pub shadow: String,
    /// How often the decisions of other replicas are looked up.
    pub refresh: Span,
    /// Where `burn` models compute: `cpu`, `cuda:N`, `wgpu`.
    pub device: String,
    /// Tokens of one pass of a `burn` model, shared ones counted once: bounds its memory.
    pub pass_tokens: usize,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            available: Vec::new(),
            folder: "entropo-data/models".into(),
            active: BUILT_IN.to_owned(),
            shadow: String::new(),
            refresh: Span::secs(5),
            device: "cpu".to_owned(),
            pass_tokens: 8192,
        }
    }
}

/// Loads models as configured.
#[derive(Debug)]
pub struct Catalogue {
    sources: BTreeMap<String, Source>,
    models: ModelSettings,
}

/// Where a model is.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    /// In the program.
    BuiltIn,
    /// In a file of the built-in model's kind.
    Linear(PathBuf),
    /// On another server.
    OpenAi(Box<openai::Settings>),
    /// In a folder of this machine.
    Burn(PathBuf, Box<native::Options>),
}

impl Catalogue {
    /// Reads the configuration; the error names the key and what to do.
    pub fn new(models: &ModelSettings, openai: &openai::Settings) -> Result<Self, String> {
        let mut sources = BTreeMap::from([(BUILT_IN.to_owned(), Source::BuiltIn)]);
        if !openai.url.is_empty() {
            let mut openai = openai.clone();
            if openai.name.is_empty() {
                OPENAI.clone_into(&mut openai.name);
            }
            let name = openai.name.clone();
            if sources.insert(name.clone(), Source::OpenAi(Box::new(openai))).is_some() {
                return Err(format!("openai.name: `{name}` is the name of the built-in model"));
            }
        }
        for entry in &models.available {
            let (name, source) = parse(entry, models)?;
            if sources.insert(name.clone(), source).is_some() {
                return Err(format!("models.available: there are two models `{name}`"));
            }
        }
        for name in sources.keys() {
            if !is_name(name) {
                return Err(format!(
                    "`{name}` cannot be a model's name: letters, digits, `-`, `_` and `.`, and not `active`, `shadow` or `none`"
                ));
            }
        }
        Ok(Self { sources, models: models.clone() })
    }

    /// Where a model is: configured, or in the folder.
    fn source(&self, name: &str) -> Option<Source> {
        let configured = self.sources.get(name).cloned();
        configured.or_else(|| {
            let found = self.in_folder().any(|found| found == name);
            found.then(|| burn(name, self.models.folder.join(name), &self.models))
        })
    }

    /// Names of the model folders in the folder. What begins with a dot is still being written.
    fn in_folder(&self) -> impl Iterator<Item = String> {
        let folder = Some(&self.models.folder).filter(|folder| !folder.as_os_str().is_empty());
        let entries =
            folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let usable =
                is_name(&name) && !name.starts_with('.') && entry.path().join("config.json").is_file();
            usable.then_some(name)
        })
    }
}

/// Whether a model can be called so: names stand in paths of URLs.
fn is_name(name: &str) -> bool {
    let harmless = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    harmless && !RESERVED.contains(&name)
}

fn parse(entry: &str, models: &ModelSettings) -> Result<(String, Source), String> {
    let wrong = format!(
        "models.available: `{entry}` is not `NAME=BACKEND:WHERE`, such as `coder=burn:/models/coder`"
    );
    let Some((name, source)) = entry.split_once('=') else { return Err(wrong) };
    let Some((backend, place)) = source.split_once(':') else { return Err(wrong) };
    let (name, place) = (name.trim(), place.trim());
    if place.is_empty() {
        return Err(wrong);
    }
    match backend.trim() {
        "burn" => {}
        "linear" => return Ok((name.to_owned(), Source::Linear(place.into()))),
        other => {
            return Err(format!(
                "models.available: `{name}`: there is no back end `{other}`; there are `burn` and `linear`, and the \
                 table `openai` for a model on a server"
            ));
        }
    }
    Ok((name.to_owned(), burn(name, place.into(), models)))
}

fn burn(name: &str, folder: PathBuf, models: &ModelSettings) -> Source {
    let options = native::Options {
        device: models.device.clone(),
        name: Some(name.to_owned()),
        pass_tokens: models.pass_tokens,
        ..native::Options::default()
    };
    Source::Burn(folder, Box::new(options))
}

#[async_trait]
impl Loader for Catalogue {
    fn names(&self) -> Vec<String> {
        let all: BTreeSet<String> = self.sources.keys().cloned().chain(self.in_folder()).collect();
        all.into_iter().collect()
    }

    async fn load(&self, name: &str) -> Result<Arc<dyn Backend>, String> {
        match self.source(name) {
            Some(Source::BuiltIn) => Ok(Arc::new(Linear::built_in())),
            Some(Source::Linear(path)) => {
                let model = std::fs::read(&path).map_err(|error| error.to_string());
                let model =
                    model.and_then(|bytes| Linear::from_json(&bytes).map_err(|error| error.to_string()));
                let model = model.map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(Arc::new(model.named(name)))
            }
            Some(Source::OpenAi(settings)) => {
                let model = OpenAi::connect(&settings).await.map_err(|error| error.to_string())?;
                Ok(Arc::new(model))
            }
            Some(Source::Burn(folder, options)) => {
                // Reads and hashes gigabytes.
                let loaded = tokio::task::spawn_blocking(move || Native::load(&folder, &options)).await;
                match loaded {
                    Ok(Ok(model)) => Ok(Arc::new(model)),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(error) => Err(format!("loading was aborted: {error}")),
                }
            }
            None => Err("it is not configured".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folders_become_models_while_the_service_runs() {
        let folder = tempfile::tempdir().unwrap();
        let models = ModelSettings { folder: folder.path().to_owned(), ..ModelSettings::default() };
        let catalogue = Catalogue::new(&models, &openai::Settings::default()).unwrap();
        assert_eq!(catalogue.names(), ["linear"]);
        for name in ["run-1-20", ".half", "not a name", "active", "linear", "empty"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            if name != "empty" {
                std::fs::write(folder.path().join(name).join("config.json"), "{}").unwrap();
            }
        }
        assert_eq!(catalogue.names(), ["linear", "run-1-20"]);
        assert_eq!(
            catalogue.load("linear").await.unwrap().info().backend,
            "linear",
            "configured ones come first"
        );
        let error = catalogue.load("run-1-20").await.unwrap_err();
        assert!(error.contains("run-1-20"), "{error}");
        for name in [".half", "empty", "../x", "active"] {
            assert_eq!(catalogue.load(name).await.unwrap_err(), "it is not configured");
        }
    }

    fn catalogue(entry: &str) -> Result<Catalogue, String> {
        let models = ModelSettings { available: vec![entry.to_owned()], ..ModelSettings::default() };
        Catalogue::new(&models, &openai::Settings::default())
    }

    #[tokio::test]
    async fn a_folder_is_a_model_and_what_is_wrong_with_it_is_said() {
        let catalogue = catalogue("coder = burn:/nowhere/coder").unwrap();
        assert_eq!(catalogue.names(), ["coder", "linear"]);
        assert_eq!(catalogue.load("linear").await.unwrap().info().name, "linear");
        let error = catalogue.load("coder").await.unwrap_err();
        assert!(error.starts_with("/nowhere/coder/config.json: "), "{error}");
        assert_eq!(catalogue.load("other").await.unwrap_err(), "it is not configured");
    }

    #[test]
    fn entries_that_are_no_models_are_refused() {
        for (entry, part) in [
            ("coder", "is not `NAME=BACKEND:WHERE`"),
            ("coder=burn:", "is not `NAME=BACKEND:WHERE`"),
            ("coder=onnx:/models/coder", "there is no back end `onnx`"),
            ("active=burn:/models/coder", "cannot be a model's name"),
            ("linear=burn:/models/coder", "two models `linear`"),
        ] {
            let error = catalogue(entry).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
