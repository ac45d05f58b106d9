//! How larger pieces are stored: one byte that names the codec, then the bytes.

use std::borrow::Cow;

/// The bytes follow as they are.
const RAW: u8 = 0;
/// A zstd frame follows.
const ZSTD: u8 = 1;
/// Below this many bytes compression does not pay for its call.
const COMPRESS_FROM: usize = 512;
/// The fastest level: on trajectories it already saves four fifths, and level 3 doubles the time for a tenth more.
const LEVEL: i32 = 1;

/// The stored form of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() >= COMPRESS_FROM {
        let mut out = vec![ZSTD];
        if zstd::stream::copy_encode(bytes, &mut out, LEVEL).is_ok() && out.len() < bytes.len() {
            return out;
        }
    }
    let mut out = Vec::with_capacity(bytes.len() + 1);
    out.push(RAW);
    out.extend_from_slice(bytes);
    out
}

/// The bytes of a stored form; the reason when it is none.
pub(crate) fn decode(stored: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    match stored.split_first() {
        Some((&RAW, bytes)) => Ok(Cow::Borrowed(bytes)),
        Some((&ZSTD, frame)) => {
            zstd::decode_all(frame).map(Cow::Owned).map_err(|error| format!("compressed data: {error}"))
        }
        Some((codec, _)) => Err(format!("codec {codec} is not known to this version")),
        None => Err("it is empty".to_owned()),
    }
}

/// The text of a stored form.
pub(crate) fn decode_text(stored: &[u8]) -> Result<String, String> {
    String::from_utf8(decode(stored)?.into_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decodes_what_it_encoded(bytes in proptest::collection::vec(any::<u8>(), 0..2000), times in 1_usize..5) {
            let bytes = bytes.repeat(times);
            let stored = encode(&bytes);
            prop_assert_eq!(decode(&stored).unwrap().into_owned(), bytes);
        }

        #[test]
        fn never_panics_on_damage(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = decode_text(&bytes);
        }
    }

    #[test]
    fn long_text_shrinks_and_noise_does_not_grow() {
        assert!(encode(&b"the same line\n".repeat(1000)).len() < 200);
        let noise: Vec<u8> = (0..100_u32).flat_map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes()).collect();
        assert_eq!(encode(&noise).len(), noise.len() + 1);
    }
}
