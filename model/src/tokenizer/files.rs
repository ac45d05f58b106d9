//! What the files beside `tokenizer.json` say, in the order of precedence of transformers 5.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::{TokenizerError, special};

/// Sampling settings of `generation_config.json`; None where it says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationDefaults {
    /// Whether to sample at all; greedy otherwise.
    pub do_sample: Option<bool>,
    /// Temperature.
    pub temperature: Option<f32>,
    /// Nucleus size.
    pub top_p: Option<f32>,
    /// How many of the likeliest tokens are kept.
    pub top_k: Option<usize>,
    /// Least probability relative to the likeliest token's.
    pub min_p: Option<f32>,
    /// Penalty of tokens that occurred already.
    pub repetition_penalty: Option<f32>,
}

/// Everything the small files say.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Special tokens by name.
    pub(super) special: BTreeMap<String, String>,
    /// Special tokens without a name.
    pub(super) extra: Vec<String>,
    /// Tokens to add to the vocabulary, or whose flags to change.
    pub(super) added: Vec<AddedToken>,
    /// Ids that end a generation.
    pub(super) eos: Option<Vec<u32>>,
    /// Sampling settings.
    pub(super) defaults: GenerationDefaults,
    /// Chat templates by name.
    pub(super) templates: BTreeMap<String, String>,
}

impl Facts {
    pub(super) fn read(dir: &Path) -> Result<Self, TokenizerError> {
        let mut facts = Self::default();
        let config = object(dir, "tokenizer_config.json")?.unwrap_or_default();
        facts.special_tokens(&config);
        match config.get("added_tokens_decoder").and_then(Value::as_object) {
            Some(decoder) => facts.added = added_tokens(decoder),
            None => {
                if let Some(map) = object(dir, "special_tokens_map.json")? {
                    facts.special_tokens(&map);
                }
            }
        }
        facts.generation(dir)?;
        facts.templates(dir, &config)?;
        Ok(facts)
    }

    fn special_tokens(&mut self, object: &Map<String, Value>) {
        for (name, value) in object {
            let named = special::NAMES.contains(&name.as_str()) || name.ends_with("_token");
            if named && let Some(content) = special::content(value) {
                self.special.insert(name.clone(), content.to_owned());
            }
        }
        for name in ["extra_special_tokens", "additional_special_tokens"] {
            match object.get(name) {
                Some(Value::Array(tokens)) => {
                    self.extra.extend(tokens.iter().filter_map(special::content).map(str::to_owned));
                    break;
                }
                Some(Value::Object(tokens)) => {
                    for (name, value) in tokens {
                        if let Some(content) = special::content(value) {
                            self.special.insert(name.clone(), content.to_owned());
                        }
                    }
                    break;
                }
                _ => {}
            }
        }
    }

    fn generation(&mut self, dir: &Path) -> Result<(), TokenizerError> {
        let generation = object(dir, "generation_config.json")?;
        if let Some(config) = &generation {
            let number = |name: &str| config.get(name).and_then(Value::as_f64).map(|value| value as f32);
            self.defaults = GenerationDefaults {
                do_sample: config.get("do_sample").and_then(Value::as_bool),
                temperature: number("temperature"),
                top_p: number("top_p"),
                top_k: config.get("top_k").and_then(Value::as_u64).map(|value| value as usize),
                min_p: number("min_p"),
                repetition_penalty: number("repetition_penalty"),
            };
        }
        let of = |config: &Map<String, Value>| match config.get("eos_token_id") {
            Some(Value::Array(ids)) => {
                Some(ids.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()).collect())
            }
            Some(value) => value.as_u64().and_then(|id| u32::try_from(id).ok()).map(|id| vec![id]),
            None => None,
        };
        self.eos = generation.as_ref().and_then(of);
        if self.eos.is_none() {
            self.eos = object(dir, "config.json")?.as_ref().and_then(of);
        }
        Ok(())
    }

    /// Template files beat the entry of `tokenizer_config.json`.
    fn templates(&mut self, dir: &Path, config: &Map<String, Value>) -> Result<(), TokenizerError> {
        let invalid = |file: &str, reason: &str| TokenizerError::Invalid {
            file: dir.join(file).display().to_string(),
            reason: reason.to_owned(),
        };
        if let Some(source) = text(&dir.join("chat_template.jinja"))? {
            self.templates.insert("default".to_owned(), source);
        }
        if let Ok(entries) = std::fs::read_dir(dir.join("additional_chat_templates")) {
            let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            paths.sort();
            for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "jinja")) {
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                if let (Some(stem), Some(source)) = (stem, text(path)?) {
                    self.templates.insert(stem.to_owned(), source);
                }
            }
        }
        if !self.templates.is_empty() {
            return Ok(());
        }
        let file = "tokenizer_config.json";
        let entry = match config.get("chat_template") {
            Some(entry) => Some((file, entry.clone())),
            // Where processors of older versions keep it.
            None => object(dir, "chat_template.json")?
                .and_then(|object| Some(("chat_template.json", object.get("chat_template")?.clone()))),
        };
        match entry {
            None | Some((_, Value::Null)) => {}
            Some((_, Value::String(source))) => {
                self.templates.insert("default".to_owned(), source);
            }
            Some((file, Value::Array(named))) => {
                for entry in &named {
                    let part = |name: &str| entry.get(name).and_then(Value::as_str);
                    let (Some(name), Some(source)) = (part("name"), part("template")) else {
                        return Err(invalid(
                            file,
                            "chat_template: each entry of the list needs a `name` and a `template`",
                        ));
                    };
                    self.templates.insert(name.to_owned(), source.to_owned());
                }
            }
            Some((file, _)) => {
                return Err(invalid(file, "chat_template: must be a string or a list of named templates"));
            }
        }
        Ok(())
    }
}

fn added_tokens(decoder: &Map<String, Value>) -> Vec<AddedToken> {
    let mut tokens: Vec<(u32, AddedToken)> = decoder
        .iter()
        .filter_map(|(id, token)| Some((id.parse().ok()?, special::added(token.as_object()?)?)))
        .collect();
    tokens.sort_by_key(|(id, _)| *id);
    tokens.into_iter().map(|(_, token)| token).collect()
}

/// The text of a file; None if there is no such file.
fn text(path: &Path) -> Result<Option<String>, TokenizerError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Io { file: path.display().to_string(), source }),
    }
}

/// The JSON object in a file; None if there is no such file.
fn object(dir: &Path, name: &str) -> Result<Option<Map<String, Value>>, TokenizerError> {
    let path = dir.join(name);
    let Some(text) = text(&path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| TokenizerError::Invalid {
        file: path.display().to_string(),
        reason: error.to_string(),
    })
}
