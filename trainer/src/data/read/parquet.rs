//! Rows of Parquet files, as `datasets` and pandas write them.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use common::formats::parse_json;
use parquet::{
    basic::{ConvertedType, LogicalType},
    file::{reader::FileReader as _, serialized_reader::SerializedFileReader},
    schema::types::Type,
};
use serde_json::Value;

use super::RowErrorKind;

/// What a Parquet file begins and ends with.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// The rows of a file, numbered from 1. Structs and maps become objects, bytes base64, and columns of JSON text, which
/// `datasets` makes of messages that differ in their fields, what the text says.
pub(super) fn read_values(content: Vec<u8>) -> io::Result<Vec<(usize, Result<Value, RowErrorKind>)>> {
    let read = || {
        let file = SerializedFileReader::new(Bytes::from(content)).map_err(invalid)?;
        let schema = file.metadata().file_metadata().schema_descr().root_schema().clone();
        let rows = file.get_row_iter(None).map_err(invalid)?;
        // After a row that cannot be read, none can be.
        (1..)
            .zip(rows)
            .map(|(number, row)| match row {
                Ok(row) => Ok((number, unpacked(row.to_json_value(), &schema))),
                Err(error) => {
                    Err(io::Error::new(io::ErrorKind::InvalidData, format!("row {number}: {error}")))
                }
            })
            .collect()
    };
    // The reader of columns indexes by what a damaged file says.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(invalid("the file is damaged")))
}

/// A value of a column of this type, with JSON text in it parsed.
fn unpacked(value: Value, column: &Type) -> Result<Value, RowErrorKind> {
    let info = column.get_basic_info();
    match value {
        Value::String(text) if is_json(column) => {
            parse_json(text.as_bytes()).map_err(|error| RowErrorKind::Json(error.to_string()))
        }
        Value::Object(fields) if column.is_group() && info.converted_type() != ConvertedType::MAP => {
            let inner = |name: &str| column.get_fields().iter().find(|field| field.name() == name);
            let field = |(name, value): (String, Value)| {
                let value = match inner(&name) {
                    Some(column) => unpacked(value, column)?,
                    None => value,
                };
                Ok((name, value))
            };
            fields.into_iter().map(field).collect::<Result<_, _>>().map(Value::Object)
        }
        Value::Array(items) => {
            // A list is a group that holds a repeated one that holds the element; old writers leave levels out.
            let repeated = if column.is_group() { column.get_fields().first() } else { None };
            let element = match repeated {
                Some(repeated) if repeated.is_group() && repeated.get_fields().len() == 1 => {
                    &repeated.get_fields()[0]
                }
                Some(repeated) => repeated,
                None => return Ok(Value::Array(items)),
            };
            items.into_iter().map(|item| unpacked(item, element)).collect::<Result<_, _>>().map(Value::Array)
        }
        other => Ok(other),
    }
}

fn is_json(column: &Type) -> bool {
    let info = column.get_basic_info();
    info.converted_type() == ConvertedType::JSON || matches!(info.logical_type_ref(), Some(LogicalType::Json))
}

fn invalid(error: impl Into<Box<dyn std::error::Error>>) -> io::Error {
    let error = error.into();
    io::Error::new(io::ErrorKind::InvalidData, format!("not a Parquet file that can be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::data::{Content, Mask, load_rows, parse_rows};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet").join(name)
    }

    /// The same rows as JSON lines are beside them.
    #[test]
    fn rows_are_those_of_the_json_lines() {
        for mask in [Mask::Policy, Mask::Completion] {
            let lines = load_rows(&fixture("rows.jsonl"), mask).expect("reads");
            assert_eq!(lines.rows.len(), 5, "{:?}", lines.refused);
            for name in [
                "snappy.parquet",
                "zstd.parquet",
                "gzip.parquet",
                "plain.parquet",
                "groups.parquet",
                "texts.parquet",
            ] {
                let table = load_rows(&fixture(name), mask).expect("reads");
                assert_eq!(table.refused, []);
                let contents = |rows: &[crate::data::Row]| {
                    rows.iter().map(|row| row.content.clone()).collect::<Vec<Content>>()
                };
                assert_eq!(contents(&table.rows), contents(&lines.rows), "{name}");
            }
        }
    }

    #[test]
    fn damaged_files_are_errors_that_name_the_file() {
        let whole = std::fs::read(fixture("snappy.parquet")).expect("the fixture");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cut.parquet");
        std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
        let error = load_rows(&path, Mask::Policy).expect_err("refused").to_string();
        assert!(
            error.contains("cut.parquet") && error.contains("not a Parquet file that can be read"),
            "{error}"
        );
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            // An error or other rows, but an end.
            let _ = read_values(bytes);
        }
        assert!(
            parse_rows(&whole[..], Mask::Policy).is_ok_and(|loaded| loaded.rows.len() == 5),
            "of any reader"
        );
    }
}
