//! From bytes to documents: JSON lines, of which one is held, or one document, held whole.

use std::io::{self, BufRead, Read};

use super::driver::{Driver, Stop};
use super::lenient::parse_documents;
use super::lines::{Line, read_line};

impl Driver<'_, '_, '_> {
    /// Tells JSON lines from one document: the first line of JSON lines is a document of its own, or is broken and
    /// followed by another that begins like it.
    pub(super) fn lines(&mut self, reader: &mut dyn BufRead) -> Result<(), Stop> {
        let mut line = Vec::new();
        let mut number = 0;
        if !self.next_line(reader, &mut line, &mut number)? {
            return self.problem(None, "the file is empty".to_owned());
        }
        if let Some(reason) = foreign(&line) {
            return self.problem(Some(number), reason.to_owned());
        }
        match parse_documents(&line) {
            Ok(first) => {
                let at = number;
                if self.next_line(reader, &mut line, &mut number)? {
                    self.documents(first, Some(at))?;
                    self.rest(reader, line, number)
                } else {
                    self.documents(first, None)
                }
            }
            Err(error) if error.is_eof() => {
                let first = line.clone();
                let at = number;
                let more = self.next_line(reader, &mut line, &mut number)?;
                if more && begins_object(&first) && begins_object(&line) {
                    self.problem(Some(at), not_json(&first, &error))?;
                    return self.rest(reader, line, number);
                }
                self.whole(&first, if more { &line } else { &[] }, reader, at)
            }
            Err(error) => {
                let first = line.clone();
                self.problem(Some(number), not_json(&line, &error))?;
                // Text of another kind: one problem says so, not one a line.
                let more = self.next_line(reader, &mut line, &mut number)?;
                if more && (begins_json(&first) || begins_json(&line)) {
                    self.rest(reader, line, number)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// The lines of a JSON-lines file, from this one on.
    fn rest(&mut self, reader: &mut dyn BufRead, mut line: Vec<u8>, mut number: u64) -> Result<(), Stop> {
        loop {
            match parse_documents(&line) {
                Ok(values) => self.documents(values, Some(number))?,
                Err(error) => self.problem(Some(number), not_json(&line, &error))?,
            }
            if !self.next_line(reader, &mut line, &mut number)? {
                return Ok(());
            }
        }
    }

    fn documents(&mut self, values: Vec<serde_json::Value>, line: Option<u64>) -> Result<(), Stop> {
        values.into_iter().try_for_each(|value| self.document(value, line))
    }

    /// The next line that is not blank; false at the end of the file. A damaged end is a problem, not a failure.
    fn next_line(
        &mut self,
        reader: &mut dyn BufRead,
        line: &mut Vec<u8>,
        number: &mut u64,
    ) -> Result<bool, Stop> {
        let limit = self.ctx.limits.line_bytes;
        loop {
            *number += 1;
            match read_line(reader, line, limit) {
                Ok(Line::End) => return Ok(false),
                Ok(Line::Whole) if line.iter().all(u8::is_ascii_whitespace) || *line == b"\xef\xbb\xbf" => {}
                Ok(Line::Whole) => return Ok(true),
                Ok(Line::TooLong(bytes)) => {
                    self.problem(
                        Some(*number),
                        format!("line of {bytes} bytes is over the limit of {limit}; skipped"),
                    )?;
                }
                Err(error) if is_damage(&error) => {
                    self.problem(Some(*number), format!("the file is damaged from here: {error}"))?;
                    return Ok(false);
                }
                Err(error) => return Err(Stop::Io(error)),
            }
        }
    }

    /// A document over several lines, of which the first ones are read.
    fn whole(&mut self, first: &[u8], second: &[u8], reader: &mut dyn BufRead, at: u64) -> Result<(), Stop> {
        let mut bytes = [first, b"\n", second, b"\n"].concat();
        let limit = self.ctx.limits.document_bytes;
        let room = (limit as u64 + 1).saturating_sub(bytes.len() as u64);
        if let Err(error) = reader.take(room).read_to_end(&mut bytes) {
            if !is_damage(&error) {
                return Err(Stop::Io(error));
            }
            return self.problem(None, format!("the file is damaged: {error}"));
        }
        if bytes.len() > limit {
            let hint = "write it as JSON lines, which are read one at a time";
            return self.problem(None, format!("the document is over the limit of {limit} bytes; {hint}"));
        }
        match parse_documents(&bytes) {
            Ok(values) => {
                drop(bytes);
                self.documents(values, None)
            }
            Err(error) => {
                self.problem(Some(at + error.line().max(1) as u64 - 1), format!("not JSON: {error}"))
            }
        }
    }
}

/// Decoders report a cut or damaged stream as these.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof | Other)
}

fn begins_object(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"{")
}

fn begins_json(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"{") || line.trim_ascii_start().starts_with(b"[")
}

/// Why the line is no JSON, and what to do where the cause is known.
fn not_json(line: &[u8], error: &serde_json::Error) -> String {
    // The parser counts lines within this one.
    let error = error.to_string().replace(" at line 1 column ", " at column ");
    if line.trim_ascii_start().starts_with(b"{'") {
        return format!("not JSON: {error}; it looks like Python's own notation: write it with `json.dumps`");
    }
    format!("not JSON: {error}")
}

/// What a file that is no text in UTF-8 or no JSON at all is, by its first line, and what to do.
fn foreign(line: &[u8]) -> Option<&'static str> {
    if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
        return Some("the file is in UTF-16; save it as UTF-8");
    }
    let diff = [&b"diff --git "[..], b"--- a/", b"Index: ", b"*** Begin Patch"];
    if diff.iter().any(|start| line.starts_with(start)) {
        return Some("a bare patch; put it into a row with `instance_id` and `model_patch`");
    }
    if line.starts_with(b"PK\x03\x04") {
        return Some("a zip archive; unpack it");
    }
    line.starts_with(b"PAR1").then_some("a parquet file; write its rows as JSON lines")
}
