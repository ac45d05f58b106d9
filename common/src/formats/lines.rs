//! Lines of bounded length.

use std::io::{self, BufRead};

/// What [`read_line`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// The buffer holds the line, without its line end.
    Whole,
    /// The line has this many bytes, more than the limit; it was passed over and the buffer is empty.
    TooLong(u64),
    /// The input is at its end.
    End,
}

/// Reads the next line into `buffer` (cleared first), never holding more than `limit` bytes of it.
pub(super) fn read_line(reader: &mut dyn BufRead, buffer: &mut Vec<u8>, limit: usize) -> io::Result<Line> {
    buffer.clear();
    let mut length = 0u64;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(if length == 0 { Line::End } else { finish(buffer, length, limit) });
        }
        let end = memchr::memchr(b'\n', available);
        let part = &available[..end.unwrap_or(available.len())];
        length += part.len() as u64;
        if length <= limit as u64 {
            buffer.extend_from_slice(part);
        } else {
            buffer.clear();
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(finish(buffer, length, limit));
        }
    }
}

fn finish(buffer: &mut Vec<u8>, length: u64, limit: usize) -> Line {
    if length > limit as u64 {
        buffer.clear();
        return Line::TooLong(length);
    }
    if buffer.last() == Some(&b'\r') {
        buffer.pop();
    }
    Line::Whole
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn all(text: &str, limit: usize, chunk: usize) -> Vec<(Line, String)> {
        let mut reader = BufReader::with_capacity(chunk, text.as_bytes());
        let (mut buffer, mut out) = (Vec::new(), Vec::new());
        loop {
            let line = read_line(&mut reader, &mut buffer, limit).unwrap();
            if line == Line::End {
                return out;
            }
            out.push((line, String::from_utf8(buffer.clone()).unwrap()));
        }
    }

    #[test]
    fn lines_end_in_lf_crlf_or_the_end_of_the_input() {
        for chunk in [1, 2, 100] {
            let lines: Vec<_> = all("ab\r\n\ncd", 10, chunk).into_iter().map(|(_, text)| text).collect();
            assert_eq!(lines, ["ab", "", "cd"]);
        }
    }

    #[test]
    fn a_long_line_is_passed_over_and_the_next_one_is_read() {
        for chunk in [1, 3, 100] {
            assert_eq!(
                all("abcdef\nxy\n", 3, chunk),
                [(Line::TooLong(6), String::new()), (Line::Whole, "xy".to_owned())]
            );
        }
    }
}
