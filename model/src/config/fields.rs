//! Typed reading of a JSON object, with errors that name the field.

use serde_json::{Map, Value};

/// Why a `config.json` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or no object.
    #[error("config.json is not a JSON object: {0}")]
    Json(String),
    /// A field that cannot be guessed.
    #[error("config.json: `{0}` is missing")]
    Missing(String),
    /// A field of the wrong type or out of range.
    #[error("config.json: `{field}` is {found}, but must be {wanted}")]
    Invalid {
        /// Path of the field.
        field: String,
        /// Its value.
        found: String,
        /// What would do.
        wanted: String,
    },
    /// A setting that this crate does not compute, and will not ignore.
    #[error("config.json: `{field}` = {found} is not supported: {why}")]
    Unsupported {
        /// Path of the field.
        field: String,
        /// Its value.
        found: String,
        /// What is supported instead.
        why: String,
    },
}

/// An object of the configuration, and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: &'a str,
}

/// A value as it is shown in an error: short.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>, path: &'a str) -> Self {
        Self { map, path }
    }

    /// The value of a field; a null is as good as none.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Whether a field is written out, if only as null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a String> {
        self.map.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name)
    }

    fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn missing(&self, name: &str) -> ConfigError {
        ConfigError::Missing(self.path(name))
    }

    pub(super) fn invalid(&self, name: &str, wanted: impl Into<String>) -> ConfigError {
        let found = self.map.get(name).map_or_else(|| "absent".to_owned(), shown);
        ConfigError::Invalid { field: self.path(name), found, wanted: wanted.into() }
    }

    pub(super) fn unsupported(&self, name: &str, why: impl Into<String>) -> ConfigError {
        let found = self.map.get(name).map_or_else(|| "absent".to_owned(), shown);
        ConfigError::Unsupported { field: self.path(name), found, why: why.into() }
    }

    fn typed<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.get(name).map(|value| read(value).ok_or_else(|| self.invalid(name, wanted))).transpose()
    }

    /// A count that fits the sizes of real models; the limit keeps products of sizes from overflowing.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, ConfigError> {
        self.typed(name, "a whole number from 1 to 2³⁰", |value| {
            let number = usize::try_from(value.as_u64()?).ok()?;
            (1..=1 << 30).contains(&number).then_some(number)
        })
    }

    pub(super) fn required_count(&self, name: &str) -> Result<usize, ConfigError> {
        self.count(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, ConfigError> {
        self.typed(name, "a number", |value| value.as_f64().filter(|number| number.is_finite()))
    }

    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>, ConfigError> {
        match self.number(name)? {
            Some(number) if number <= 0.0 => Err(self.invalid(name, "a number above 0")),
            number => Ok(number),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, ConfigError> {
        Ok(self.typed(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, ConfigError> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<&'a str>>, ConfigError> {
        self.typed(name, "a list of strings", |value| {
            value.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()
        })
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, ConfigError> {
        self.typed(name, "an object", Value::as_object)
    }
}
