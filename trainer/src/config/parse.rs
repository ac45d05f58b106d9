//! Text into a configuration, with overrides.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::{ConfigError, FieldProblem, RunConfig};

/// One assignment that goes over the file: `training.learning_rate=1e-6`.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// Dotted name of the field.
    pub key: String,
    /// Its value: of TOML where it parses as such, text otherwise.
    pub value: Value,
}

impl FromStr for Set {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Set(text.to_owned());
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        let key = key.trim();
        if key.is_empty() || key.split('.').any(|part| part.trim().is_empty()) {
            return Err(wrong());
        }
        Ok(Self { key: key.to_owned(), value: value_of(value.trim()) })
    }
}

/// What TOML would read, but for dates and tables, which no field has: those are text.
fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}")).ok();
    match parsed.and_then(|mut table| table.remove("value")) {
        None | Some(toml::Value::Datetime(_) | toml::Value::Table(_)) => Value::from(text),
        Some(value) => json(value),
    }
}

/// TOML as JSON. What JSON cannot hold (not a number, infinity, dates) becomes its text, which no number accepts.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) if number.is_finite() => Value::from(number),
        toml::Value::Float(number) => Value::from(number.to_string()),
        toml::Value::Boolean(flag) => Value::from(flag),
        toml::Value::Datetime(date) => Value::from(date.to_string()),
        toml::Value::Array(values) => values.into_iter().map(json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(name, value)| (name, json(value))).collect(),
    }
}

pub(super) fn toml(name: &str, text: &str) -> Result<Value, ConfigError> {
    match toml::from_str::<toml::Table>(text) {
        Ok(table) => Ok(json(toml::Value::Table(table))),
        Err(error) => {
            let before = error.span().map_or("", |span| &text[..span.start.min(text.len())]);
            let line = before.matches('\n').count() + 1;
            Err(ConfigError::Syntax {
                name: name.to_owned(),
                line,
                message: error.message().replace('\n', " "),
            })
        }
    }
}

pub(super) fn checked(name: &str, mut tree: Value, sets: &[Set]) -> Result<RunConfig, ConfigError> {
    for given in sets {
        set(&mut tree, given);
    }
    drop_nulls(&mut tree);
    let refused = |problems| ConfigError::Fields { name: name.to_owned(), problems };
    let config: RunConfig = serde_path_to_error::deserialize(&tree).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "the configuration".to_owned() } else { path };
        refused(vec![FieldProblem::new(field, error.into_inner().to_string())])
    })?;
    match config.problems() {
        problems if problems.is_empty() => Ok(config),
        problems => Err(refused(problems)),
    }
}

/// Puts a value in its place; what stands in the way of its tables is replaced.
fn set(tree: &mut Value, given: &Set) {
    let mut at = tree;
    for part in given.key.split('.').map(str::trim) {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[part];
    }
    *at = given.value.clone();
}

fn drop_nulls(tree: &mut Value) {
    if let Value::Object(table) = tree {
        table.retain(|_, value| !value.is_null());
        table.values_mut().for_each(drop_nulls);
    }
}
