//! gzip, zstd and xz, told by their first bytes.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// Most memory that an xz stream may ask for, in bytes; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 512 << 20;
/// Longest magic number, in bytes.
const MAGIC: usize = 6;
/// Decoded bytes held between decoder and reader.
const BUFFER: usize = 64 << 10;

/// A reader of the decompressed content: gzip, zstd and xz (several members too) are told by their first bytes,
/// anything else passes unchanged.
///
/// # Errors
///
/// When the first bytes cannot be read or a decoder cannot be set up.
pub fn decompress<'a>(mut reader: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut head = Vec::with_capacity(MAGIC);
    reader.by_ref().take(MAGIC as u64).read_to_end(&mut head)?;
    let magic = head.clone();
    let whole = Cursor::new(head).chain(reader);
    if magic.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole))))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(Box::new(BufReader::with_capacity(BUFFER, zstd::stream::read::Decoder::with_buffer(whole)?)))
    } else if magic.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(io::Error::other)?;
        Ok(Box::new(BufReader::with_capacity(BUFFER, XzDecoder::new_stream(whole, stream))))
    } else {
        Ok(Box::new(whole))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &[u8] = b"{\"a\":1}\n{\"a\":2}\n";

    fn gz() -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(TEXT).unwrap();
        encoder.finish().unwrap()
    }

    fn xz() -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(TEXT).unwrap();
        encoder.finish().unwrap()
    }

    fn plain(bytes: &[u8]) -> io::Result<Vec<u8>> {
        // A reader that yields one byte at a time: magic numbers must survive short reads.
        let mut out = Vec::new();
        decompress(BufReader::with_capacity(1, bytes))?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_compression_reads_as_the_plain_text() {
        let zst = zstd::encode_all(TEXT, 1).unwrap();
        for packed in [TEXT.to_vec(), gz(), zst, xz()] {
            assert_eq!(plain(&packed).unwrap(), TEXT);
        }
        for empty in [&b""[..], b"\x1f", b"{"] {
            assert_eq!(plain(empty).unwrap(), empty);
        }
    }

    #[test]
    fn members_follow_each_other() {
        let zst = zstd::encode_all(TEXT, 1).unwrap();
        for packed in [gz(), zst, xz()] {
            assert_eq!(plain(&[packed.clone(), packed].concat()).unwrap(), [TEXT, TEXT].concat());
        }
    }

    #[test]
    fn a_truncated_stream_is_an_error() {
        let zst = zstd::encode_all(TEXT, 1).unwrap();
        for packed in [gz(), zst, xz()] {
            assert!(plain(&packed[..packed.len() - 3]).is_err());
        }
    }
}
