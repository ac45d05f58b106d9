//! Whole files of rows.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use common::formats::{decompress, parse_json};
use serde_json::Value;

use super::{RowError, RowErrorKind, parquet, row, table};
use crate::data::{Mask, Row};

/// Lines longer than this are refused, in bytes.
const LONGEST: usize = 256 << 20;

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// Its rows, in its order.
    pub rows: Vec<Row>,
    /// What cannot be used.
    pub refused: Vec<RowError>,
    /// BLAKE3 over its content (unpacked), in hexadecimal.
    pub hash: String,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadRowsError {
    /// It cannot be opened or read.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Reads a file of rows: JSON lines, one JSON list or Parquet, as it is or packed by gzip, zstd or xz.
///
/// Under [`Mask::Completion`] the rows get the fields that the tables of other trainers would give them.
pub fn load_rows(path: &Path, mask: Mask) -> Result<Loaded, LoadRowsError> {
    let failed = |error| LoadRowsError::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    let reader = decompress(BufReader::with_capacity(1 << 20, file)).map_err(failed)?;
    parse_rows(reader, mask).map_err(failed)
}

/// [`load_rows`] of what any reader yields.
pub fn parse_rows(reader: impl BufRead, mask: Mask) -> io::Result<Loaded> {
    let mut reader = Hashing { reader, hasher: blake3::Hasher::new() };
    let mut values = if reader.fill_buf()?.starts_with(parquet::MAGIC) {
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        parquet::read_values(content)?
    } else {
        read_values(&mut reader)?
    };
    let hash = reader.hasher.finalize().to_hex().to_string();
    if mask == Mask::Completion {
        table::as_table(values.iter_mut().filter_map(|(_, value)| value.as_mut().ok()));
    }
    let mut loaded = Loaded { hash, ..Loaded::default() };
    for (line, value) in values {
        match value.and_then(|value| row(line, value)) {
            Ok(row) => loaded.rows.push(row),
            Err(kind) => loaded.refused.push(RowError { line, kind }),
        }
    }
    Ok(loaded)
}

type Numbered = (usize, Result<Value, RowErrorKind>);

/// The values of a file with their lines, or places in its list.
fn read_values(reader: &mut impl BufRead) -> io::Result<Vec<Numbered>> {
    let parse = |bytes: &[u8]| parse_json(bytes).map_err(|error| RowErrorKind::Json(error.to_string()));
    let mut values = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let read = reader.by_ref().take(LONGEST as u64).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            break;
        }
        let text = bytes.trim_ascii();
        let text = if line == 1 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) } else { text };
        if values.is_empty() && text.starts_with(b"[") {
            // One list over many lines, perhaps.
            let mut whole = bytes.clone();
            reader.read_to_end(&mut whole)?;
            return Ok(match parse(&whole) {
                Ok(Value::Array(items)) => (1..).zip(items.into_iter().map(Ok)).collect(),
                Ok(_) => vec![(line, Err(RowErrorKind::Json("found a list".to_owned())))],
                Err(error) => vec![(line, Err(error))],
            });
        }
        if read == LONGEST && !bytes.ends_with(b"\n") {
            values.push((line, Err(RowErrorKind::Json(format!("longer than {LONGEST} bytes")))));
            reader.skip_until(b'\n')?;
        } else if !text.is_empty() {
            values.push((line, parse(text)));
        }
    }
    Ok(values)
}

/// Hashes what is read.
struct Hashing<R> {
    reader: R,
    hasher: blake3::Hasher,
}

impl<R: BufRead> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Ok(buffer) = self.reader.fill_buf() {
            self.hasher.update(&buffer[..amount.min(buffer.len())]);
        }
        self.reader.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Loaded {
        parse_rows(text.as_bytes(), Mask::Policy).expect("reads")
    }

    #[test]
    fn lines_and_lists_are_the_same_rows() {
        let row = |n: u32| format!("{{\"prompt\": \"p{n}\", \"completion\": \"c\"}}");
        let lines = loaded(&format!("\u{feff}{}\n\n{{oops\n{}", row(1), row(2)));
        let list = loaded(&format!("[\n {},\n {}\n]\n", row(1), row(2)));
        let numbers = |loaded: &Loaded| loaded.rows.iter().map(|row| row.line).collect::<Vec<_>>();
        assert_eq!((numbers(&lines), numbers(&list)), (vec![1, 4], vec![1, 2]));
        assert_eq!(lines.refused.iter().map(|error| error.line).collect::<Vec<_>>(), [3]);
        assert!(lines.refused[0].to_string().starts_with("line 3: not a JSON object: "));
        assert_eq!(lines.rows[1].content, list.rows[1].content);
        assert_ne!(lines.hash, list.hash);
        assert_eq!(lines.hash, loaded(&format!("\u{feff}{}\n\n{{oops\n{}", row(1), row(2))).hash);
    }

    #[test]
    fn what_python_writes_is_read() {
        let rows = loaded("{\"prompt\": \"\\ud800\", \"completion\": \"c\", \"margin\": NaN}").rows;
        assert_eq!((rows.len(), rows[0].margin), (1, None));
    }
}
