//! Columns that hold more than a plain value.

use serde::Serialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use uuid::Uuid;

use super::statement::{Column, Row, Value};
use crate::{ContentId, Result, StoreError, Tenant, Timestamp, blob};

/// The word that serde writes for a variant without fields.
pub(super) fn word<T: Serialize>(variant: &T) -> Result<String> {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        other => Err(StoreError::Failed { detail: format!("{other:?} is not a word"), source: None }),
    }
}

/// JSON for a text column.
pub(super) fn json<T: Serialize>(field: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::invalid(field, format!("cannot be written as JSON: {error}")))
}

/// The JSON list that [`super::Dialect::list`] reads.
pub(super) fn id_list(ids: &[ContentId]) -> Value {
    let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    Value::from(format!("[{}]", quoted.join(",")))
}

impl Row {
    pub(super) fn time(&self, column: &str) -> Result<Timestamp> {
        Ok(Timestamp(self.get(column)?))
    }

    pub(super) fn time_opt(&self, column: &str) -> Result<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp))
    }

    /// A count or a size.
    pub(super) fn number<T: TryFrom<i64>>(&self, column: &str) -> Result<T> {
        let stored: i64 = self.get(column)?;
        T::try_from(stored)
            .map_err(|_| StoreError::corrupt(format!("column {column}"), format!("{stored} is out of range")))
    }

    /// A count that may be unknown.
    pub(super) fn number_opt<T: TryFrom<i64>>(&self, column: &str) -> Result<Option<T>> {
        self.get::<Option<i64>>(column)?.map(|_| self.number(column)).transpose()
    }

    pub(super) fn uuid(&self, column: &str) -> Result<Uuid> {
        self.parsed(column, |text| Uuid::try_parse(text).map_err(|error| error.to_string()))
    }

    pub(super) fn uuid_opt(&self, column: &str) -> Result<Option<Uuid>> {
        self.get::<Option<String>>(column)?.map(|_| self.uuid(column)).transpose()
    }

    pub(super) fn tenant(&self, column: &str) -> Result<Tenant> {
        self.parsed(column, |text| text.parse().map_err(|error: StoreError| error.to_string()))
    }

    pub(super) fn content_id(&self, column: &str) -> Result<ContentId> {
        self.parsed(column, |text| text.parse().map_err(|error: StoreError| error.to_string()))
    }

    /// A variant by the word that serde writes for it.
    pub(super) fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        self.parsed(column, |text| {
            let word: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
            T::deserialize(word).map_err(|error| error.to_string())
        })
    }

    /// JSON from a text column.
    pub(super) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        self.parsed(column, |text| serde_json::from_str(text).map_err(|error| error.to_string()))
    }

    /// JSON from a text column that may be NULL.
    pub(super) fn json_opt<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        self.get::<Option<String>>(column)?.map(|_| self.json(column)).transpose()
    }

    /// Text from a blob column that may be NULL.
    pub(super) fn blob_text_opt(&self, column: &str) -> Result<Option<String>> {
        let stored: Option<Vec<u8>> = self.get(column)?;
        stored.map(|stored| blob::decode_text(&stored)).transpose().map_err(|error| corrupt(column, &error))
    }

    /// JSON from a blob column.
    pub(super) fn blob_json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        let stored: Vec<u8> = self.get(column)?;
        let bytes = blob::decode(&stored).map_err(|error| corrupt(column, &error))?;
        serde_json::from_slice(&bytes).map_err(|error| corrupt(column, &error.to_string()))
    }

    fn parsed<T>(&self, column: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T>
    where
        String: Column,
    {
        let text: String = self.get(column)?;
        parse(&text).map_err(|error| corrupt(column, &error))
    }
}

fn corrupt(column: &str, detail: &str) -> StoreError {
    StoreError::corrupt(format!("column {column}"), detail)
}
