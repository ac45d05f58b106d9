//! From bytes to documents: JSON lines, of which one is held, or one document, held whole.

use std::io::{self, BufRead, Read};

use super::driver::{Driver, Stop};
use super::lines::{Line, read_line};
use super::parse_json;

impl Driver<'_, '_, '_> {
    /// Tells JSON lines from one document: the first line of JSON lines is a document of its own, or is broken and
    /// followed by another that begins like it.
    pub(super) fn lines(&mut self, reader: &mut dyn BufRead) -> Result<(), Stop> {
        let mut line = Vec::new();
        let mut number = 0;
        if !self.next_line(reader, &mut line, &mut number)? {
            return self.problem(None, "the file is empty".to_owned());
        }
        match parse_json(&line) {
            Ok(first) => {
                let at = number;
                if self.next_line(reader, &mut line, &mut number)? {
                    self.document(first, Some(at))?;
                    self.rest(reader, line, number)
                } else {
                    self.document(first, None)
                }
            }
            Err(error) if error.is_eof() => {
                let first = line.clone();
                let at = number;
                let more = self.next_line(reader, &mut line, &mut number)?;
                if more && begins_object(&first) && begins_object(&line) {
                    self.problem(Some(at), format!("not JSON: {error}"))?;
                    return self.rest(reader, line, number);
                }
                self.whole(&first, if more { &line } else { &[] }, reader, at)
            }
            Err(error) => {
                self.problem(Some(number), format!("not JSON: {error}"))?;
                if self.next_line(reader, &mut line, &mut number)? {
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
            match parse_json(&line) {
                Ok(value) => self.document(value, Some(number))?,
                Err(error) => self.problem(Some(number), format!("not JSON: {error}"))?,
            }
            if !self.next_line(reader, &mut line, &mut number)? {
                return Ok(());
            }
        }
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
        match parse_json(&bytes) {
            Ok(value) => {
                drop(bytes);
                self.document(value, None)
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
