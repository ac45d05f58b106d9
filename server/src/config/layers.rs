//! Merging of the layers, and errors that say which key of which layer is wrong.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::variables;

/// The file that is read without being asked for.
const DEFAULT_FILE: &str = "entropo.toml";

/// One value given as text, by a flag or by the program that embeds a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Dotted key, such as `http.bind`.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// What to name in messages, such as `--bind`.
    pub origin: String,
}

/// Where the layers above the defaults come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A TOML file that must exist; `None` reads `entropo.toml` when there is one.
    pub file: Option<PathBuf>,
    /// Variables of the environment; those of no key are ignored.
    pub env: BTreeMap<String, String>,
    /// Flags, in rising precedence.
    pub overrides: Vec<Override>,
}

impl Sources {
    /// The process's environment and the given flags.
    pub fn process(args: &super::ConfigArgs) -> Self {
        let env = std::env::vars().filter(|(name, _)| name.starts_with("ENTROPO_")).collect();
        Self { file: args.config.clone(), env, overrides: args.overrides() }
    }
}

/// A configuration and where each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The configuration.
    pub config: T,
    origins: BTreeMap<String, String>,
}

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was asked for cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML; the message names line and column.
    #[error("{} is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        message: String,
    },
    /// A file that a variable names cannot be read.
    #[error("{name}: cannot read {}", path.display())]
    ValueFile {
        /// The variable.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that a variable names holds nothing.
    #[error("{name}: {} is empty; put the value into it", path.display())]
    EmptyValueFile {
        /// The variable.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A variable holds a value and another one names a file with it.
    #[error("{name} and {file} are both set; leave one of them out")]
    Twice {
        /// The variable with the value.
        name: String,
        /// The one with the file.
        file: String,
    },
    /// A key that no table has.
    #[error("{origin}: there is no key `{key}`{hint}")]
    UnknownKey {
        /// The dotted key.
        key: String,
        /// The layer.
        origin: String,
        /// `, did you mean …` or nothing.
        hint: String,
    },
    /// A value that does not fit its key.
    #[error("{origin}: key `{key}`: {message}")]
    BadValue {
        /// The dotted key.
        key: String,
        /// The layer.
        origin: String,
        /// What is wrong and what is expected.
        message: String,
    },
}

/// Fills a configuration: `defaults`, then the file, then variables, then overrides.
///
/// `T` must serialise every key (no `skip_serializing_if`): the serialised defaults are the list of known keys.
/// The key `limits.encoded_body` is the variable `ENTROPO_LIMITS_ENCODED_BODY`, or the text of the file that
/// `ENTROPO_LIMITS_ENCODED_BODY_FILE` names.
pub fn load<T: Serialize + DeserializeOwned>(
    defaults: &T,
    sources: &Sources,
) -> Result<Loaded<T>, ConfigError> {
    let mut tree =
        serde_json::to_value(defaults).expect("configurations serialise: string keys, finite numbers");
    let mut known = BTreeMap::new();
    flatten("", &tree, &mut known);
    let mut origins: BTreeMap<String, String> =
        known.keys().map(|key| (key.clone(), "default".to_owned())).collect();

    if let Some((path, table)) = read_file(sources.file.as_deref())? {
        let origin = path.display().to_string();
        let mut given = BTreeMap::new();
        flatten("", &table, &mut given);
        for (key, value) in given {
            check_known(&known, &key, &origin)?;
            set(&mut tree, &key, value);
            origins.insert(key, origin.clone());
        }
    }
    let variables = variables::given(known.keys(), &sources.env)?;
    for given in variables.into_iter().chain(sources.overrides.iter().cloned()) {
        check_known(&known, &given.key, &given.origin)?;
        let value = parse_like(&known[&given.key], &given)?;
        set(&mut tree, &given.key, value);
        origins.insert(given.key, given.origin);
    }

    let config = serde_path_to_error::deserialize(&tree).map_err(|error| {
        let key = error.path().to_string();
        let origin = origins.get(&key).cloned().unwrap_or_else(|| "configuration".to_owned());
        ConfigError::BadValue { key, origin, message: error.into_inner().to_string() }
    })?;
    Ok(Loaded { config, origins })
}

impl<T: Serialize> Loaded<T> {
    /// The configuration as TOML with the source of each value; secrets are hidden by their types.
    pub fn to_toml(&self) -> String {
        let tree = serde_json::to_value(&self.config)
            .expect("configurations serialise: string keys, finite numbers");
        let mut text = String::new();
        for (table, values) in tree.as_object().into_iter().flatten() {
            let mut leaves = BTreeMap::new();
            flatten(table, values, &mut leaves);
            let _ = writeln!(text, "[{table}]");
            for (key, value) in leaves {
                let name = key.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')).unwrap_or(&key);
                let origin = self.origins.get(&key).map_or("default", String::as_str);
                // JSON scalars and lists are TOML too; null has no TOML form and means "not set".
                let _ = match value {
                    Value::Null => writeln!(text, "# {name} is not set"),
                    value => writeln!(text, "{name} = {value}  # {origin}"),
                };
            }
            text.push('\n');
        }
        text
    }
}

fn read_file(asked: Option<&Path>) -> Result<Option<(PathBuf, Value)>, ConfigError> {
    let path = asked.unwrap_or(Path::new(DEFAULT_FILE)).to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if asked.is_none() && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    match toml::from_str::<Value>(&text) {
        Ok(table) => Ok(Some((path, table))),
        Err(error) => {
            let before = error.span().map_or("", |span| &text[..span.start.min(text.len())]);
            let line = before.matches('\n').count() + 1;
            let message = format!("line {line}: {}", error.message());
            Err(ConfigError::Syntax { path, message })
        }
    }
}

fn flatten(prefix: &str, value: &Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, leaves);
            }
        }
        leaf => {
            leaves.insert(prefix.to_owned(), leaf.clone());
        }
    }
}

fn set(tree: &mut Value, key: &str, value: Value) {
    let mut at = tree;
    for part in key.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[part];
    }
    *at = value;
}

fn check_known(known: &BTreeMap<String, Value>, key: &str, origin: &str) -> Result<(), ConfigError> {
    if known.contains_key(key) {
        return Ok(());
    }
    let nearest = known.keys().map(|name| (distance(name, key), name)).min();
    let hint = match nearest {
        Some((distance, name)) if distance <= 3 => format!(", did you mean `{name}`?"),
        _ => "; `--print-config` lists all of them".to_owned(),
    };
    Err(ConfigError::UnknownKey { key: key.to_owned(), origin: origin.to_owned(), hint })
}

/// Text becomes a value of the same type as the key's default.
fn parse_like(default: &Value, given: &Override) -> Result<Value, ConfigError> {
    let text = given.value.as_str();
    let bad = |expected: &str| ConfigError::BadValue {
        key: given.key.clone(),
        origin: given.origin.clone(),
        message: format!("`{text}` is not {expected}"),
    };
    match default {
        Value::Bool(_) => text.parse().map(Value::Bool).map_err(|_| bad("`true` or `false`")),
        Value::Number(_) => {
            let number: Value = serde_json::from_str(text).map_err(|_| bad("a number"))?;
            if number.is_number() { Ok(number) } else { Err(bad("a number")) }
        }
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(Value::Array(parts.map(Value::from).collect()))
        }
        _ => Ok(Value::from(text)),
    }
}

/// Edits between two short strings (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let cost = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::config::{Auth, Database, Http, Limits, Log, Secret};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        http: Http,
        database: Database,
        auth: Auth,
        limits: Limits,
        log: Log,
    }

    fn defaults() -> Example {
        Example {
            http: Http { bind: "127.0.0.1:8080".parse().unwrap() },
            database: Database::at("sqlite://entropo.db"),
            auth: Auth::default(),
            limits: Limits::default(),
            log: Log::default(),
        }
    }

    fn sources(toml: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("conf.toml");
        std::fs::write(&file, toml).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let overrides = flags
            .iter()
            .map(|(key, value)| Override {
                key: (*key).into(),
                value: (*value).into(),
                origin: format!("--set {key}"),
            })
            .collect();
        (folder, Sources { file: Some(file), env, overrides })
    }

    #[test]
    fn flags_beat_variables_beat_the_file_beat_defaults() {
        let (_folder, sources) = sources(
            "[limits]\nconcurrency = 1\nconnections = 2\nencoded_body = \"1 MiB\"\n",
            &[
                ("ENTROPO_LIMITS_CONNECTIONS", "3"),
                ("ENTROPO_LIMITS_REQUEST_TIMEOUT", "5s"),
                ("ENTROPO_ELSE", "x"),
            ],
            &[("limits.request_timeout", "250ms")],
        );
        let loaded = load(&defaults(), &sources).unwrap();
        let limits = &loaded.config.limits;
        assert_eq!((limits.concurrency, limits.connections), (1, 3));
        assert_eq!(limits.request_timeout.to_string(), "250 ms");
        assert_eq!(limits.encoded_body.0, 1 << 20);
        assert_eq!(limits.shutdown_timeout, Limits::default().shutdown_timeout);
        let printed = loaded.to_toml();
        assert!(printed.contains("connections = 3  # ENTROPO_LIMITS_CONNECTIONS"), "{printed}");
        assert!(
            printed.contains("request_timeout = \"250 ms\"  # --set limits.request_timeout"),
            "{printed}"
        );
    }

    #[test]
    fn what_is_printed_loads_again_and_hides_secrets() {
        let (_folder, given) = sources(
            "[auth]\nadmin_token = \"hunter2\"\n",
            &[("ENTROPO_DATABASE_URL", "postgres://me:hunter3@db/entropo")],
            &[],
        );
        let loaded = load(&defaults(), &given).unwrap();
        assert_eq!(loaded.config.auth.admin_token, Secret::new("hunter2"));
        let printed = loaded.to_toml();
        assert!(!printed.contains("hunter"), "{printed}");
        let (_folder, again) = sources(&printed, &[], &[]);
        assert_eq!(load(&defaults(), &again).unwrap().config.limits, loaded.config.limits);
    }

    #[test]
    fn errors_name_layer_and_key() {
        let failure = |toml: &str, env: &[(&str, &str)], flags: &[(&str, &str)]| {
            let (_folder, sources) = sources(toml, env, flags);
            load(&defaults(), &sources).unwrap_err().to_string()
        };
        let message = failure("[limits]\nconcurency = 3\n", &[], &[]);
        assert!(
            message.contains(
                "conf.toml: there is no key `limits.concurency`, did you mean `limits.concurrency`"
            ),
            "{message}"
        );
        let message = failure("[limits]\nencoded_body = \"3 apples\"\n", &[], &[]);
        assert!(
            message.contains("conf.toml: key `limits.encoded_body`: `3 apples` is not a size"),
            "{message}"
        );
        let message = failure("", &[("ENTROPO_LIMITS_CONCURRENCY", "many")], &[]);
        assert_eq!(message, "ENTROPO_LIMITS_CONCURRENCY: key `limits.concurrency`: `many` is not a number");
        let message = failure("", &[], &[("auth.mode", "sometimes")]);
        assert!(
            message.starts_with("--set auth.mode: key `auth.mode`: unknown variant `sometimes`"),
            "{message}"
        );
        let message = failure("[http]\nbind = \n", &[], &[]);
        assert!(message.contains("is not valid TOML: line 2"), "{message}");
        let missing = Sources { file: Some("/nowhere/entropo.toml".into()), ..Sources::default() };
        let message = load(&defaults(), &missing).unwrap_err().to_string();
        assert!(message.starts_with("cannot read the configuration file /nowhere/entropo.toml"), "{message}");
    }
}
