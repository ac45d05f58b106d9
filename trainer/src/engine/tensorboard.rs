//! Event files for TensorBoard: records framed with their length and checksums (TFRecord), each an `Event` message of
//! TensorFlow's in protocol buffers' encoding. Only scalars are written.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use crc::{CRC_32_ISCSI, Crc};

use crate::run::Metrics;

/// CRC-32C (Castagnoli).
const CRC_32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// TFRecord's masked checksum.
fn masked(bytes: &[u8]) -> u32 {
    CRC_32C.checksum(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field that holds bytes.
fn bytes_field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// `Event { wall_time = 1; step = 2; file_version = 3; summary = 5 }`.
fn event(seconds: f64, step: u64, number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![1 << 3 | 1];
    out.extend_from_slice(&seconds.to_le_bytes());
    out.push(2 << 3);
    varint(step, &mut out);
    bytes_field(number, content, &mut out);
    out
}

/// `Summary { repeated Value value = 1 }`, `Value { tag = 1; simple_value = 2 }`.
fn summary(metrics: &Metrics) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, &value) in metrics {
        let mut scalar = Vec::new();
        bytes_field(1, name.as_bytes(), &mut scalar);
        scalar.push(2 << 3 | 5);
        scalar.extend_from_slice(&(value as f32).to_le_bytes());
        bytes_field(1, &scalar, &mut out);
    }
    out
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// An event file.
#[derive(Debug)]
pub(crate) struct EventFile(BufWriter<File>);

impl EventFile {
    /// A new file in a folder; TensorBoard reads all of a folder's in the order of their names.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let seconds = now();
        let name = format!("events.out.tfevents.{:010}.{}.entropo", seconds as u64, std::process::id());
        let mut file = BufWriter::new(File::create(folder.join(name))?);
        file.write_all(&record(&event(seconds, 0, 3, b"brain.Event:2")))?;
        file.flush()?;
        Ok(Self(file))
    }

    /// Adds scalars.
    pub(crate) fn write(&mut self, step: u64, prefix: &str, metrics: &Metrics) -> io::Result<()> {
        let tagged: Metrics =
            metrics.iter().map(|(name, &value)| (format!("{prefix}{name}"), value)).collect();
        self.0.write_all(&record(&event(now(), step, 5, &summary(&tagged))))?;
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_format() {
        // RFC 3720, B.4: the checksum of 32 zeros, which the format then turns and moves.
        assert_eq!(masked(&[0; 32]), 0x8A91_36AA_u32.rotate_right(15).wrapping_add(0xA282_EAD8));
    }

    #[test]
    fn an_event_is_what_the_message_says() {
        let metrics = Metrics::from([("loss".to_owned(), 0.5)]);
        let bytes = event(1.0, 300, 5, &summary(&metrics));
        let expected: Vec<u8> = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F][..],
            &[0x10, 0xAC, 0x02],
            &[0x2A, 13, 0x0A, 11, 0x0A, 4],
            b"loss",
            &[0x15, 0, 0, 0, 0x3F],
        ]
        .concat();
        assert_eq!(bytes, expected);
        let framed = record(&bytes);
        assert_eq!(framed.len(), bytes.len() + 16);
        assert_eq!(framed[..8], (bytes.len() as u64).to_le_bytes());
    }
}
